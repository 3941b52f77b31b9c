"""From sample index to site time: index / rate through a recorded, monotone mapping.

A block's arrival stamp is late by buffering and scheduling, never early. So the truth lies at the
earliest arrivals: of the offsets seen in a stretch of blocks the smallest is kept. The crystal of
the amplifier drifts against the host's clock, so the mapping follows, slowly and never backwards.
"""

from dataclasses import dataclass

FIRST_STRETCH_S = 0.2
"""The first mapping rests on this much signal; before it there is no time, so no event."""
STRETCH_S = 10.0
MAX_SLEW = 200e-6
"""Fastest change of the mapping, in seconds per second: far above any crystal's drift."""


@dataclass(frozen=True, slots=True)
class ClockMapping:
    """From this sample on: time_ns = start_ns + (index - start_index) * ns_per_sample."""

    start_index: int
    start_ns: int
    ns_per_sample: float


class SampleClock:
    """Keeps the mapping of one amplifier. One thread calls it."""

    def __init__(self, sample_rate_hz: float) -> None:
        self._nominal_ns = 1e9 / sample_rate_hz
        self.rate_hz = sample_rate_hz
        self._mapping: ClockMapping | None = None
        self._stretch_start = 0
        self._smallest_ns: float | None = None

    @property
    def mapping(self) -> ClockMapping | None:
        """Get the mapping in force; None until the first stretch has been seen."""
        return self._mapping

    def observe(self, end_sample: int, received_ns: int) -> ClockMapping | None:
        """Take a block's arrival; return a new mapping if one begins here, to be recorded."""
        offset_ns = received_ns - end_sample * self._nominal_ns
        if self._smallest_ns is None or offset_ns < self._smallest_ns:
            self._smallest_ns = offset_ns
        stretch_s = FIRST_STRETCH_S if self._mapping is None else STRETCH_S
        if end_sample - self._stretch_start < stretch_s * self.rate_hz:
            return None
        target_ns = self._smallest_ns + end_sample * self._nominal_ns
        self._smallest_ns = None
        self._stretch_start = end_sample
        self._mapping = self._next(end_sample, target_ns)
        return self._mapping

    def time_ns(self, sample_index: int) -> int:
        """Return the site time of a sample. Raises ValueError before the first mapping."""
        mapping = self._mapping
        if mapping is None:
            raise ValueError("sample clock: no mapping yet; see `mapping`")
        return mapping.start_ns + round(
            (sample_index - mapping.start_index) * mapping.ns_per_sample
        )

    def restart(self) -> None:
        """Forget the mapping: the sample counter began anew or jumped by an unknown number."""
        self._mapping = None
        self._smallest_ns = None
        self._stretch_start = 0

    def _next(self, index: int, target_ns: float) -> ClockMapping:
        """Continue where the old mapping stands, with a slope that meets the target."""
        if self._mapping is None:
            return ClockMapping(index, round(target_ns), self._nominal_ns)
        start_ns = self.time_ns(index)
        n_ahead = STRETCH_S * self.rate_hz
        slope = (target_ns - start_ns) / (n_ahead * self._nominal_ns)
        slope = max(-MAX_SLEW, min(MAX_SLEW, slope))
        return ClockMapping(index, start_ns, self._nominal_ns * (1.0 + slope))
