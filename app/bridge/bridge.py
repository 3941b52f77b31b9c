"""The thread that owns all links of a site: one selector loop over non-blocking TLS sockets."""

import errno
import logging
import random
import secrets
import selectors
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from app.bridge.bodies import StreamInfo
from app.bridge.connection import ClosedError, Connection, Stage
from app.bridge.events import LinkEvent, LinkState
from app.bridge.link import Link, LinkCounts, LinkSettings, LocalSite
from app.bridge.tls import StrangerError, TlsIdentity
from app.core.clock import ClockNs
from app.core.frames import Frame, FrameError
from app.core.spikes import PspRecords, SpikeBatch
from app.core.worker import OnFailure, Worker

log = logging.getLogger(__name__)

TICK_S = 0.02
CONNECT_LIMIT_NS = 1_000_000_000
HANDSHAKE_LIMIT_NS = 5_000_000_000
MAX_UNKNOWN = 8
"""Connections that have not proved a key; the oldest gives way to a new one."""
BACKOFF_S = (0.2, 1.5)
"""First and longest wait before dialling again."""
USER_TIMEOUT_MS = 3000
PIN_INTERVAL_NS = 1_000_000_000
NOTSENT_LOWAT_BYTES = 16_384
"""What is not sent yet waits in our ring, where it ages visibly, not in the kernel."""
_TCP_NOTSENT_LOWAT = 25


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer listens; without host it dials us."""

    site: str
    host: str | None = None
    port: int | None = None
    streams: tuple[StreamInfo, ...] | None = None
    """Those of our streams that this peer may receive and is told of; None: all."""


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """One link at one moment."""

    site: str
    state: LinkState
    since_ns: int
    reason: str
    last_frame_ns: int
    rtt_ns: int | None
    offset_ns: int | None
    uncertainty_ns: int | None
    experiment_hash: str
    counts: LinkCounts


@dataclass(slots=True)
class _Peer:
    address: PeerAddress
    link: Link
    connection: Connection | None = None
    next_dial_ns: int = 0
    backoff_s: float = BACKOFF_S[0]
    is_revoked: bool = False


class Bridge(Worker):
    """All links of one site. `send_*`, `recorded`, `set_gate` and `status` from any thread.

    `on_event` is called from the bridge's thread and must not wait. A peer that does not read, or
    is not there, costs only its own resend ring.
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
        self._identity = identity
        self._listen_address = listen
        self._on_event = on_event
        self._clock_ns = clock_ns
        self._random = random.Random()
        self._peers = {
            peer.site: _Peer(
                peer,
                Link(
                    local if peer.streams is None else replace(local, streams=peer.streams),
                    peer.site,
                    _nonce,
                    last_seqs.get(peer.site, {}),
                    settings,
                ),
            )
            for peer in peers
        }
        self._unknown: list[Connection] = []
        self._site_of: dict[Connection, str] = {}
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._orders: deque[Callable[[int], None]] = deque()
        self._wake_read, self._wake_write = socket.socketpair()
        self._next_tick_ns = 0
        self._next_pins_ns = 0
        self.listen_port: int | None = None
        self.n_strangers = 0
        self._status: tuple[LinkStatus, ...] = ()
        if listen is not None:
            self._listener = _listen(listen)
            self.listen_port = int(self._listener.getsockname()[1])

    # --- any thread ---------------------------------------------------------------------------

    def send_spikes(self, site: str, batch: SpikeBatch) -> None:
        """Send a batch to a site, now or when it is there again."""
        link = self._peers[site].link
        self._order(lambda now_ns: link.queue_spikes(batch, now_ns))

    def send_psps(self, site: str, records: PspRecords, made_ns: int) -> None:
        """Send PSPs to a site, now or when it is there again (then they stimulate nothing).

        `made_ns` is the time to which their age bounds refer.
        """
        link = self._peers[site].link
        self._order(lambda now_ns: link.queue_psps(records, now_ns, made_ns))

    def recorded(self, site: str, session: str, seq: int) -> None:
        """Note that a peer's frames up to `seq` are in our event log; the next ACK says so."""
        link = self._peers[site].link
        self._orders.append(lambda _now_ns: link.recorded(session, seq))

    def set_gate(self, arm_state: int, stop_mark: int) -> None:
        """Tell every peer our Gate's state with a heartbeat, at once."""
        for peer in self._peers.values():
            self._order(partial(_set_gate, peer.link, arm_state, stop_mark))

    def status(self) -> tuple[LinkStatus, ...]:
        """Return a snapshot of every link, at most 20 ms old."""
        return self._status

    def _order(self, order: Callable[[int], None]) -> None:
        self._orders.append(order)
        try:
            self._wake_write.send(b"\0")
        except (BlockingIOError, OSError):
            return  # full: a wake-up is under way already; closed: the bridge has ended

    # --- the bridge's thread ------------------------------------------------------------------

    def prepare(self) -> None:
        """Begin to listen; dialling begins with the first step."""
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        if self._listener is not None:
            self._selector.register(self._listener, selectors.EVENT_READ)

    def step(self) -> None:
        """Serve whoever is ready, then what the other threads want, then time."""
        for key, events in self._selector.select(timeout=TICK_S):
            if key.fileobj is self._wake_read:
                self._drain_wake_ups()
            elif key.fileobj is self._listener:
                self._accept()
            else:
                self._serve(key.data, events)
        self._carry_out_orders()
        now_ns = self._clock_ns()
        if now_ns >= self._next_tick_ns:
            self._next_tick_ns = now_ns + round(TICK_S * 1e9)
            self._tick(now_ns)
        for peer in self._peers.values():
            self._flush(peer)

    def finish(self) -> None:
        """Say goodbye on every open link and close everything."""
        self._carry_out_orders()
        for peer in self._peers.values():
            self._flush(peer)
            if peer.connection is not None and peer.connection.stage is Stage.OPEN:
                self._guarded(peer, partial(_say_bye, peer))
            self._drop(peer, "the bridge ends")
        for connection in self._unknown:
            self._forget(connection)
        for sock in (self._listener, self._wake_read, self._wake_write):
            if sock is not None:
                sock.close()
        self._selector.close()
        self._take_status()

    def _drain_wake_ups(self) -> None:
        try:
            while self._wake_read.recv(4096):
                pass
        except BlockingIOError:
            return

    def _carry_out_orders(self) -> None:
        now_ns = self._clock_ns()
        while self._orders:
            self._orders.popleft()(now_ns)

    def _tick(self, now_ns: int) -> None:
        for peer in self._peers.values():
            self._guarded(peer, partial(self._tick_link, peer.link, now_ns))
            self._dial_if_due(peer, now_ns)
            self._give_up_if_slow(peer, now_ns)
        self._look_at_pins(now_ns)
        for connection in list(self._unknown):
            if now_ns - connection.since_ns > HANDSHAKE_LIMIT_NS:
                self._reject(connection, "no handshake in time")
        self._take_status()

    def _tick_link(self, link: Link, now_ns: int) -> None:
        self._tell(link.on_tick(now_ns))

    def _look_at_pins(self, now_ns: int) -> None:
        """Once a second: a peer that was revoked is cut off and not dialled again."""
        if now_ns < self._next_pins_ns:
            return
        self._next_pins_ns = now_ns + PIN_INTERVAL_NS
        for site, peer in self._peers.items():
            peer.is_revoked = not self._identity.is_pinned(site)
            if peer.is_revoked:
                peer.link.reason = "revoked: its certificate is no longer pinned here"
                self._drop(peer, peer.link.reason)

    def _take_status(self) -> None:
        self._status = tuple(_status_of(peer) for peer in self._peers.values())

    # --- connections --------------------------------------------------------------------------

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            sock, address = self._listener.accept()
        except OSError:
            return
        try:
            _tune(sock)
            connection = Connection(
                self._identity.wrap(sock, is_server=True),
                is_server=True,
                now_ns=self._clock_ns(),
            )
        except OSError as exc:
            log.info("connection from %s: %s", address, exc)
            sock.close()
            return
        if len(self._unknown) >= MAX_UNKNOWN:
            self._reject(self._unknown[0], "made room for a newer connection")
        self._unknown.append(connection)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _dial_if_due(self, peer: _Peer, now_ns: int) -> None:
        address = peer.address
        if peer.connection is not None or address.host is None or peer.is_revoked:
            return
        if now_ns < peer.next_dial_ns:
            return
        self._plan_next_dial(peer, now_ns)
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            _tune(sock)
            code = sock.connect_ex((address.host, address.port or 0))
        except OSError as exc:
            peer.link.reason = f"cannot dial {address.host}:{address.port}: {exc}"
            sock.close()
            return
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            return
        connection = Connection(sock, is_server=False, now_ns=now_ns)
        peer.connection = connection
        self._site_of[connection] = address.site
        self._selector.register(sock, selectors.EVENT_WRITE | selectors.EVENT_READ, connection)

    def _plan_next_dial(self, peer: _Peer, now_ns: int) -> None:
        wait_s = peer.backoff_s * self._random.uniform(0.75, 1.25)
        peer.next_dial_ns = now_ns + round(wait_s * 1e9)
        peer.backoff_s = min(BACKOFF_S[1], 2 * peer.backoff_s)

    def _give_up_if_slow(self, peer: _Peer, now_ns: int) -> None:
        connection = peer.connection
        if connection is None or connection.stage is Stage.OPEN:
            return
        is_connecting = connection.stage is Stage.CONNECTING
        limit_ns = CONNECT_LIMIT_NS if is_connecting else HANDSHAKE_LIMIT_NS
        if now_ns - connection.since_ns > limit_ns:
            self._drop(peer, f"{connection.stage.value} took too long")

    def _serve(self, connection: Connection, events: int) -> None:
        site = self._site_of.get(connection)
        if site is None:
            self._greet(connection)
            return
        peer = self._peers[site]
        self._guarded(peer, lambda: self._advance(peer, connection, events))

    def _greet(self, connection: Connection) -> None:
        """Go on with a handshake from outside; who it is shows only at its end."""
        if connection not in self._unknown:
            return  # already closed in this turn
        try:
            if not connection.handshake():
                self._select(connection)
                return
            site = self._identity.peer_of(connection.socket)  # type: ignore[arg-type]
        except (OSError, StrangerError, ClosedError) as exc:
            self._reject(connection, str(exc))
            return
        self._unknown.remove(connection)
        peer = self._peers[site]
        if peer.connection is not None:
            self._drop(peer, "a newer connection of the same site took over")
        peer.connection = connection
        self._site_of[connection] = site
        self._guarded(peer, lambda: self._opened(peer, connection))

    def _advance(self, peer: _Peer, connection: Connection, events: int) -> None:
        if connection.stage is Stage.CONNECTING:
            self._connected(connection)
        if connection.stage is Stage.HANDSHAKE:
            if connection.handshake():
                site = self._identity.peer_of(connection.socket)  # type: ignore[arg-type]
                if site != peer.address.site:
                    raise StrangerError(f"{peer.address.site}'s address is answered by {site}")
                self._opened(peer, connection)
            else:
                self._select(connection)
            return
        if events & selectors.EVENT_READ:
            self._read(peer, connection)

    def _connected(self, connection: Connection) -> None:
        code = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, errno.errorcode.get(code, "connect failed"))
        self._selector.unregister(connection.socket)
        connection.socket = self._identity.wrap(connection.socket, is_server=False)
        connection.stage = Stage.HANDSHAKE
        connection.since_ns = self._clock_ns()
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _opened(self, peer: _Peer, connection: Connection) -> None:
        peer.link.on_connected(self._clock_ns())
        self._flush(peer)
        if peer.connection is not connection:
            return  # the other end hung up at once, as it does when it refuses our certificate
        self._select(connection)
        if connection.has_unread:
            self._read(peer, connection)

    def _read(self, peer: _Peer, connection: Connection) -> None:
        now_ns = self._clock_ns()
        for frame in connection.read_frames():
            self._take(peer, frame, now_ns)

    def _take(self, peer: _Peer, frame: Frame, now_ns: int) -> None:
        events = peer.link.on_frame(frame, now_ns)
        if peer.link.state is LinkState.UP:
            peer.backoff_s = BACKOFF_S[0]
        self._tell(events)

    def _flush(self, peer: _Peer) -> None:
        """Write what the link has, for as long as the socket takes it."""
        connection = peer.connection
        if connection is None or connection.stage is not Stage.OPEN:
            return
        if connection.wants_write or peer.link.has_next():
            self._guarded(peer, lambda: self._write_all(peer, connection))

    def _write_all(self, peer: _Peer, connection: Connection) -> None:
        now_ns = self._clock_ns()
        had_to_wait = connection.wants_write
        while connection.write() and peer.link.has_next():
            connection.write(peer.link.next_bytes(now_ns))
            if connection.wants_write:
                break
        if had_to_wait != connection.wants_write:
            self._select(connection)

    def _select(self, connection: Connection) -> None:
        events = selectors.EVENT_READ
        if connection.wants_write:
            events |= selectors.EVENT_WRITE
        self._selector.modify(connection.socket, events, connection)

    # --- ends ---------------------------------------------------------------------------------

    def _guarded(self, peer: _Peer, act: Callable[[], None]) -> None:
        """Do something with a peer; a fault on its connection closes that connection only."""
        try:
            act()
        except FrameError as exc:
            self._close_with_reason(peer, str(exc))
        except (OSError, ClosedError, StrangerError) as exc:
            self._drop(peer, str(exc) or type(exc).__name__)

    def _close_with_reason(self, peer: _Peer, reason: str) -> None:
        connection = peer.connection
        if connection is not None and connection.stage is Stage.OPEN:
            try:
                connection.write(peer.link.bye_bytes(reason))
            except (OSError, ssl.SSLError):
                log.debug("%s: gone before it could be told why", peer.address.site)
        self._drop(peer, reason)

    def _drop(self, peer: _Peer, reason: str) -> None:
        connection, peer.connection = peer.connection, None
        if connection is None:
            return
        self._site_of.pop(connection, None)
        self._forget(connection)
        now_ns = self._clock_ns()
        if peer.link.state is LinkState.DOWN:
            peer.link.reason = reason
        self._tell(peer.link.on_disconnected(reason, now_ns))

    def _reject(self, connection: Connection, reason: str) -> None:
        self.n_strangers += 1
        log.info("connection rejected: %s", reason)
        self._unknown.remove(connection)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        try:
            self._selector.unregister(connection.socket)
        except (KeyError, ValueError):
            log.debug("connection was not registered")
        connection.close()

    def _tell(self, events: list[LinkEvent]) -> None:
        for event in events:
            self._on_event(event)


def _nonce() -> int:
    return secrets.randbits(63) | 1


def _set_gate(link: Link, arm_state: int, stop_mark: int, _now_ns: int) -> None:
    link.set_gate(arm_state, stop_mark)


def _say_bye(peer: _Peer) -> None:
    if peer.connection is not None:
        peer.connection.write(peer.link.bye_bytes("the site shuts down"))


def _listen(address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _tune(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)


def _status_of(peer: _Peer) -> LinkStatus:
    link = peer.link
    offset_ns, uncertainty_ns = link.offset or (None, None)
    return LinkStatus(
        site=link.peer,
        state=link.state,
        since_ns=link.state_since_ns,
        reason=link.reason,
        last_frame_ns=link.last_frame_ns,
        rtt_ns=link.rtt_ns,
        offset_ns=offset_ns,
        uncertainty_ns=uncertainty_ns,
        experiment_hash="" if link.hello is None else link.hello.experiment_hash,
        counts=link.counts,
    )
