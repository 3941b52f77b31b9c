"""An engine's side: serve consoles on a local socket and, with operator keys, over the network."""

import logging
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from app.bridge.connection import ClosedError, Connection, Stage
from app.bridge.tls import StrangerError, TlsIdentity
from app.console.control import Caller
from app.console.feed_wire import RINGS
from app.console.frame_buffer import FrameBuffer
from app.console.live_feed import LiveFeed
from app.console.messages import Command, CommandRefusedError, Reply
from app.console.subscription import BUFFER_BYTES, Subscription
from app.console.unix_address import listen_unix
from app.core.clock import ClockNs, monotonic_ns
from app.core.frames import MAX_BODY_BYTES, Frame, FrameError, FrameType, encode_frame
from app.core.worker import OnFailure, Worker

log = logging.getLogger(__name__)

MAX_CONSOLES = 16
MAX_UNSENT_BYTES = 4 * 2**20
"""A console that does not read its replies is closed at this much."""
SEND_BUFFER_BYTES = 1 << 20
FRAME_INTERVAL_NS = 33_000_000
STATUS_INTERVAL_NS = 250_000_000
HANDSHAKE_LIMIT_NS = 5_000_000_000


class ConsoleHandler(Protocol):
    """What the engine does for consoles; called from the console thread, must not wait long."""

    def handle(self, caller: Caller, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command. Raises `CommandRefusedError`."""

    def status(self) -> dict[str, Any]:
        """Return what every subscribed console is shown four times a second."""

    def left(self, caller: Caller) -> None:
        """Note that a console has gone, however."""


@dataclass(frozen=True, slots=True)
class NetworkAccess:
    """Where and for whose keys consoles are served over the network."""

    host: str
    port: int
    identity: TlsIdentity
    """Its peers are the operators, by name."""


@dataclass(slots=True, eq=False)
class _Console:
    """One attached console."""

    caller: Caller
    connection: Connection
    is_plain: bool
    """Whether bytes go to the socket as they are."""
    events: int = selectors.EVENT_READ
    """What the selector waits for."""
    subscription: Subscription | None = None
    status: bytes = b""
    """The newest status it has not been sent yet; an older one is replaced by it."""


@dataclass(slots=True)
class FeedCost:
    """What showing costs the engine: Python time of this thread per display frame."""

    n_frames: int = 0
    total_ns: int = 0
    worst_ns: int = 0

    def note(self, spent_ns: int) -> None:
        """Count one display frame."""
        self.n_frames += 1
        self.total_ns += spent_ns
        self.worst_ns = max(self.worst_ns, spent_ns)


class ConsoleServer(Worker):
    """Serves consoles: on a Unix socket that only this user may reach, and over TLS.

    Commands are answered as they come. Subscribed consoles get the live feed 30 times a second
    and the status four times; to a console that does not read them nothing new is written, its
    place in the feed is lapped, and it is told what it missed.
    """

    def __init__(
        self,
        path: Path,
        handler: ConsoleHandler,
        on_failure: OnFailure,
        *,
        feed: LiveFeed | None = None,
        network: NetworkAccess | None = None,
        clock_ns: ClockNs = monotonic_ns,
    ) -> None:
        super().__init__("console server", on_failure)
        self._path = path
        self._handler = handler
        self._feed = feed
        self._network = network
        self._clock_ns = clock_ns
        self._selector = selectors.DefaultSelector()
        self._listeners: list[socket.socket] = []
        self._consoles: dict[socket.socket, _Console] = {}
        self._n_consoles = 0
        self._next_frame_ns = 0
        self._next_status_ns = 0
        self.port: int | None = None
        """Where consoles are served over the network; None: nowhere."""
        self.cost = FeedCost()
        self._buffer = FrameBuffer(BUFFER_BYTES)

    @property
    def callers(self) -> list[Caller]:
        """Get who is attached."""
        return [console.caller for console in list(self._consoles.values())]

    def prepare(self) -> None:
        """Begin to listen."""
        self._listen(listen_unix(self._path))
        if self._network is not None:
            listener = socket.create_server((self._network.host, self._network.port))
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            self._listen(listener)

    def step(self) -> None:
        """Serve whoever is ready, and send what is due."""
        is_watched = any(c.subscription is not None for c in self._consoles.values())
        wait_s = 0.1
        if is_watched:
            wait_s = min(max(0.0, (self._next_frame_ns - self._clock_ns()) / 1e9), wait_s)
        for key, events in self._selector.select(wait_s):
            if key.fileobj in self._listeners:
                self._accept(key.fileobj)
                continue
            console = self._consoles.get(key.fileobj)  # type: ignore[call-overload]
            if console is not None:
                self._guarded(console, self._serve, events)
        if is_watched and self._clock_ns() >= self._next_frame_ns:
            self._show()
        self._refuse_the_slow()

    def finish(self) -> None:
        """Close every console and take the socket away."""
        for console in list(self._consoles.values()):
            with suppress(OSError, ssl.SSLError):
                console.connection.write()
            self._close(console)
        for listener in self._listeners:
            listener.close()
        self._path.unlink(missing_ok=True)
        self._selector.close()

    # --- connections --------------------------------------------------------------------------

    def _listen(self, listener: socket.socket) -> None:
        self._listeners.append(listener)
        self._selector.register(listener, selectors.EVENT_READ)

    def _accept(self, listener: socket.socket) -> None:
        try:
            plain, address = listener.accept()
        except OSError:
            return  # it went away again before we looked
        if len(self._consoles) >= MAX_CONSOLES:
            log.warning("console refused: %d are attached already", MAX_CONSOLES)
            plain.close()
            return
        plain.setblocking(False)
        self._n_consoles += 1
        is_local = listener is self._listeners[0]
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        pipe = None
        if not is_local and self._network is not None:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pipe = self._network.identity.pipe(is_server=True)
        connection = Connection(plain, self._clock_ns(), pipe, is_plain=is_local)
        caller = Caller(self._n_consoles, "local" if is_local else f"{address[0]}:{address[1]}")
        self._consoles[plain] = _Console(caller, connection, is_plain=pipe is None)
        self._selector.register(plain, selectors.EVENT_READ)

    def _guarded(self, console: _Console, serve: Callable[..., None], *arguments: Any) -> None:
        """Do something for a console; whatever it did wrong costs only its own connection."""
        try:
            serve(console, *arguments)
        except (OSError, ssl.SSLError, ClosedError, FrameError, StrangerError) as exc:
            log.info("console %s closed: %s", console.caller.address, exc)
            self._close(console)
        else:
            self._select(console)

    def _serve(self, console: _Console, events: int) -> None:
        connection = console.connection
        if connection.stage is Stage.HANDSHAKE:
            if not connection.handshake() or self._network is None:
                return
            operator = self._network.identity.peer_of(connection.tls)
            caller = console.caller
            console.caller = Caller(caller.number, caller.address, operator)
            log.info("console of %s attached from %s", operator, caller.address)
        if events & selectors.EVENT_READ:
            for frame in connection.read_frames():
                self._answer(console, frame)
        connection.write()

    def _select(self, console: _Console) -> None:
        connection = console.connection
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_write else 0)
        if events != console.events and connection.socket in self._consoles:
            console.events = events
            self._selector.modify(connection.socket, events)

    def _close(self, console: _Console) -> None:
        if self._consoles.pop(console.connection.socket, None) is not None:
            self._selector.unregister(console.connection.socket)
            self._count_watchers()
            self._handler.left(console.caller)
        console.connection.close()

    def _refuse_the_slow(self) -> None:
        now_ns = self._clock_ns()
        for console in list(self._consoles.values()):
            connection = console.connection
            age_ns = now_ns - connection.since_ns
            if connection.stage is Stage.HANDSHAKE and age_ns > HANDSHAKE_LIMIT_NS:
                log.info("console %s closed: no handshake in time", console.caller.address)
                self._close(console)

    # --- commands -----------------------------------------------------------------------------

    def _answer(self, console: _Console, frame: Frame) -> None:
        if frame.type is not FrameType.COMMAND:
            raise FrameError(f"a console may send commands only, not {frame.type.name}")
        try:
            command = msgspec.json.decode(frame.body, type=Command)
        except msgspec.DecodeError as exc:
            raise FrameError(f"not a command: {exc}") from exc
        body = msgspec.json.encode(self._carry_out(console, command))
        if len(body) > MAX_BODY_BYTES:
            error = f"the answer is too long for a frame: {len(body)} bytes"
            body = msgspec.json.encode(Reply(id=command.id, is_ok=False, error=error))
        console.connection.write(encode_frame(Frame(FrameType.REPLY, body)))
        if console.connection.n_unsent > MAX_UNSENT_BYTES:
            raise FrameError(f"console does not read: {console.connection.n_unsent} bytes wait")

    def _carry_out(self, console: _Console, command: Command) -> Reply:
        arguments = dict(command.arguments)
        try:
            if command.name == "subscribe":
                result = self._subscribe(console, arguments)
            elif command.name == "show":
                result = self._choose(console, arguments)
            else:
                result = self._handler.handle(console.caller, command.name, arguments)
        except CommandRefusedError as exc:
            return Reply(id=command.id, is_ok=False, error=str(exc))
        except Exception as exc:
            log.exception("command %s failed", command.name)
            return Reply(id=command.id, is_ok=False, error=f"{command.name} failed: {exc}")
        return Reply(id=command.id, is_ok=True, result=result)

    # --- the live feed ------------------------------------------------------------------------

    def _subscribe(self, console: _Console, arguments: dict[str, Any]) -> dict[str, Any]:
        if self._feed is None:
            raise CommandRefusedError("this engine has no live feed")
        has_traces = arguments.get("has_traces", True) is True
        place = _place_of(arguments) if arguments.get("feed") == self._feed.id else None
        console.subscription = Subscription(self._feed, has_traces=has_traces, place=place)
        self._count_watchers()
        return {
            "number": console.caller.number,
            "feed": self._feed.id,
            "place": console.subscription.place,
        }

    def _choose(self, console: _Console, arguments: dict[str, Any]) -> dict[str, Any]:
        """Show a console what it wants of the signals.

        `is_filtered`: traces as detection sees them, or as they came from the amplifier. `channel`:
        whose snippets it wants, by index; None or missing: every channel's.
        """
        if console.subscription is None or self._feed is None:
            raise CommandRefusedError("show: subscribe first")
        is_filtered, channel = arguments.get("is_filtered", True), arguments.get("channel")
        n_channels = self._feed.format.n_channels
        if not isinstance(is_filtered, bool):
            raise CommandRefusedError(f"is_filtered: true or false is needed, not {is_filtered!r}")
        if channel is not None and not (type(channel) is int and 0 <= channel < n_channels):
            raise CommandRefusedError(f"channel: must be 0 to {n_channels - 1}, not {channel!r}")
        console.subscription.is_filtered, console.subscription.channel = is_filtered, channel
        self._count_watchers()
        return {}

    def _count_watchers(self) -> None:
        if self._feed is not None:
            subscriptions = [c.subscription for c in self._consoles.values() if c.subscription]
            self._feed.want_snippets([s.channel for s in subscriptions])
            self._feed.n_watchers = len(subscriptions)

    def _show(self) -> None:
        """Send every subscribed console what is new; skip those that have not read the last."""
        begin_ns = time.thread_time_ns()
        now_ns = self._clock_ns()
        self._next_frame_ns = max(self._next_frame_ns + FRAME_INTERVAL_NS, now_ns)
        status = b""
        if now_ns >= self._next_status_ns:
            self._next_status_ns = now_ns + STATUS_INTERVAL_NS
            if self._feed is not None:
                self._feed.refresh()
            body = msgspec.json.encode(self._handler.status())
            status = encode_frame(Frame(FrameType.STATUS, body))
        for console in list(self._consoles.values()):
            if console.subscription is not None:
                console.status = status or console.status
                self._guarded(console, self._send_feed)
        self.cost.note(time.thread_time_ns() - begin_ns)

    def _send_feed(self, console: _Console) -> None:
        subscription, connection = console.subscription, console.connection
        if connection.n_unsent or subscription is None:
            return
        status, console.status = console.status, b""
        if status:
            connection.write(status)
        self._buffer.clear()
        subscription.fill(self._buffer)
        _write(console, self._buffer.filled)


def _write(console: _Console, frames: memoryview) -> None:
    """Send what the socket takes straight from these frames; only the rest is copied."""
    connection = console.connection
    if console.is_plain and not connection.n_unsent:
        with suppress(BlockingIOError):
            frames = frames[connection.socket.send(frames) :]
    if frames:
        connection.write(bytes(frames))


def _place_of(arguments: dict[str, Any]) -> dict[str, int]:
    """Return the positions that a console has got to; what is no position is left out."""
    return {
        ring: at for ring, at in arguments.items() if ring in RINGS and type(at) is int and at >= 0
    }
