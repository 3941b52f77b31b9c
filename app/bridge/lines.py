"""The TCP and TLS connections of a site: who comes in, whom we dial, who has to go. No frames."""

import errno
import logging
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from app.bridge import sockets
from app.bridge.connection import ClosedError, Connection, Stage
from app.bridge.door import Door
from app.bridge.peers import PeerAddress
from app.bridge.readiness import Readiness
from app.bridge.refusals import why_failed
from app.bridge.tls import StrangerError, TlsIdentity
from app.core.clock import ClockNs

log = logging.getLogger(__name__)

CONNECT_LIMIT_NS = 1_000_000_000
HANDSHAKE_LIMIT_NS = 5_000_000_000
PIN_INTERVAL_NS = 1_000_000_000
BACKOFF_S = (0.2, 1.5)
"""First and longest wait before dialling again."""
NAME_SERVICE_LIMIT_NS = 3600 * 10**9


Ready = Connection | Callable[[], None]
"""What is watched: a connection, or something to be done when there is something to read."""


class LineUser(Protocol):
    """Who is told of connections; the calls come from the thread that calls `Lines`."""

    def opened(self, site: str) -> None:
        """Hear that a connection with a peer stands and its key is proved."""

    def readable(self, site: str) -> None:
        """Hear that bytes of a peer wait."""

    def closed(self, site: str, reason: str) -> None:
        """Hear that a peer's connection is gone, or an attempt at one has failed."""

    def order(self, act: Callable[[int], None]) -> None:
        """Have something done by the thread that calls `Lines`; from any thread."""


@dataclass(slots=True)
class Line:
    """What is kept for one peer."""

    address: PeerAddress
    connection: Connection | None = None
    open_connection: Connection | None = None
    """The connection if frames may cross it."""
    next_dial_ns: int = 0
    backoff_s: float = BACKOFF_S[0]
    is_revoked: bool = False

    def must_be_dialled(self, now_ns: int) -> bool:
        """Say whether it is time to dial."""
        is_ours_to_dial = self.address.host is not None and not self.is_revoked
        return self.connection is None and is_ours_to_dial and now_ns >= self.next_dial_ns

    def plan_next_dial(self, now_ns: int, rng: random.Random) -> None:
        """Wait longer before each further attempt, up to 1.5 s, and never in step with others."""
        wait_s = self.backoff_s * rng.uniform(0.75, 1.25)
        self.next_dial_ns = now_ns + round(wait_s * 1e9)
        self.backoff_s = min(BACKOFF_S[1], 2 * self.backoff_s)


