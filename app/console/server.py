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
from app.console.attached import Attached
from app.console.control import Caller
from app.console.display import Display, FeedCost
from app.console.live_feed import LiveFeed
from app.console.messages import Command, CommandRefusedError, Reply
from app.console.unix_address import listen_unix
from app.core.clock import ClockNs, monotonic_ns
from app.core.frames import MAX_BODY_BYTES, Frame, FrameError, FrameType, encode_frame
from app.core.worker import OnFailure, Worker

log = logging.getLogger(__name__)

MAX_CONSOLES = 16
MAX_UNSENT_BYTES = 4 * 2**20
"""A console that does not read its replies is closed at this much."""
SEND_BUFFER_BYTES = 1 << 20
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
        self._display = Display(feed, handler.status, clock_ns)
        self._network = network
        self._clock_ns = clock_ns
        self._selector = selectors.DefaultSelector()
        self._listeners: list[socket.socket] = []
        self._consoles: dict[socket.socket, Attached] = {}
        self._n_consoles = 0
        self.port: int | None = None
        """Where consoles are served over the network; None: nowhere."""
        self.cost = FeedCost()

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
        wait_s = min(self._display.wait_s, 0.1) if is_watched else 0.1
        for key, events in self._selector.select(wait_s):
            if key.fileobj in self._listeners:
                self._accept(key.fileobj)
                continue
            console = self._consoles.get(key.fileobj)  # type: ignore[call-overload]
            if console is not None:
                self._guarded(console, self._serve, events)
        if is_watched and not self._display.wait_s:
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
        self._consoles[plain] = Attached(caller, connection, is_plain=pipe is None)
        self._selector.register(plain, selectors.EVENT_READ)

    def _guarded(self, console: Attached, serve: Callable[..., None], *arguments: Any) -> None:
        """Do something for a console; whatever it did wrong costs only its own connection."""
        try:
            serve(console, *arguments)
        except (OSError, ssl.SSLError, ClosedError, FrameError, StrangerError) as exc:
            log.info("console %s closed: %s", console.caller.address, exc)
            self._close(console)
        else:
            self._select(console)

    def _serve(self, console: Attached, events: int) -> None:
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

    def _select(self, console: Attached) -> None:
        connection = console.connection
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_write else 0)
        if events != console.events and connection.socket in self._consoles:
            console.events = events
            self._selector.modify(connection.socket, events)

    def _close(self, console: Attached) -> None:
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

    def _answer(self, console: Attached, frame: Frame) -> None:
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

    def _carry_out(self, console: Attached, command: Command) -> Reply:
        arguments = dict(command.arguments)
        try:
            if command.name == "subscribe":
                result = self._display.subscribe(console, arguments)
                self._count_watchers()
            elif command.name == "show":
                result = self._display.choose(console, arguments)
                self._count_watchers()
            else:
                result = self._handler.handle(console.caller, command.name, arguments)
        except CommandRefusedError as exc:
            return Reply(id=command.id, is_ok=False, error=str(exc))
        except Exception as exc:
            log.exception("command %s failed", command.name)
            return Reply(id=command.id, is_ok=False, error=f"{command.name} failed: {exc}")
        return Reply(id=command.id, is_ok=True, result=result)

    def _count_watchers(self) -> None:
        self._display.count_watchers(self._consoles.values())

    def _show(self) -> None:
        """Show every subscribed console what is new."""
        begin_ns = time.thread_time_ns()
        status = self._display.begin_frame()
        for console in list(self._consoles.values()):
            if console.subscription is not None:
                console.status = status or console.status
                self._guarded(console, self._display.send)
        self.cost.note(time.thread_time_ns() - begin_ns)
