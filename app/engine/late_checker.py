"""Has the checks of earlier sessions completed, while nothing is recorded."""

import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.core.real_time import leave_real_time
from app.core.worker import OnFailure, Worker
from app.recording.late_checks import Left, all_left, left_in

log = logging.getLogger(__name__)

LOOK_S = 0.2
COUNT_EVERY = 25
"""Looks between counting anew what is left."""
GRACE_S = 2.0
MAX_SAID_BYTES = 1000


@dataclass(frozen=True, slots=True)
class LateStatus:
    """How far the checks of earlier sessions are."""

    state: str = "done"
    """"done", "waits" (something is recorded), "runs" or "failed"."""
    n_sessions: int = 0
    """That still lack something; so do the next two."""
    n_files: int = 0
    n_bytes: int = 0
    detail: str = ""
    """Why it failed."""


class LateChecker(Worker):
    """Starts one process of least priority, and ends it as soon as a recording begins.

    A process of its own: a thread of least priority that holds the interpreter would hold up all
    others. A step may take long where there are many sessions, so it is not among the workers whose
    movement proves health.
    """

    def __init__(
        self,
        root: Path,
        site: str,
        is_recording: Callable[[], bool],
        on_failure: OnFailure,
    ) -> None:
        super().__init__("late checks", on_failure)
        self._root = root
        self._site = site
        self._is_recording = is_recording
        self._left: list[Left] = []
        self._child: subprocess.Popen[bytes] | None = None
        self._n_looks = 0
        self.status = LateStatus()

    def prepare(self) -> None:
        """See what there is to do."""
        leave_real_time()
        for left in all_left(self._root, self._site):
            self._left.append(left)
            if self.stop_requested.is_set():
                return

    def step(self) -> None:
        """Start, stop, or look how far it is."""
        if self._left and self.status.state != "failed":
            if self._is_recording():
                self._end_child()
                self._say("waits")
            else:
                self._go_on()
        self.stop_requested.wait(LOOK_S)

    def finish(self) -> None:
        """End the process; what it has done stays done."""
        self._end_child()

    def _go_on(self) -> None:
        if self._child is None:
            self._child = self._start()
        self._n_looks += 1
        code = self._child.poll()
        if code is not None or self._n_looks % COUNT_EVERY == 1:
            found = (left_in(left.folder) for left in self._left)
            self._left = [left for left in found if left is not None]
        if code is None:
            self._say("runs")
            return
        said = self._end_child()
        if code == 0 and not self._left:
            self._say("done")
            log.info("checks of earlier sessions are complete")
        else:
            self._say("failed", said or f"exit code {code}")
            log.error("checks of earlier sessions: %s; try `spikebridge recover`", said or code)

    def _start(self) -> "subprocess.Popen[bytes]":
        module = "app.sessions.complete_checks"
        command = [sys.executable, "-m", module, str(self._root), self._site]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def _end_child(self) -> str:
        """End the process if it runs; return what it said."""
        child, self._child = self._child, None
        if child is None:
            return ""
        child.terminate()
        try:
            _, said = child.communicate(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            _, said = child.communicate()
        return said[-MAX_SAID_BYTES:].decode("utf-8", "replace").strip()

    def _say(self, state: str, detail: str = "") -> None:
        self.status = LateStatus(
            state,
            len(self._left),
            sum(left.n_files for left in self._left),
            sum(left.n_bytes for left in self._left),
            detail,
        )
