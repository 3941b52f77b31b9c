"""An engine's side: take commands from local consoles, answer each."""

import logging
import selectors
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from app.console.messages import Command, CommandRefusedError, Reply
from app.console.unix_address import listen_unix
from app.core.frames import Frame, FrameDecoder, FrameError, FrameType, encode_frame
from app.core.worker import OnFailure, Worker

log = logging.getLogger(__name__)

MAX_CONSOLES = 16
MAX_UNSENT_BYTES = 4 * 2**20
"""A console that does not read its replies is closed at this much."""

Handle = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Carries out a command by name and arguments; raises `CommandRefusedError`."""


class _Console:
    """One attached console."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.decoder = FrameDecoder()
        self.unsent = bytearray()


class ConsoleServer(Worker):
    """Serves consoles on a Unix socket that only this user may reach.

    `handle` is called from this thread, must not wait, and says what a command came to.
    """

    def __init__(self, path: Path, handle: Handle, on_failure: OnFailure) -> None:
        super().__init__("console server", on_failure)
        self._path = path
        self._handle = handle
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._consoles: dict[socket.socket, _Console] = {}

    def prepare(self) -> None:
        """Begin to listen."""
        self._listener = listen_unix(self._path)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def step(self) -> None:
        """Serve whoever is ready."""
        for key, events in self._selector.select(timeout=0.1):
            if key.fileobj is self._listener:
                self._accept()
                continue
            console = self._consoles.get(key.fileobj)  # type: ignore[call-overload]
            if console is not None:
                self._serve(console, events)

    def finish(self) -> None:
        """Close every console and take the socket away."""
        for console in list(self._consoles.values()):
            self._flush(console)
            self._close(console)
        if self._listener is not None:
            self._listener.close()
            self._path.unlink(missing_ok=True)
        self._selector.close()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it went away again before we looked
        if len(self._consoles) >= MAX_CONSOLES:
            log.warning("console refused: %d are attached already", MAX_CONSOLES)
            connection.close()
            return
        connection.setblocking(False)
        self._consoles[connection] = _Console(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _serve(self, console: _Console, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                data = console.connection.recv(65536)
                if not data:
                    self._close(console)
                    return
                for frame in console.decoder.feed(data):
                    self._answer(console, frame)
            self._flush(console)
        except (OSError, FrameError) as exc:
            log.info("console closed: %s", exc)
            self._close(console)

    def _answer(self, console: _Console, frame: Frame) -> None:
        if frame.type is not FrameType.COMMAND:
            raise FrameError(f"a console may send commands only, not {frame.type.name}")
        try:
            command = msgspec.json.decode(frame.body, type=Command)
        except msgspec.DecodeError as exc:
            raise FrameError(f"not a command: {exc}") from exc
        reply = self._carry_out(command)
        console.unsent += encode_frame(Frame(FrameType.REPLY, body=msgspec.json.encode(reply)))
        if len(console.unsent) > MAX_UNSENT_BYTES:
            raise FrameError(f"console does not read: {len(console.unsent)} bytes wait for it")

    def _carry_out(self, command: Command) -> Reply:
        try:
            result = self._handle(command.name, dict(command.arguments))
        except CommandRefusedError as exc:
            return Reply(id=command.id, is_ok=False, error=str(exc))
        except Exception as exc:
            log.exception("command %s failed", command.name)
            return Reply(id=command.id, is_ok=False, error=f"{command.name} failed: {exc}")
        return Reply(id=command.id, is_ok=True, result=result)

    def _flush(self, console: _Console) -> None:
        if console.unsent:
            try:
                n_sent = console.connection.send(console.unsent)
            except BlockingIOError:
                n_sent = 0
            del console.unsent[:n_sent]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if console.unsent else 0)
        if console.connection in self._consoles:
            self._selector.modify(console.connection, events)

    def _close(self, console: _Console) -> None:
        if self._consoles.pop(console.connection, None) is not None:
            self._selector.unregister(console.connection)
        console.connection.close()