class Lines:
    """Listens, dials, shakes hands, and closes. One thread at a time calls it.

    The newest connection of a site wins; one that has not proved a key costs a place at the door
    and nothing else.
    """

    def __init__(
        self,
        identity: TlsIdentity,
        addresses: Mapping[str, PeerAddress],
        user: LineUser,
        *,
        listen: tuple[str, int] | None,
        clock_ns: ClockNs,
    ) -> None:
        self._identity = identity
        self._user = user
        self._clock_ns = clock_ns
        self._random = random.Random()
        self._readiness: Readiness[Ready] = Readiness()
        self._door = Door()
        self._site_of: dict[Connection, str] = {}
        self._listener = None if listen is None else sockets.listen(listen)
        self.listen_port: int | None = None
        """At which peers reach us; None if we do not listen."""
        if self._listener is not None:
            self.listen_port = int(self._listener.getsockname()[1])
        self._next_pins_ns = 0
        self.lines = {site: Line(address) for site, address in addresses.items()}
        self.n_strangers = 0
        """Connections that were closed because they proved no pinned key."""

    def open(self, wake: socket.socket) -> None:
        """Begin to watch; bytes on `wake` only end a wait."""
        self._readiness.watch(wake, partial(_drain, wake), reads=True, writes=False)
        if self._listener is not None:
            self._readiness.watch(self._listener, self._accept, reads=True, writes=False)

    def wait(self, timeout_s: float) -> list[tuple[Ready, bool]]:
        """Return what is ready, to be served; the only call that waits."""
        return self._readiness.wait(timeout_s)

    def serve(self, ready: list[tuple[Ready, bool]]) -> None:
        """Do for everybody who is ready what is due."""
        for connection, is_readable in ready:
            if not isinstance(connection, Connection):
                connection()
                continue
            site = self._site_of.get(connection)
            if site is None:
                self._greet(connection)
            elif connection.stage is not Stage.OPEN:
                self._advance(site, connection)
            elif is_readable:
                self._user.readable(site)

    def tick(self, now_ns: int) -> None:
        """Let time act: dial, give up, forget strangers, look at the pins once a second."""
        for site, line in self.lines.items():
            if line.must_be_dialled(now_ns):
                self._dial(site, line, now_ns)
            self._give_up_if_slow(site, line, now_ns)
        for connection in self._door.overdue(now_ns, HANDSHAKE_LIMIT_NS):
            self._reject(connection, "no handshake in time")
        if now_ns >= self._next_pins_ns:
            self._next_pins_ns = now_ns + PIN_INTERVAL_NS
            for site, line in self.lines.items():
                why_not = self._identity.why_not_pinned(site)
                line.is_revoked = bool(why_not)
                if why_not:
                    self.drop(site, why_not)

    def watch(self, connection: Connection) -> None:
        """Watch for bytes to read, and for room to write while something is left over."""
        self._readiness.watch(
            connection.socket,
            connection,
            reads=connection.wants_read,
            writes=connection.wants_write,
        )

    def read(self, connection: Connection, *, is_wanted: bool) -> None:
        """Say whether a connection is to be read at all."""
        connection.wants_read = is_wanted
        self.watch(connection)

    def drop(self, site: str, reason: str) -> None:
        """Close a peer's connection, if there is one."""
        line = self.lines[site]
        connection, line.connection = line.connection, None
        line.open_connection = None
        if connection is not None:
            self._site_of.pop(connection, None)
            self._forget(connection)
        self._user.closed(site, reason)

    def close(self) -> None:
        """Close everything that is still open; nobody is told."""
        for connection in (*self._door.empty(), *self._site_of):
            self._forget(connection)
        if self._listener is not None:
            self._listener.close()
        self._readiness.close()

    # --- from outside ---------------------------------------------------------------------------

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            sock, address = self._listener.accept()
        except OSError:
            return
        try:
            sockets.tune(sock)
            connection = Connection(sock, self._clock_ns(), self._identity.pipe(is_server=True))
        except OSError as exc:
            log.info("connection from %s: %s", address, exc)
            sock.close()
            return
        loser = self._door.admit(connection, str(address[0]))
        if loser is not None:
            self._reject(loser, "made room for a newer connection")
        self._readiness.watch(connection.socket, connection, reads=True, writes=False)

    def _greet(self, connection: Connection) -> None:
        """Go on with a handshake from outside; who it is shows only at its end."""
        if connection not in self._door:
            return  # already closed in this turn
        try:
            if not connection.handshake():
                self.watch(connection)
                return
            site = self._identity.peer_of(connection.tls)
        except (OSError, StrangerError, ClosedError) as exc:
            self._reject(connection, why_failed(exc))
            return
        self._door.leave(connection)
        if self.lines[site].connection is not None:
            self.drop(site, "a newer connection of the same site took over")
        self._opened(site, connection)

    def _reject(self, connection: Connection, reason: str) -> None:
        self.n_strangers += 1
        log.info("connection rejected: %s", reason)
        self._door.leave(connection)
        self._forget(connection)

    # --- our own --------------------------------------------------------------------------------

    def _dial(self, site: str, line: Line, now_ns: int) -> None:
        line.plan_next_dial(now_ns, self._random)
        host, port = line.address.host or "", line.address.port or 0
        endpoint = sockets.literal(host, port)
        if endpoint is not None:
            self._connect(site, endpoint, now_ns)
            return
        line.next_dial_ns = now_ns + NAME_SERVICE_LIMIT_NS  # not again before it has answered

        def answered(answer: sockets.Endpoint | OSError) -> None:
            self._user.order(lambda then_ns: self._looked_up(site, answer, then_ns))

        sockets.look_up(host, port, answered)

    def _looked_up(self, site: str, answer: sockets.Endpoint | OSError, now_ns: int) -> None:
        line = self.lines[site]
        line.plan_next_dial(now_ns, self._random)
        if isinstance(answer, OSError):
            self._user.closed(site, f"no address for {line.address.host}: {answer}")
        elif line.connection is None and not line.is_revoked:
            self._connect(site, answer, now_ns)

    def _connect(self, site: str, endpoint: sockets.Endpoint, now_ns: int) -> None:
        family, address = endpoint
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sockets.tune(sock)
            code = sock.connect_ex(address)
        except OSError as exc:
            code = exc.errno or errno.EINVAL
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            why = errno.errorcode.get(code, str(code))
            self._user.closed(site, f"cannot dial {address[0]}:{address[1]}: {why}")
            return
        connection = Connection(sock, now_ns)
        self.lines[site].connection = connection
        self._site_of[connection] = site
        self._readiness.watch(sock, connection, reads=True, writes=True)

    def _advance(self, site: str, connection: Connection) -> None:
        try:
            if connection.stage is Stage.CONNECTING:
                sockets.check_connected(connection.socket)
                connection.begin_tls(self._identity.pipe(is_server=False), self._clock_ns())
            if not connection.handshake():
                self.watch(connection)
                return
            answers = self._identity.peer_of(connection.tls)
        except (OSError, ClosedError, StrangerError) as exc:
            self.drop(site, why_failed(exc))
            return
        if answers == site:
            self._opened(site, connection)
        else:
            self.drop(site, f"{site}'s address is answered by {answers}")

    def _opened(self, site: str, connection: Connection) -> None:
        line = self.lines[site]
        line.connection = line.open_connection = connection
        self._site_of[connection] = site
        self.watch(connection)
        self._user.opened(site)

    # --- ends -----------------------------------------------------------------------------------

    def _give_up_if_slow(self, site: str, line: Line, now_ns: int) -> None:
        connection = line.connection
        if connection is None or connection.stage is Stage.OPEN:
            return
        is_connecting = connection.stage is Stage.CONNECTING
        limit_ns = CONNECT_LIMIT_NS if is_connecting else HANDSHAKE_LIMIT_NS
        if now_ns - connection.since_ns > limit_ns:
            self.drop(site, f"{connection.stage.value} took too long")

    def _forget(self, connection: Connection) -> None:
        self._readiness.forget(connection.socket)
        connection.close()


def _drain(wake: socket.socket) -> None:
    try:
        while len(wake.recv(4096)) == 4096:
            pass
    except BlockingIOError:
        return
