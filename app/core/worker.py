"""A thread with a name, a beginning, an end, and failures that somebody hears of."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

OnFailure = Callable[[str, BaseException], None]
"""Called from the failing worker's thread with its name and the exception."""


class Worker:
    """One job on one thread: `prepare` once, `step` until stop, `finish` always.

    Subclasses override the three; each `step` ends within 0.2 s and waits only on its inbox, its
    read time-out or `stop_requested`. Not a daemon: a worker that cannot be joined is a fault we
    want to see. `start`, `request_stop` and `join` may be called from any thread.
    """

    def __init__(self, name: str, on_failure: OnFailure) -> None:
        self.name = name
        self.stop_requested = threading.Event()
        self.last_step_ns = 0
        """CLOCK_MONOTONIC at the end of the newest step; 0 before the first."""
        self._on_failure = on_failure
        self._foreign_failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=False)

    def prepare(self) -> None:
        """Do what must succeed before the first step."""

    def step(self) -> None:
        """Do one small piece of the job."""
        raise NotImplementedError

    def finish(self) -> None:
        """Leave everything as it should be found; runs also after a failure."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the worker to end after its current step; returns at once."""
        self.stop_requested.set()

    def fail_with(self, exc: BaseException) -> None:
        """End this worker as if its own step had raised; for who does its job in its place."""
        self._foreign_failure = exc

    @property
    def has_foreign_failure(self) -> bool:
        """Say whether somebody failed in this worker's place."""
        return self._foreign_failure is not None

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; return whether it has ended (or never began)."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """Say whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.prepare()
            while not self.stop_requested.is_set():
                self.step()
                self._raise_foreign_failure()
                self.last_step_ns = time.monotonic_ns()
        except BaseException as exc:  # noqa: BLE001 - the one place: nothing may die unheard
            self._report(exc)
        try:
            self.finish()
        except BaseException as exc:  # noqa: BLE001
            self._report(exc)

    def _raise_foreign_failure(self) -> None:
        if self._foreign_failure is not None:
            raise self._foreign_failure

    def _report(self, exc: BaseException) -> None:
        log.error("%s failed: %s", self.name, exc, exc_info=exc)
        self._on_failure(self.name, exc)
