"""What detection makes of each channel, as consoles are shown it."""

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from app.console.feed import ChannelCondition, ChannelStates
from app.core.clock import ClockNs
from app.core.detector_results import DetectorStatus

RATE_OVER_NS = 2_000_000_000
REFRESH_NS = 900_000_000


class ChannelView:
    """Turns the detector's states into a console's, about once a second. One thread calls it.

    Rates are counts over the last two seconds, so a channel that falls silent shows it.
    """

    def __init__(
        self,
        detector_status: Callable[[], DetectorStatus],
        show: Callable[[ChannelStates], None],
        clock_ns: ClockNs,
    ) -> None:
        self._detector_status = detector_status
        self._show = show
        self._clock_ns = clock_ns
        self._counts: deque[tuple[int, npt.NDArray[np.int64]]] = deque()
        self._next_ns = 0

    def refresh(self) -> None:
        """Show the newest states if they are due."""
        now_ns = self._clock_ns()
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + REFRESH_NS
        status = self._detector_status()
        self._counts.append((now_ns, status.n_events))
        while len(self._counts) > 2 and now_ns - self._counts[1][0] >= RATE_OVER_NS:
            self._counts.popleft()
        then_ns, before = self._counts[0]
        if now_ns > then_ns:
            rate_hz = (status.n_events - before) / ((now_ns - then_ns) / 1e9)
        else:
            rate_hz = np.full(len(before), np.nan)
        threshold_uv = np.where(np.isfinite(status.threshold_uv), status.threshold_uv, np.nan)
        self._show(
            ChannelStates(
                threshold_uv.astype(np.float32),
                status.sigma_uv.astype(np.float32),
                rate_hz.astype(np.float32),
                _conditions(status),
            )
        )


def _conditions(status: DetectorStatus) -> npt.NDArray[np.uint8]:
    """Return one `ChannelCondition` a channel; the gravest that holds."""
    settled = np.isfinite(status.sigma_uv)
    conditions = np.where(settled, ChannelCondition.GOOD, ChannelCondition.SETTLING)
    for holds, condition in (
        (status.is_dead, ChannelCondition.DEAD),
        (status.is_suspended, ChannelCondition.SUSPENDED),
        (status.is_bad, ChannelCondition.EXCLUDED),
    ):
        conditions = np.where(holds, condition, conditions)
    return conditions.astype(np.uint8)
