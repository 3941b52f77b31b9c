"""The compiled kernels of an engine, made ready before a session begins."""

from collections.abc import Callable

from app.console import column_kernel
from app.core import detector
from app.core.compile_progress import compilation_told
from app.core.heartbeat import Heartbeat
from app.engine.engine import Engine


class StartCancelledError(BaseException):
    """Somebody asked the engine to end before it had begun.

    No `Exception`, as `KeyboardInterrupt` is none: it passes through whatever the compiler catches.
    """


def make_kernels_ready(engine: Engine, heartbeat: Heartbeat, say: Callable[[str], None]) -> None:
    """Load what is compiled, or compile it: 0.5 s, or once after an installation much longer.

    Raises
    ------
    StartCancelledError
        The engine was asked to end meanwhile.
    """
    is_told = False

    def step() -> None:
        nonlocal is_told
        if engine.is_ending:
            raise StartCancelledError
        if not is_told:
            is_told = True
            say("compiling, once after an installation: 10 s, on a busy machine some minutes")
        heartbeat.starting()

    with compilation_told(step):
        column_kernel.warm_up()
        detector.warm_up()
