"""The thread that watches: leases from what really moves, time for the Gate, health for outside."""

from collections.abc import Callable, Mapping

from app.core.clock import ClockNs
from app.core.worker import OnFailure, Worker
from app.safety.gate import Gate
from app.safety.leases import Lease, LeaseNeed, link_lease

INTERVAL_S = 0.02
AMPLIFIER_LEASE = "amplifier data"
EVENT_LOG_LEASE = "event log"
CONSOLE_LEASE = "console"
AMPLIFIER_LIMIT_NS = 500_000_000
EVENT_LOG_LIMIT_NS = 1_000_000_000
CONSOLE_LIMIT_NS = 1_800_000_000
"""Promised is a trip within 2 s of a console's last sign of life, on a busy machine too."""
LINK_LIMIT_NS = 400_000_000
ANCHOR_INTERVAL_NS = 600 * 1_000_000_000
"""How often site time is held against UTC for the record."""

IsAlive = Callable[[int], bool]
"""Takes the time now; says whether what it watches has moved lately."""


def leases_of(has_amplifier: bool, peers: tuple[str, ...]) -> list[Lease]:
    """Return the leases on which this site's arming, and remote causes, live."""
    leases = [
        Lease(EVENT_LOG_LEASE, EVENT_LOG_LIMIT_NS, LeaseNeed.ARMED),
        Lease(CONSOLE_LEASE, CONSOLE_LIMIT_NS, LeaseNeed.ARMED_BY_PERSON),
    ]
    if has_amplifier:
        leases.append(Lease(AMPLIFIER_LEASE, AMPLIFIER_LIMIT_NS, LeaseNeed.ARMED))
    return leases + [Lease(link_lease(p), LINK_LIMIT_NS, LeaseNeed.LINK) for p in peers]


class Watch(Worker):
    """Renews a lease for as long as its source is alive, ticks the Gate, proves health.

    `beat` is called about once a second, only if every source in `health` is alive; `anchor` every
    ten minutes.
    """

    def __init__(
        self,
        gate: Gate,
        sources: Mapping[str, IsAlive],
        health: Mapping[str, IsAlive],
        *,
        beat: Callable[[], None],
        anchor: Callable[[], None],
        clock_ns: ClockNs,
        on_failure: OnFailure,
    ) -> None:
        super().__init__("watch", on_failure)
        self._gate = gate
        self._sources = dict(sources)
        self._health = dict(health)
        self._beat = beat
        self._clock_ns = clock_ns
        self._anchor = anchor
        self._next_beat_ns = 0
        self._next_anchor_ns = clock_ns() + ANCHOR_INTERVAL_NS

    def step(self) -> None:
        """Look at everything once."""
        now_ns = self._clock_ns()
        for name, is_alive in self._sources.items():
            if is_alive(now_ns):
                self._gate.lease_renewed(name, now_ns)
        self._gate.tick(now_ns)
        if now_ns >= self._next_beat_ns and all(h(now_ns) for h in self._health.values()):
            self._next_beat_ns = now_ns + 1_000_000_000
            self._beat()
        if now_ns >= self._next_anchor_ns:
            self._next_anchor_ns = now_ns + ANCHOR_INTERVAL_NS
            self._anchor()
        self.stop_requested.wait(INTERVAL_S)
