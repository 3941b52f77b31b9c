"""How a peer's clock relates to ours, from heartbeats: an estimate with an honest uncertainty."""

from collections import deque
from dataclasses import dataclass

from app.bridge.latency import LatencyFigures, spread

WINDOW = 128
"""Samples kept; at 20 heartbeats a second about 6 s."""
DRIFT_PER_MILLION = 200
"""How fast two clocks may part: two quartzes of 100 ppm, as docs/wire.md says."""


@dataclass(frozen=True, slots=True)
class OffsetSample:
    """One exchange of four times; each leg is the difference of two clocks."""

    there_ns: int
    """The peer's receive minus our send: the way there plus the offset."""
    back_ns: int
    """Our receive minus the peer's send: the way back minus the offset."""
    received_ns: int

    @property
    def rtt_ns(self) -> int:
        """Get the round trip, without what the peer waited; no offset is in it."""
        return self.there_ns + self.back_ns

    @property
    def offset_ns(self) -> int:
        """Get the peer's clock minus ours, if both ways took equally long."""
        return (self.there_ns - self.back_ns) // 2


class OffsetEstimator:
    """Keeps the exchange with the shortest round trip of the last few seconds.

    Half of that round trip bounds the error, whatever the asymmetry of the path (NTP's argument,
    RFC 5905 section 8); what the clocks may have drifted apart since then is added.
    """

    def __init__(self, is_same_clock: bool) -> None:
        self._is_same_clock = is_same_clock
        self._samples: deque[OffsetSample] = deque(maxlen=WINDOW)
        self._best: OffsetSample | None = None
        """The one with the shortest round trip: kept, since status asks for it all the time."""

    def add(self, sent_ns: int, peer_received_ns: int, peer_sent_ns: int, received_ns: int) -> None:
        """Take one exchange: our send, the peer's receive and send, our receive."""
        sample = OffsetSample(peer_received_ns - sent_ns, received_ns - peer_sent_ns, received_ns)
        if sample.rtt_ns < 0 or peer_sent_ns < peer_received_ns:
            return  # the peer's times are not of this exchange
        samples = self._samples
        falls_off = samples[0] if len(samples) == WINDOW else None
        samples.append(sample)
        if self._best is None or sample.rtt_ns < self._best.rtt_ns:
            self._best = sample
        elif falls_off is self._best:
            self._best = min(samples, key=lambda kept: kept.rtt_ns)

    @property
    def rtt_ns(self) -> int | None:
        """Get the shortest round trip lately; None before the first exchange."""
        return None if self._best is None else self._best.rtt_ns

    @property
    def estimate(self) -> tuple[int, int] | None:
        """Get (peer's clock minus ours, uncertainty) in ns; None before the first exchange."""
        if self._is_same_clock:
            return 0, 0
        best = self._best
        if best is None:
            return None
        age_ns = self._samples[-1].received_ns - best.received_ns
        return best.offset_ns, best.rtt_ns // 2 + _drift_ns(age_ns) + 1

    @property
    def latency(self) -> LatencyFigures | None:
        """Get how long each way took lately; None before the first exchange.

        The offset of the best exchange is taken from every leg, so what is not known of a leg is
        that exchange's error and the drift between the two.
        """
        samples, best = self._samples, self._best
        if best is None:
            return None
        offset_ns = uncertainty_ns = 0
        if not self._is_same_clock:
            longest_ns = max(
                samples[-1].received_ns - best.received_ns,
                best.received_ns - samples[0].received_ns,
            )
            offset_ns = best.offset_ns
            uncertainty_ns = best.rtt_ns // 2 + _drift_ns(longest_ns) + 1
        return LatencyFigures(
            n_exchanges=len(samples),
            round_trip=spread([s.rtt_ns for s in samples]),
            there=spread([s.there_ns - offset_ns for s in samples]),
            back=spread([s.back_ns + offset_ns for s in samples]),
            uncertainty_ns=uncertainty_ns,
        )


def _drift_ns(age_ns: int) -> int:
    return age_ns * DRIFT_PER_MILLION // 1_000_000
