"""Two sites on a virtual network that jumps from event to event. No tests in here.

Everything follows from the seed: delays, cuts in the middle of a frame, stalls, restarts of either
side, clocks that are hours apart. A thousand of these take seconds.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from link_world import MS, S, local

from app.bridge.events import GapDeclared, LinkEvent, LinkState, PspsReceived, SpikesReceived
from app.bridge.link import Link
from app.bridge.settings import LinkSettings
from app.core.frames import FrameDecoder, FrameError
from app.core.spikes import PSP_RECORD, SPIKE_RECORD, SpikeBatch

TICK_NS = 20 * MS
PSPS_PER_BATCH = 60
DEADLINE_NS = 150 * MS

QUICK = LinkSettings(
    heartbeat_ns=20 * MS,
    suspect_ns=100 * MS,
    down_ns=250 * MS,
    hello_ns=300 * MS,
    ack_ns=20 * MS,
    late_after_ns=100 * MS,
)
"""Timers short enough that silence, DOWN and a new connection fit a second of virtual time."""
SMALL_RING = LinkSettings(
    heartbeat_ns=20 * MS,
    suspect_ns=100 * MS,
    down_ns=250 * MS,
    hello_ns=300 * MS,
    ack_ns=20 * MS,
    late_after_ns=100 * MS,
    ring_age_ns=400 * MS,
    ring_bytes=20_000,
)
"""So short a memory that cuts make gaps."""


@dataclass
class Heard:
    """What a site has on record of the other, over its own restarts: numbers, by session."""

    numbers: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)
    n_psps: int = 0
    n_live: int = 0
    n_past_deadline: int = 0
    is_live: bool = False


class Site:
    """One end of the link: what dies with its process, and what stays on its disk."""

    def __init__(self, name: str, peer: str, net: "Net") -> None:
        self.name, self.peer, self.net = name, peer, net
        self.offset_ns = net.rng.randint(-3600 * S, 3600 * S)
        self.heard = Heard()
        self.sent: dict[str, int] = {}
        self.session = ""
        self.start()

    def start(self) -> None:
        """Begin a new process: only the record of before is left."""
        number = next(self.net.sessions)
        mine = local(self.name, number, clock=f"clock of {self.name}")
        self.session = mine.session
        last = dict(self.heard.recorded)
        self.link = Link(mine, self.peer, self.net.nonce, last, self.net.settings)
        self.decoder = FrameDecoder()
        self.heard.is_live = False
        for session, numbers in self.heard.numbers.items():
            until = last.get(session, 0)
            self.heard.numbers[session] = [n for n in numbers if n[1] <= until]

    def clock(self) -> int:
        """This site's clock now."""
        return self.net.now_ns + self.offset_ns

    def send(self) -> None:
        """Send a few spikes and, after them, a batch of PSPs."""
        rng, now_ns = self.net.rng, self.clock()
        records = np.zeros(rng.randint(0, 3), SPIKE_RECORD)
        self.link.outbound.queue_spikes(SpikeBatch(0, records, now_ns, now_ns), now_ns)
        psps = np.zeros(PSPS_PER_BATCH, PSP_RECORD)
        waited_ns = rng.randint(0, rng.choice((20 * MS, DEADLINE_NS)))
        psps["pre_time_ns"] = self.net.now_ns - waited_ns  # the true time, for the check
        psps["age_bound_us"] = -(-waited_ns // 1000)
        made_ns = now_ns - rng.choice((0, 0, rng.randint(0, 20 * MS)))
        psps["pre_time_ns"] -= now_ns - made_ns
        self.link.outbound.queue_psps(psps, made_ns, now_ns)
        self.sent[self.session] = self.link.counts.n_frames_sent

    def take(self, events: list[LinkEvent]) -> None:
        """Keep what the link says; what is not recorded yet dies with the process."""
        for event in events:
            if isinstance(event, SpikesReceived | PspsReceived):
                self._note(event.session, event.seq, event.seq)
                if isinstance(event, PspsReceived):
                    self._judge(event)
            elif isinstance(event, GapDeclared):
                self._note(event.session, event.first_seq, event.last_seq)

    def _note(self, session: str, first: int, last: int) -> None:
        self.heard.numbers.setdefault(session, []).append((first, last))
        if self.net.rng.random() < 0.9:  # else the process may die before the commit
            self.heard.recorded[session] = last
            self.link.recorded(session, last)

    def _judge(self, event: PspsReceived) -> None:
        """As the reception and the Gate do: what is fresh enough stimulates."""
        self.heard.n_psps += len(event.records)
        is_up = self.link.state is LinkState.UP
        if event.is_resend or event.age_bound_ns is None or not is_up:
            return
        bound_ns = event.age_bound_ns + event.records["age_bound_us"].astype(np.int64) * 1000
        is_live = bound_ns <= DEADLINE_NS
        age_ns = self.net.now_ns - event.records["pre_time_ns"]
        self.heard.n_live += int(is_live.sum())
        self.heard.n_past_deadline += int((is_live & (age_ns > DEADLINE_NS)).sum())


class Net:
    """Both sites, the connection between them and the virtual time."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.settings = self.rng.choice((QUICK, QUICK, SMALL_RING))
        self.now_ns = 0
        self.nonce = itertools.count(1).__next__
        self.sessions = itertools.count(1)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.one_way_ns = self.rng.choice((0, 5 * MS, 20 * MS, 50 * MS))
        self.sites = (Site("a", "b", self), Site("b", "a", self))
        self.is_connected = False
        self.connection = 0
        self.stalled_until_ns = 0
        self._last_arrival = [0, 0]

    def at(self, time_ns: int, act: Callable[[], None]) -> None:
        """Have something done at a time."""
        heapq.heappush(self._queue, (time_ns, next(self._order), act))

    def run(self, until_ns: int) -> None:
        """Let virtual time pass."""
        while self._queue and self._queue[0][0] <= until_ns:
            self.now_ns, _, act = heapq.heappop(self._queue)
            act()
        self.now_ns = until_ns

    # --- the network ----------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect anew, if nothing stands."""
        if self.is_connected:
            return
        self.is_connected = True
        self.connection += 1
        self._last_arrival = [0, 0]
        for site in self.sites:
            site.decoder = FrameDecoder()
            site.link.on_connected(site.clock())
        self.flush()

    def drop(self, reason: str) -> None:
        """End the connection for both; it comes back by itself."""
        if not self.is_connected:
            return
        self.is_connected = False
        for site in self.sites:
            site.take(site.link.on_disconnected(reason, site.clock()))
        self.at(self.now_ns + self.rng.randint(10, 120) * MS, self.connect)

    def flush(self) -> None:
        """Put on the wire what the links have."""
        for index, site in enumerate(self.sites):
            while self.is_connected and site.link.outbound.has_next():
                data = site.link.outbound.next_chunk(site.clock(), 1)
                delay_ns = self.one_way_ns + self.rng.randint(0, 1 + self.one_way_ns // 4)
                arrival = max(self._last_arrival[index], self.now_ns + delay_ns)
                arrival = max(arrival, self.stalled_until_ns)
                self._last_arrival[index] = arrival
                self._carry(self.sites[1 - index], data, arrival, self.connection)

    def _carry(self, to: Site, data: bytes, arrival_ns: int, connection: int) -> None:
        cut_at = self.rng.randrange(len(data))
        for piece in (data[:cut_at], data[cut_at:]):

            def arrive(piece: bytes = piece) -> None:
                if self.is_connected and self.connection == connection:
                    self._guarded(to, lambda: self._frames(to, piece))

            self.at(arrival_ns, arrive)

    def _frames(self, to: Site, piece: bytes) -> list[LinkEvent]:
        events: list[LinkEvent] = []
        for frame in to.decoder.feed(piece):
            events += to.link.on_frame(frame, to.clock())
        return events

    def _guarded(self, site: Site, act: Callable[[], list[LinkEvent]]) -> None:
        try:
            site.take(act())
        except FrameError as exc:
            self.drop(str(exc))
        self.flush()

    # --- the course -----------------------------------------------------------------------------

    def tick(self) -> None:
        """As the bridges do, every 20 ms."""
        self.at(self.now_ns + TICK_NS, self.tick)
        for site in self.sites:
            if self.is_connected:
                self._guarded(site, lambda site=site: site.link.on_tick(site.clock()))

    def play(self, n_batches: int, n_faults: int) -> None:
        """Run a whole course of sending and faults, then let it come to rest."""
        self.at(0, self.connect)
        self.at(0, self.tick)
        span_ns = 600 * MS
        for site in self.sites:
            for _ in range(n_batches):
                self.at(self.rng.randint(50 * MS, span_ns), lambda s=site: (s.send(), self.flush()))
        for _ in range(n_faults):
            fault = self.rng.choice((self.cut, self.stall, self.restart, self.spoil))
            self.at(self.rng.randint(50 * MS, span_ns), fault)
        self.run(span_ns)
        self.stalled_until_ns = 0
        self.run(span_ns + 900 * MS)

    def cut(self) -> None:
        """Lose the connection with all that is under way."""
        self.drop("cut")

    def stall(self) -> None:
        """Let nothing through for a while, as lost packets do."""
        self.stalled_until_ns = self.now_ns + self.rng.choice((30, 150, 400)) * MS

    def spoil(self) -> None:
        """Break the frame under way: the decoder must notice, the numbers must not suffer."""
        site = self.rng.choice(self.sites)
        self._guarded(site, lambda: self._frames(site, self.rng.randbytes(60)))

    def restart(self) -> None:
        """Kill one side's process; a new one has only the record."""
        site = self.rng.choice(self.sites)
        self.drop("the other end died")
        site.start()
