"""Faults of the window's own code: shown, logged, and never the end of the process.

PyQt hands what a slot raises to `sys.excepthook` and goes on with the next slot. `shielded` does
the same for calls that are no slots, so that one broken panel costs no other panel anything.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from PyQt6.QtWidgets import QApplication

log = logging.getLogger(__name__)


def shielded(do: Callable[..., object], *arguments: object) -> None:
    """Do something that must not stop what comes after it; a fault in it is shown."""
    try:
        do(*arguments)
    except Exception as exc:  # noqa: BLE001 - that is what it is for
        sys.excepthook(type(exc), exc, exc.__traceback__)


@contextmanager
def faults_shown(show: Callable[[str], None]) -> Iterator[None]:
    """Log and show every exception that nobody caught; without this PyQt ends the process."""
    old = sys.excepthook
    sys.excepthook = _Faults(show).take
    try:
        yield
    finally:
        sys.excepthook = old


class _Faults:
    """Tells of each fault once, and of one that comes again at its 10th, 100th ... time.

    A panel that fails does so with every frame, 30 times a second for hours.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._n_times: dict[tuple[str, str], int] = {}

    def take(
        self, kind: type[BaseException], exc: BaseException, trace: TracebackType | None
    ) -> None:
        """Take what nobody caught; itself it never raises."""
        if issubclass(kind, KeyboardInterrupt):
            QApplication.quit()
            return
        frames = traceback.extract_tb(trace)
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        fault = (kind.__name__, where)
        n_times = self._n_times[fault] = self._n_times.get(fault, 0) + 1
        if n_times == 1:
            log.error("a fault in the window: %s", exc, exc_info=(kind, exc, trace))
        elif not _is_power_of_ten(n_times):
            return
        again = f", so far {n_times} times" if n_times > 1 else ""
        try:
            self._show(
                f"A fault in this window, which goes on: {kind.__name__}: {exc}{where}{again}. The "
                "engine is not affected. Please keep the log."
            )
        except Exception:
            log.exception("the fault could not be shown")


def _is_power_of_ten(n: int) -> bool:
    return str(n).rstrip("0") == "1"
