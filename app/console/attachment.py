"""A console's side without waiting: for programs that have an event loop of their own."""

import errno
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from app.bridge.connection import ClosedError, Connection, Stage
from app.bridge.tls import StrangerError, TlsIdentity
from app.console.feed import FeedItem
from app.console.feed_wire import LINES, decode_item, ring_of
from app.console.happenings import Happening
from app.console.messages import Command, Reply
from app.console.unix_address import connect_unix
from app.core.clock import ClockNs, monotonic_ns
from app.core.frames import Frame, FrameError, FrameType, encode_frame

OPEN_LIMIT_NS = 5_000_000_000
_happenings = msgspec.json.Decoder(list[Happening])


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """An engine of this machine and user, by its console socket."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class RemoteEngine:
    """An engine over the network; `identity` holds our operator key and its pinned certificate."""

    host: str
    port: int
    identity: TlsIdentity

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


EnginePlace = LocalEngine | RemoteEngine


@dataclass(frozen=True, slots=True)
class StatusShown:
    """A status as the engine sent it."""

    status: dict[str, Any]


Arrival = Reply | StatusShown | FeedItem | Happening
"""Whatever an engine says to a console."""


class DetachedError(Exception):
    """The engine is not reached, or no longer; the message says why."""


class Attachment:
    """One connection to an engine. One thread calls it, often; nothing here waits.

    `poll` goes on with connecting and returns what has arrived; `send` queues a command and
    returns its id. Both raise `DetachedError` once the connection has ended, and always then.
    """

    def __init__(self, place: EnginePlace, clock_ns: ClockNs = monotonic_ns) -> None:
        self.place = place
        self.positions: dict[str, int] = {}
        """How far the feed has come, by ring: what `subscribe` takes to go on after a break."""
        self._clock_ns = clock_ns
        self._next_id = 1
        self._end = ""
        self._connection: Connection
        try:
            self._connection = self._begin()
        except OSError as exc:
            raise DetachedError(f"no engine answers at {place} ({exc})") from exc

    @property
    def is_open(self) -> bool:
        """Say whether commands can be sent."""
        return not self._end and self._connection.stage is Stage.OPEN

    def send(self, name: str, **arguments: str | float | bool | None) -> int:
        """Send a command; its `Reply` comes with the returned id."""
        if not self.is_open:
            raise DetachedError(self._end or f"{self.place}: not connected yet")
        command = Command(id=self._next_id, name=name, arguments=arguments)
        self._next_id += 1
        data = encode_frame(Frame(FrameType.COMMAND, msgspec.json.encode(command)))
        self._guarded(lambda: self._connection.write(data))
        return command.id

    def poll(self) -> list[Arrival]:
        """Go on; return everything that has arrived since the last call, in order."""
        if self._end:
            raise DetachedError(self._end)
        frames: list[Frame] = []
        self._guarded(lambda: frames.extend(self._advance()))
        arrivals: list[Arrival] = []
        for frame in frames:
            self._guarded(lambda frame=frame: arrivals.extend(_arrivals(frame)))
            ring = LINES if frame.type is FrameType.EVENT else ring_of(frame.body)
            if frame.seq and ring is not None:
                self.positions[ring] = frame.seq
        return arrivals

    def close(self) -> None:
        """End the connection; idempotent."""
        self._end = self._end or f"{self.place}: detached"
        self._connection.close()

    def _begin(self) -> Connection:
        if isinstance(self.place, LocalEngine):
            sock = connect_unix(self.place.path, timeout_s=1.0)  # local: at once or never
            sock.setblocking(False)
            return Connection(sock, self._clock_ns(), is_plain=True)
        family, kind, protocol, _, address = socket.getaddrinfo(
            self.place.host, self.place.port, type=socket.SOCK_STREAM
        )[0]
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            raise OSError(code, os.strerror(code))
        return Connection(sock, self._clock_ns())

    def _advance(self) -> list[Frame]:
        connection, place = self._connection, self.place
        if connection.stage is not Stage.OPEN and isinstance(place, RemoteEngine):
            self._open(connection, place)
        if connection.stage is not Stage.OPEN:
            if self._clock_ns() - connection.since_ns > OPEN_LIMIT_NS:
                raise ClosedError("no connection in time")
            return []
        connection.write()
        return connection.read_frames()

    def _open(self, connection: Connection, place: RemoteEngine) -> None:
        if connection.stage is Stage.CONNECTING:
            try:
                connection.socket.getpeername()
            except OSError:
                code = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code)) from None
                return
            connection.begin_tls(place.identity.pipe(is_server=False), self._clock_ns())
        if connection.handshake():
            place.identity.peer_of(connection.tls)

    def _guarded(self, do: Any) -> None:
        """Do something with the connection; whatever fails ends it, with a reason."""
        try:
            do()
        except (
            OSError, ssl.SSLError, ClosedError, FrameError, StrangerError, msgspec.MsgspecError,
        ) as exc:  # fmt: skip
            self._end = f"the engine at {self.place} is not reached any more: {exc}"
            self._connection.close()
            raise DetachedError(self._end) from exc


def _arrivals(frame: Frame) -> list[Arrival]:
    if frame.type is FrameType.FEED:
        return [decode_item(frame.body)]
    if frame.type is FrameType.REPLY:
        return [msgspec.json.decode(frame.body, type=Reply)]
    if frame.type is FrameType.STATUS:
        return [StatusShown(msgspec.json.decode(frame.body, type=dict[str, Any]))]
    if frame.type is FrameType.EVENT:
        return list(_happenings.decode(frame.body))
    raise FrameError(f"an engine does not send {frame.type.name}")
