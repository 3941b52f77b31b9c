"""One console that is attached to an engine: who it is, its connection, what it is shown."""

import selectors
from contextlib import suppress
from dataclasses import dataclass

from app.bridge.connection import Connection
from app.console.control import Caller
from app.console.subscription import Subscription


@dataclass(slots=True, eq=False)
class Attached:
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

    def write(self, frames: memoryview) -> None:
        """Send what the socket takes straight from these frames; only the rest is copied."""
        if self.is_plain and not self.connection.n_unsent:
            with suppress(BlockingIOError):
                frames = frames[self.connection.socket.send(frames) :]
        if frames:
            self.connection.write(bytes(frames))
