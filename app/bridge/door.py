"""Connections that have not yet proved a key: how many there may be, and who has to go."""

from collections import Counter

from app.bridge.connection import Connection

MAX_UNKNOWN = 64
"""A peer 250 ms away needs one round trip to prove its key; in a flood of 10,000 connections a
minute 64 places are taken anew every 0.38 s."""


class Door:
    """The connections at the door, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[Connection, str] = {}

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._waiting

    def admit(self, connection: Connection, host: str) -> Connection | None:
        """Let one more in; return the one that has to go for it, if any.

        That is the oldest from the address with the most, so a flood pushes out itself before it
        pushes out a peer.
        """
        loser = None
        if len(self._waiting) >= MAX_UNKNOWN:
            ((busiest, _),) = Counter(self._waiting.values()).most_common(1)
            loser = next(c for c, of in self._waiting.items() if of == busiest)
            del self._waiting[loser]
        self._waiting[connection] = host
        return loser

    def leave(self, connection: Connection) -> None:
        """Forget a connection: it has proved its key, or is closed."""
        self._waiting.pop(connection, None)

    def overdue(self, now_ns: int, limit_ns: int) -> list[Connection]:
        """Return those that have been at the door longer than `limit_ns`."""
        return [c for c in self._waiting if now_ns - c.since_ns > limit_ns]

    def empty(self) -> list[Connection]:
        """Return all of them and forget them."""
        left = list(self._waiting)
        self._waiting.clear()
        return left
