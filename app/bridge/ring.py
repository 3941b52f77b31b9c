"""Numbered frames that were not yet acknowledged: what can be sent again, and the outbox."""

from collections import deque
from dataclasses import dataclass

from app.bridge import bodies
from app.core.frames import FrameFlag, FrameType, encode_parts


@dataclass(slots=True)
class _Entry:
    seq: int
    type: FrameType
    body: bytes
    echo: int
    made_ns: int
    n_events: int
    was_written: bool = False


class ResendRing:
    """Frames of one direction, oldest first, with a cursor at the next one to be written.

    A slow or absent peer costs only this. What is older than `max_age_ns`, or beyond `max_bytes`,
    falls off unacknowledged and is declared to the peer as a gap in its place.
    """

    def __init__(self, max_age_ns: int, max_bytes: int, late_after_ns: int) -> None:
        self._max_age_ns = max_age_ns
        self._max_bytes = max_bytes
        self._late_after_ns = late_after_ns
        self._entries: deque[_Entry] = deque()
        self._n_bytes = 0
        self._cursor = 0
        self._next_seq = 1
        self._fallen: tuple[int, int] | None = None
        self.n_resent = 0
        self.n_events_fallen = 0
        """Events that fell off before they were acknowledged: lost to the peer, and declared."""

    @property
    def n_unacknowledged(self) -> int:
        """Get how many frames wait for the peer's ACK."""
        return len(self._entries)

    @property
    def last_seq(self) -> int:
        """Get the newest number given."""
        return self._next_seq - 1

    def add(self, kind: FrameType, body: bytes, echo: int, n_events: int, now_ns: int) -> None:
        """Give a body made now its number; `echo` is the newest nonce known at this moment."""
        self._entries.append(_Entry(self._next_seq, kind, body, echo, now_ns, n_events))
        self._next_seq += 1
        self._n_bytes += len(body)
        self._trim(now_ns)

    def acknowledge(self, seq: int) -> None:
        """Forget everything up to `seq`. Raises ValueError for a number never given."""
        if seq > self.last_seq:
            raise ValueError(f"ACK of {seq}, the newest frame is {self.last_seq}")
        while self._entries and self._entries[0].seq <= seq:
            self._drop_oldest()

    def rewind(self, seq: int) -> None:
        """Begin anew after `seq`, for a peer that has everything up to there."""
        self.acknowledge(min(seq, self.last_seq))
        self._cursor = 0
        # A GAP may have been lost with the last connection, so it is worked out anew.
        oldest = self._entries[0].seq if self._entries else self._next_seq
        self._fallen = (seq + 1, oldest - 1) if seq + 1 < oldest else None

    def has_next(self) -> bool:
        """Say whether something waits to be written."""
        return self._cursor < len(self._entries) or self._fallen is not None

    def next_bytes(self, now_ns: int) -> bytes:
        """Return the next frame to write, marked RESEND if it was written before or is late."""
        if self._fallen is not None:
            body = bodies.encode_gap(*self._fallen)
            self._fallen = None
            return encode_parts(FrameType.GAP, body)
        entry = self._entries[self._cursor]
        self._cursor += 1
        is_resend = entry.was_written or now_ns - entry.made_ns > self._late_after_ns
        entry.was_written = True
        self.n_resent += is_resend
        flags = FrameFlag.RESEND if is_resend else FrameFlag.NONE
        return encode_parts(entry.type, entry.body, flags, entry.seq, entry.echo)

    def _trim(self, now_ns: int) -> None:
        while self._entries and (
            self._n_bytes > self._max_bytes or now_ns - self._entries[0].made_ns > self._max_age_ns
        ):
            oldest = self._entries[0]
            first = oldest.seq if self._fallen is None else self._fallen[0]
            self._fallen = (first, oldest.seq)
            self.n_events_fallen += oldest.n_events
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        entry = self._entries.popleft()
        self._n_bytes -= len(entry.body)
        self._cursor = max(0, self._cursor - 1)
