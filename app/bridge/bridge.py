"""The thread that owns all links of a site: one selector loop over non-blocking TLS connections."""

import logging
import secrets
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from app.bridge.connection import ClosedError, Connection
from app.bridge.events import LinkEvent, LinkState
from app.bridge.lines import BACKOFF_S, Lines
from app.bridge.link import Link
from app.bridge.outbound import Outbound
from app.bridge.peers import LinkStatus, PeerAddress, status_of
from app.bridge.refusals import why_failed
from app.bridge.settings import LinkSettings, LocalSite
from app.bridge.tls import TlsIdentity
from app.core.clock import ClockNs
from app.core.frames import FrameError
from app.core.spikes import PspRecords, SpikeBatch
from app.core.worker import OnFailure, Worker

log = logging.getLogger(__name__)

TICK_S = 0.02
MAX_UNRECORDED = 4096
"""Frames of a peer that may wait for the event log; then it is not read, and TCP holds it back."""
TLS_RECORD_BYTES = 16_384
"""Frames that wait together leave together, up to so much."""

Order = Callable[[int], None]
"""Something to do with the links; it is given the time."""


class Bridge(Worker):
    """All links of one site. `send_*`, `recorded`, `set_gate` and `status` from any thread.

    `on_event` is called from the bridge's thread and must not wait. A peer that does not read, or
    is not there, costs only its own resend ring.

    OpenSSL lets one thread at a time use a connection; two corrupt it. The bridge's thread holds
    `_turn` for all it does between two waits. Whoever sends while it waits takes the turn, writes
    for himself and saves a change of threads; whoever does not get the turn leaves an order.
    """

    def __init__(
        self,
        local: LocalSite,
        identity: TlsIdentity,
        peers: tuple[PeerAddress, ...],
        *,
        listen: tuple[str, int] | None,
        last_seqs: Mapping[str, Mapping[str, int]],
        on_event: Callable[[LinkEvent], None],
        clock_ns: ClockNs,
        on_failure: OnFailure,
        settings: LinkSettings | None = None,
    ) -> None:
        super().__init__("bridge", on_failure)
        self._on_event = on_event
        self._clock_ns = clock_ns
        self._links = {
            peer.site: Link(
                local if peer.streams is None else replace(local, streams=peer.streams),
                peer.site,
                _nonce,
                last_seqs.get(peer.site, {}),
                settings,
            )
            for peer in peers
        }
        self._turn = threading.Lock()
        self._own_thread = 0
        self._orders: deque[Order] = deque()
        self._newly_recorded: dict[tuple[str, str], int] = {}
        self._wake_read, self._wake_write = socket.socketpair()
        self._next_tick_ns = 0
        self._status = tuple(map(status_of, self._links.values()))
        self._lines = Lines(
            identity, {p.site: p for p in peers}, self, listen=listen, clock_ns=clock_ns
        )

    # --- any thread ---------------------------------------------------------------------------

    def send_spikes(self, site: str, batch: SpikeBatch) -> None:
        """Send a batch to a site, now or when it is there again."""
        self._send(site, self._links[site].outbound.queue_spikes, batch)

    def send_psps(self, site: str, records: PspRecords, made_ns: int) -> None:
        """Send PSPs to a site, now or when it is there again (then they stimulate nothing).

        `made_ns` is the time to which their age bounds refer.
        """
        self._send(site, self._links[site].outbound.queue_psps, records, made_ns)

    def recorded(self, site: str, session: str, seq: int) -> None:
        """Note that a peer's frames up to `seq` are in our event log; the next ACK says so."""
        self._newly_recorded[site, session] = seq

    def set_gate(self, arm_state: int, stop_mark: int) -> None:
        """Tell every peer our Gate's state with a heartbeat, at once."""
        self.order(lambda _now_ns: self._set_gate(arm_state, stop_mark))

    def status(self) -> tuple[LinkStatus, ...]:
        """Return a snapshot of every link, at most 20 ms old."""
        return self._status

    @property
    def listen_port(self) -> int | None:
        """Get the port at which peers reach us; None if we do not listen."""
        return self._lines.listen_port

    @property
    def n_strangers(self) -> int:
        """Get how many connections proved no pinned key."""
        return self._lines.n_strangers

    def order(self, act: Order) -> None:
        """Have something done by the bridge's thread, soon."""
        self._orders.append(act)
        try:
            self._wake_write.send(b"\0")
        except (BlockingIOError, OSError):
            return  # full: a wake-up is under way already; closed: the bridge has ended

    def _send(self, site: str, queue: Callable[..., None], *what: Any) -> None:
        """Put something into a peer's outbox and write it, on this thread if the turn is free."""
        if threading.get_ident() == self._own_thread:  # an answer to what has just come
            is_done = self._queue_and_write(site, queue, what)
        elif self._turn.acquire(blocking=False):
            try:
                is_done = self._queue_and_write(site, queue, what)
            finally:
                self._turn.release()
        else:
            is_done = False
        if not is_done:
            self.order(partial(queue, *what))

    def _queue_and_write(
        self, site: str, queue: Callable[..., None], what: tuple[Any, ...]
    ) -> bool:
        """Put something into an outbox and write it; not if orders wait, which came before it."""
        if self._orders:
            return False
        now_ns = self._clock_ns()
        queue(*what, now_ns)
        connection = self._lines.lines[site].open_connection
        if connection is not None and not connection.wants_write:
            self._write_at_once(site, connection, now_ns)
        return True  # what is not written yet, the bridge's thread will write, when it can

    def _write_at_once(self, site: str, connection: Connection, now_ns: int) -> None:
        try:
            _write_all(self._links[site].outbound, connection, now_ns)
        except (OSError, ClosedError) as exc:
            # Its end is for the bridge's thread, which alone tells events.
            self.order(partial(self._failed_at_once, site, connection, str(exc)))
            return
        if connection.wants_write:
            self.order(partial(self._watch, site, connection))

    # --- the bridge's thread ------------------------------------------------------------------

    def prepare(self) -> None:
        """Begin to listen; dialling begins with the first step."""
        self._own_thread = threading.get_ident()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._lines.open(self._wake_read)

    def step(self) -> None:
        """Serve whoever is ready, then what the other threads want, then time."""
        ready = self._lines.wait(TICK_S)
        with self._turn:
            self._lines.serve(ready)
            now_ns = self._clock_ns()
            self._carry_out_orders(now_ns)
            if now_ns >= self._next_tick_ns:
                self._next_tick_ns = now_ns + round(TICK_S * 1e9)
                self._tick(now_ns)
            for site in self._links:
                self._flush(site, now_ns)

    def finish(self) -> None:
        """Say goodbye on every open link and close everything."""
        with self._turn:
            now_ns = self._clock_ns()
            self._carry_out_orders(now_ns)
            for site in self._links:
                self._flush(site, now_ns)
                self._say_bye(site, "the site shuts down")
                self._lines.drop(site, "the bridge ends")
            self._lines.close()
            self._wake_read.close()
            self._wake_write.close()
            self._take_status()

    def _carry_out_orders(self, now_ns: int) -> None:
        while self._newly_recorded:
            (site, session), seq = self._newly_recorded.popitem()
            self._links[site].recorded(session, seq)
        while self._orders:
            self._orders.popleft()(now_ns)

    def _set_gate(self, arm_state: int, stop_mark: int) -> None:
        for link in self._links.values():
            link.set_gate(arm_state, stop_mark)
        self._next_tick_ns = 0  # which comes right after the orders

    def _tick(self, now_ns: int) -> None:
        for site, link in self._links.items():
            self._guarded(site, partial(self._tick_link, link, now_ns))
            self._read_again_if_recorded(site, link)
        self._lines.tick(now_ns)
        self._take_status()

    def _tick_link(self, link: Link, now_ns: int) -> None:
        self._tell(link.on_tick(now_ns))

    def _read_again_if_recorded(self, site: str, link: Link) -> None:
        connection = self._lines.lines[site].open_connection
        if connection is None or connection.wants_read:
            return
        if link.n_unrecorded <= MAX_UNRECORDED // 2:
            self._lines.read(connection, is_wanted=True)

    def _take_status(self) -> None:
        self._status = tuple(map(status_of, self._links.values()))

    def _flush(self, site: str, now_ns: int) -> None:
        """Write what the link has, for as long as the socket takes it."""
        connection = self._lines.lines[site].open_connection
        link = self._links[site]
        if connection is not None and (connection.wants_write or link.outbound.has_next()):
            self._guarded(site, partial(self._write, link, connection, now_ns))

    def _write(self, link: Link, connection: Connection, now_ns: int) -> None:
        had_to_wait = connection.wants_write
        _write_all(link.outbound, connection, now_ns)
        if had_to_wait != connection.wants_write:
            self._lines.watch(connection)

    def _watch(self, site: str, connection: Connection, _now_ns: int) -> None:
        if self._lines.lines[site].connection is connection:
            self._lines.watch(connection)

    # --- told by the lines ----------------------------------------------------------------------

    def opened(self, site: str) -> None:
        """Greet a peer on its new connection."""
        now_ns = self._clock_ns()
        self._links[site].on_connected(now_ns)
        self._flush(site, now_ns)
        self.readable(site)  # what came with the end of the handshake

    def readable(self, site: str) -> None:
        """Take the frames that have come from a peer."""
        line = self._lines.lines[site]
        connection = line.open_connection
        if connection is None:
            return  # it hung up at once, as a peer does that refuses our certificate
        link = self._links[site]
        now_ns = self._clock_ns()

        try:
            for frame in connection.read_frames():
                for event in link.on_frame(frame, now_ns):
                    self._on_event(event)
        except (FrameError, OSError, ClosedError) as exc:
            self._broken(site, exc)
        if link.state is LinkState.UP:
            line.backoff_s = BACKOFF_S[0]
        if link.n_unrecorded > MAX_UNRECORDED and line.connection is connection:
            log.warning("%s: sends faster than this site can record; not read for now", site)
            self._lines.read(connection, is_wanted=False)

    def closed(self, site: str, reason: str) -> None:
        """Note that a peer's connection is gone."""
        link = self._links[site]
        if link.state is LinkState.DOWN:
            link.reason = reason
        self._tell(link.on_disconnected(reason, self._clock_ns()))

    # --- ends -----------------------------------------------------------------------------------

    def _guarded(self, site: str, act: Callable[[], None]) -> None:
        """Do something with a peer; a fault on its connection closes that connection only."""
        try:
            act()
        except (FrameError, OSError, ClosedError) as exc:
            self._broken(site, exc)

    def _broken(self, site: str, exc: Exception) -> None:
        if isinstance(exc, FrameError):
            self._say_bye(site, str(exc))
        reason = why_failed(exc)
        if isinstance(exc, ClosedError) and self._links[site].state is LinkState.GREETING:
            reason += " before its greeting: ask whether our key is still trusted there"
        self._lines.drop(site, reason)

    def _failed_at_once(self, site: str, connection: Connection, reason: str, _now_ns: int) -> None:
        if self._lines.lines[site].connection is connection:
            self._lines.drop(site, reason)

    def _say_bye(self, site: str, reason: str) -> None:
        connection = self._lines.lines[site].open_connection
        if connection is not None:
            try:
                connection.write(self._links[site].bye_bytes(reason))
            except (OSError, ssl.SSLError):
                log.debug("%s: gone before it could be told why", site)

    def _tell(self, events: list[LinkEvent]) -> None:
        for event in events:
            self._on_event(event)


def _write_all(outbound: Outbound, connection: Connection, now_ns: int) -> None:
    """Write what waits until the socket takes no more; then `wants_write` says so."""
    if connection.wants_write and not connection.write():
        return
    while data := outbound.next_chunk(now_ns, TLS_RECORD_BYTES):
        if not connection.write(data) or len(data) < TLS_RECORD_BYTES:
            return


def _nonce() -> int:
    return secrets.randbits(63) | 1
