"""Sites joined by links over a virtual network, on a virtual clock. No tests in here."""

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from app.bridge.bodies import StreamInfo
from app.bridge.events import LinkEvent
from app.bridge.link import Link
from app.bridge.settings import LinkSettings, LocalSite
from app.core.frames import FrameDecoder, FrameError
from app.core.spikes import SPIKE_RECORD, EventKind, Provenance, SpikeBatch

MS = 1_000_000
S = 1_000_000_000
TICK_NS = 20 * MS
"""As the bridge does it."""

Delay = Callable[[], int]
"""One way, in ns, drawn anew for each write."""


def no_delay() -> int:
    return 0


def jittered(seed: int, mean_ns: int = 80 * MS, spread_ns: int = 20 * MS) -> Delay:
    rng = random.Random(seed)
    return lambda: mean_ns + rng.randint(-spread_ns, spread_ns)


def local(site: str, session: int, neurons: Sequence[int] = (), clock: str = "one") -> LocalSite:
    streams = (StreamInfo(stream=0, name="x", provenance=Provenance.MOCK, neurons=tuple(neurons)),)
    return LocalSite(site, f"{session:032x}", "hash", clock, streams)


def spikes(events: Sequence[tuple[int, ...]]) -> np.ndarray:
    """`events` are (time_ns, neuron) or (time_ns, neuron, kind)."""
    records = np.zeros(len(events), SPIKE_RECORD)
    for record, (time_ns, neuron, *kind) in zip(records, events, strict=True):
        record["time_ns"] = time_ns
        record["neuron"] = neuron
        record["kind"] = kind[0] if kind else EventKind.SPONTANEOUS_SPIKE
    return records


@dataclass
class End:
    """One link and what it was told and said."""

    link: Link
    clock_offset_ns: int = 0
    decoder: FrameDecoder = field(default_factory=FrameDecoder)
    events: list[LinkEvent] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    arriving: list[tuple[int, bytes]] = field(default_factory=list)
    records_at_once: bool = True


class Wire:
    """One connection between two links; bytes keep their order, each write has its delay."""

    def __init__(
        self,
        a: End,
        b: End,
        delay: Delay = no_delay,
        reconnect_ns: int = 200 * MS,
        delay_back: Delay | None = None,
    ) -> None:
        self.ends = (a, b)
        self.delays = (delay, delay_back or delay)
        """From a to b, and from b to a."""
        self.reconnect_ns = reconnect_ns
        self.is_up = False
        self.is_dead = False
        self.is_stalled = False
        self._next_connect_ns = 0
        self._next_tick_ns = 0

    def cut(self, now_ns: int, reason: str = "cut", keep_bytes: int = 0) -> None:
        """Break the connection; only `keep_bytes` of what is under way still arrive."""
        for end in self.ends:
            end.arriving.sort(key=lambda item: item[0])
            data = b"".join(piece for _, piece in end.arriving)[:keep_bytes]
            end.arriving.clear()
            if data and self.is_up:
                self._feed(end, data, now_ns)
        self._drop(now_ns, reason)

    def step(self, now_ns: int) -> None:
        """Do everything that is due at this moment."""
        if self.is_dead:
            return
        if not self.is_up and now_ns >= self._next_connect_ns:
            self._connect(now_ns)
        for end in self.ends:
            self._deliver(end, now_ns)
        if now_ns >= self._next_tick_ns:
            self._next_tick_ns = now_ns + TICK_NS
            for end in self.ends:
                self._guarded(end, now_ns, partial(end.link.on_tick, now_ns + end.clock_offset_ns))
        a, b = self.ends
        self._write(a, b, self.delays[0], now_ns)
        self._write(b, a, self.delays[1], now_ns)
        for end in self.ends:
            self._deliver(end, now_ns)

    def _connect(self, now_ns: int) -> None:
        self.is_up = True
        for end in self.ends:
            end.decoder = FrameDecoder()
            end.arriving.clear()
            end.link.on_connected(now_ns + end.clock_offset_ns)

    def _write(self, sender: End, receiver: End, delay: Delay, now_ns: int) -> None:
        while self.is_up and not self.is_stalled and sender.link.outbound.has_next():
            data = sender.link.outbound.next_chunk(now_ns + sender.clock_offset_ns, 1)
            last = receiver.arriving[-1][0] if receiver.arriving else 0
            receiver.arriving.append((max(last, now_ns + delay()), data))

    def _deliver(self, end: End, now_ns: int) -> None:
        while self.is_up and end.arriving and end.arriving[0][0] <= now_ns:
            self._feed(end, end.arriving.pop(0)[1], now_ns)

    def _feed(self, end: End, data: bytes, now_ns: int) -> None:
        def take() -> list[LinkEvent]:
            events: list[LinkEvent] = []
            for frame in end.decoder.feed(data):
                events += end.link.on_frame(frame, now_ns + end.clock_offset_ns)
            return events

        self._guarded(end, now_ns, take)

    def _guarded(self, end: End, now_ns: int, act: Callable[[], list[LinkEvent]]) -> None:
        try:
            for event in act():
                end.events.append(event)
                if end.records_at_once and hasattr(event, "seq"):
                    end.link.recorded(event.session, event.seq)
        except FrameError as exc:
            end.errors.append(str(exc))
            self._drop(now_ns, str(exc))

    def _drop(self, now_ns: int, reason: str) -> None:
        if self.is_up:
            self.is_up = False
            self._next_connect_ns = now_ns + self.reconnect_ns
            for end in self.ends:
                end.events += end.link.on_disconnected(reason, now_ns + end.clock_offset_ns)


def pair(
    delay: Delay = no_delay,
    settings: LinkSettings | None = None,
    b_offset_ns: int = 0,
    delay_back: Delay | None = None,
) -> Wire:
    """Two sites, a and b, on one clock or on two."""
    nonces = itertools.count(1)
    clock = "one" if b_offset_ns == 0 else "other"
    a = End(Link(local("a", 1, (1,)), "b", lambda: next(nonces), {}, settings))
    b = End(
        Link(local("b", 2, (2,), clock), "a", lambda: next(nonces), {}, settings),
        clock_offset_ns=b_offset_ns,
    )
    return Wire(a, b, delay, delay_back=delay_back)


def run(
    wire: Wire, from_ns: int, to_ns: int, at: Callable[[int], None] = lambda _now: None
) -> None:
    """Let virtual time pass in steps of 1 ms; `at(now)` comes first in each."""
    for now_ns in range(from_ns, to_ns, MS):
        at(now_ns)
        wire.step(now_ns)


def batch(events: Sequence[tuple[int, ...]], complete_ns: int) -> SpikeBatch:
    return SpikeBatch(0, spikes(events), complete_ns, complete_ns)
