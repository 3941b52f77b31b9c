"""A program that works on what a procedure left behind, beside the engine and not in it."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

from app.core.child_process import wait_or_kill
from app.core.real_time import leave_real_time
from app.core.worker import OnFailure, Worker

LOOK_S = 0.1
TIME_LIMIT_S = 300.0
GRACE_S = 1.0


class Child(Worker):
    """Runs `python -m ...` at low priority; `on_end` gets its exit code and what it said.

    It is given up after five minutes, and ended with its worker.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        on_end: Callable[[int, str], None],
        on_failure: OnFailure,
    ) -> None:
        super().__init__(name, on_failure)
        self._command = ["nice", "-n", "10", sys.executable, "-m", *arguments]
        self._on_end = on_end
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in finish
        self._process: subprocess.Popen[bytes] | None = None
        self._left_s = TIME_LIMIT_S

    def prepare(self) -> None:
        """Start it, as one of the host's ordinary programs: the engine may run in real time."""
        leave_real_time()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=subprocess.STDOUT
        )

    def step(self) -> None:
        """Look whether it has ended."""
        self._left_s -= LOOK_S
        if self._process is None or self._process.poll() is not None or self._left_s < 0:
            self.request_stop()
        self.stop_requested.wait(LOOK_S)

    def finish(self) -> None:
        """End it if it has not ended, and tell what it said."""
        code = -1
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
            code = wait_or_kill(self._process, GRACE_S)
        self._said.seek(0)
        text = self._said.read().decode("utf-8", "replace").strip()
        self._said.close()
        self._on_end(code, text)
