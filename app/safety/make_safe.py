"""Switch everything off at once, and say of each instrument what that achieved."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Protocol

from drivers.safe_state import SafeReport, SafeState

log = logging.getLogger(__name__)

N_TRIES = 3


class CanMakeSafe(Protocol):
    """Any driver."""

    @property
    def name(self) -> str:
        """Get the instrument's name."""

    def make_safe(self) -> SafeReport:
        """Stop every output, say what was achieved; never raises."""


def make_all_safe(instruments: Sequence[CanMakeSafe], timeout_s: float = 1.0) -> list[SafeReport]:
    """Make all instruments safe in parallel; return one report each, in the same order.

    Returns within `timeout_s`: an instrument that has not answered by then, or whose driver
    breaks its promise not to raise, is reported FAILED. A thread that hangs in a driver goes on
    and ends with that call. What is not known to be off is tried up to three times.
    """
    deadline_s = time.monotonic() + timeout_s
    if not instruments:
        return []
    newest: dict[int, SafeReport] = {}
    pool = ThreadPoolExecutor(max_workers=len(instruments), thread_name_prefix="make-safe")
    futures = [
        pool.submit(_persistently, instrument, deadline_s, partial(newest.__setitem__, index))
        for index, instrument in enumerate(instruments)
    ]
    _, hanging = wait(futures, timeout_s)
    pool.shutdown(wait=not hanging)
    return [
        _report(instrument.name, future, newest.get(index), timeout_s)
        for index, (instrument, future) in enumerate(zip(instruments, futures, strict=True))
    ]


def _persistently(
    instrument: CanMakeSafe, deadline_s: float, keep: Callable[[SafeReport], None]
) -> None:
    for _ in range(N_TRIES):
        report = instrument.make_safe()
        keep(report)
        is_known_off = report.state in (SafeState.CONFIRMED, SafeState.BY_CONSTRUCTION)
        if is_known_off or not (time.monotonic() < deadline_s):
            return


def _report(
    name: str, future: "Future[None]", newest: SafeReport | None, timeout_s: float
) -> SafeReport:
    """Return what an instrument said; the newest try counts, also while another goes on."""
    error = future.exception() if future.done() else None
    if error is not None:
        log.error("%s: make_safe raised: %s", name, error, exc_info=error)
        return SafeReport(name, SafeState.FAILED, f"make_safe raised {error!r}")
    return newest or SafeReport(name, SafeState.FAILED, f"no answer in {timeout_s:g} s")
