"""How a peer's clock relates to ours, from heartbeats: an estimate with an honest uncertainty."""

from collections import deque
from dataclasses import dataclass

WINDOW = 128
"""Samples kept; at 20 heartbeats a second about 6 s."""
DRIFT_PER_MILLION = 100
"""How fast two clocks may part: two quartzes of 50 ppm."""


@dataclass(frozen=True, slots=True)
class OffsetSample:
    """One exchange of four times."""

    offset_ns: int
    rtt_ns: int
    received_ns: int


class OffsetEstimator:
    """Keeps the exchange with the shortest round trip of the last few seconds.

    Half of that round trip bounds the error, whatever the asymmetry of the path (NTP's argument,
    RFC 5905 section 8); what the clocks may have drifted apart since then is added.
    """

    def __init__(self, is_same_clock: bool) -> None:
        self._is_same_clock = is_same_clock
        self._samples: deque[OffsetSample] = deque(maxlen=WINDOW)

    def add(self, sent_ns: int, peer_received_ns: int, peer_sent_ns: int, received_ns: int) -> None:
        """Take one exchange: our send, the peer's receive and send, our receive."""
        rtt_ns = (received_ns - sent_ns) - (peer_sent_ns - peer_received_ns)
        if rtt_ns < 0 or peer_sent_ns < peer_received_ns:
            return  # the peer's times are not of this exchange
        offset_ns = ((peer_received_ns - sent_ns) + (peer_sent_ns - received_ns)) // 2
        self._samples.append(OffsetSample(offset_ns, rtt_ns, received_ns))

    @property
    def rtt_ns(self) -> int | None:
        """Get the shortest round trip lately; None before the first exchange."""
        return min((s.rtt_ns for s in self._samples), default=None)

    @property
    def estimate(self) -> tuple[int, int] | None:
        """Get (peer's clock minus ours, uncertainty) in ns; None before the first exchange."""
        if self._is_same_clock:
            return 0, 0
        if not self._samples:
            return None
        best = min(self._samples, key=lambda sample: sample.rtt_ns)
        age_ns = self._samples[-1].received_ns - best.received_ns
        drift_ns = age_ns * DRIFT_PER_MILLION // 1_000_000
        return best.offset_ns, best.rtt_ns // 2 + drift_ns + 1
