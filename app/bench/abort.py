"""Asking a procedure to end, and calls to an instrument that an abort need not wait for."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

from app.bench.errors import AbandonedError, AbortedError
from app.safety.make_safe import make_all_safe
from drivers.safe_state import SafeReport, SafeState
from drivers.smu.protocol import SourceMeasureUnit

log = logging.getLogger(__name__)

T = TypeVar("T")

GRACE_S = 0.1
"""A call that is under way when an abort comes may end within it; 200 ms are the promise."""
SAFE_LIMIT_S = 4.0
"""How long an instrument that was let go of is tried to be made safe."""


class Caller(Protocol):
    """Makes one call to the instrument and returns what it returns."""

    def __call__(self, act: Callable[[], T]) -> T:
        """Return `act()`; raises what it raises, or `AbortedError`."""


def directly(act: Callable[[], T]) -> T:
    """Make a call on the caller's own thread: an abort waits until it ends."""
    return act()


class Abort:
    """The wish that a procedure ends. One thread waits; `ask` from any, and from a signal handler.

    A `SimpleQueue` wakes who waits: unlike an event it may be told something by a signal handler
    that interrupted the very thread that waits on it.
    """

    def __init__(self) -> None:
        self.sentence = "aborted"
        self._is_asked = False
        self._bell: SimpleQueue[None] = SimpleQueue()

    def ask(self) -> None:
        """Ask for the end, for good."""
        self._is_asked = True
        self._bell.put(None)

    def is_asked(self) -> bool:
        """Say whether somebody asked for the end. Any thread."""
        return self._is_asked

    def ring(self) -> None:
        """Wake who waits, to look again. Any thread."""
        self._bell.put(None)

    def wait(self, duration_s: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Wait so long, or until `is_over` says yes after a `ring`.

        Raises `AbortedError` at once when somebody asks for the end.
        """
        deadline_s = time.monotonic() + duration_s
        while True:
            if self._is_asked:
                raise AbortedError(self.sentence)
            left_s = deadline_s - time.monotonic()
            if is_over() or not left_s > 0:
                return
            try:
                self._bell.get(timeout=min(left_s, threading.TIMEOUT_MAX))
            except Empty:
                return


class PatientCalls:
    """Calls to one instrument on a thread of their own. One thread asks for them.

    An abort in a call first revokes every permit, then waits `GRACE_S` for the call. One that has
    not ended by then is let go of: the caller gets `AbandonedError`, and the instrument is made
    safe as soon as it answers. No further call is made after that.
    """

    def __init__(self, smu: SourceMeasureUnit, abort: Abort, revoke: Callable[[], None]) -> None:
        """`revoke` makes every permit useless at once: a pulse that is being set up is not made."""
        self._smu = smu
        self._abort = abort
        self._revoke = revoke
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"bench {smu.name}")
        self._switching_off: threading.Thread | None = None
        self._report: SafeReport | None = None

    def __call__(self, act: Callable[[], T]) -> T:
        """Return `act()`, made on the instrument's thread.

        Raises
        ------
        AbortedError
            Somebody asked for the end before the call began.
        AbandonedError
            Somebody asked for the end and the instrument had not answered within `GRACE_S`.
        """
        self._abort.wait(0.0)
        future = self._pool.submit(act)
        future.add_done_callback(lambda _: self._abort.ring())
        try:
            self._abort.wait(float("inf"), future.done)
        except AbortedError:
            self._await_or_abandon(future)
        return future.result()

    def begin_safe(self) -> None:
        """Begin to make the instrument safe, and wait for nothing. No call after that."""
        if self._switching_off is None:
            self._switching_off = threading.Thread(target=self._switch_off, name="bench make-safe")
            self._switching_off.start()

    def close(self) -> SafeReport:
        """Make the instrument safe, wait for what is under way, say what was achieved."""
        self.begin_safe()
        self.release()
        return self._report or SafeReport(self._smu.name, SafeState.FAILED, "nothing was reported")

    def release(self) -> bool:
        """Make no further call; say whether the instrument was let go of and so made safe."""
        if self._switching_off is not None:
            self._switching_off.join()
        self._pool.shutdown()
        return self._switching_off is not None

    def _await_or_abandon(self, future: "Future[T]") -> None:
        self._revoke()
        try:
            future.exception(GRACE_S)
        except TimeoutError:
            self._abort.sentence = (
                f"aborted; {self._smu.name} is not confirmed safe: it has not answered yet, and is "
                "made safe as soon as it does"
            )
            self.begin_safe()
            raise AbandonedError(self._abort.sentence) from None

    def _switch_off(self) -> None:
        """Latch the driver, and switch off when it lets us."""
        (self._report,) = make_all_safe([self._smu], SAFE_LIMIT_S)
        is_known_off = self._report.state in (SafeState.CONFIRMED, SafeState.BY_CONSTRUCTION)
        level = logging.INFO if is_known_off else logging.ERROR
        state, detail = self._report.state.value, self._report.detail
        log.log(level, "%s: made safe: %s (%s)", self._smu.name, state, detail)
