"""A console's side: send a command to an engine, wait for its reply."""

import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from app.console.messages import Command, CommandRefusedError, Reply
from app.console.unix_address import connect_unix
from app.core.frames import Frame, FrameDecoder, FrameType, encode_frame


class NoEngineError(Exception):
    """No engine answers where one was expected."""


class ConsoleClient:
    """One connection to a running engine over its local socket. Used by one thread."""

    def __init__(self, path: Path, timeout_s: float = 5.0) -> None:
        """Connect. Raises `NoEngineError`."""
        self._path = path
        self._timeout_s = timeout_s
        self._decoder = FrameDecoder()
        self._next_id = 1
        try:
            self._socket: socket.socket = connect_unix(path, timeout_s)
        except OSError as exc:
            raise NoEngineError(
                f"no engine answers at {path} ({exc}); start it with `spikebridge run`"
            ) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def call(self, name: str, **arguments: str | float | bool | None) -> dict[str, Any]:
        """Send one command and return its result.

        Raises
        ------
        CommandRefusedError
            The engine refused, and why.
        NoEngineError
            The engine went away or did not answer in time.
        """
        command = Command(id=self._next_id, name=name, arguments=arguments)
        self._next_id += 1
        frame = Frame(FrameType.COMMAND, body=msgspec.json.encode(command))
        try:
            self._socket.sendall(encode_frame(frame))
            reply = self._await_reply(command.id)
        except OSError as exc:
            raise NoEngineError(f"the engine at {self._path} went away: {exc}") from exc
        if not reply.is_ok:
            raise CommandRefusedError(reply.error)
        return reply.result

    def _await_reply(self, command_id: int) -> Reply:
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            left_s = deadline_s - time.monotonic()
            if not left_s > 0:
                raise NoEngineError(f"the engine at {self._path} did not answer in time")
            self._socket.settimeout(left_s)
            data = self._socket.recv(65536)
            if not data:
                raise NoEngineError(f"the engine at {self._path} closed the connection")
            for frame in self._decoder.feed(data):
                if frame.type is FrameType.REPLY:
                    reply = msgspec.json.decode(frame.body, type=Reply)
                    if reply.id == command_id:
                        return reply
