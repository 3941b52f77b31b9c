"""How long what crosses a link is under way, in each direction, as far as that can be known."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, median and 99th percentile of some durations, in ns; each is one that occurred."""

    min_ns: int
    p50_ns: int
    p99_ns: int


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """The heartbeats of the last seconds.

    Two clocks can tell a round trip exactly, and one way only to within what is not known of their
    offset: `there` and `back` are both wrong by at most `uncertainty_ns`, in opposite directions.
    """

    n_exchanges: int
    round_trip: Spread
    there: Spread
    """From us to the peer."""
    back: Spread
    """From the peer to us."""
    uncertainty_ns: int
    """0 where both sites read the same clock."""


def spread(values_ns: Sequence[int]) -> Spread:
    """Return the spread of one or more durations, percentiles by nearest rank."""
    ordered = sorted(values_ns)
    return Spread(ordered[0], *(ordered[-(-len(ordered) * p // 100) - 1] for p in (50, 99)))
