"""Numbered frames that were not yet acknowledged: what can be sent again, and the outbox."""

from collections import deque

import msgspec

from app.bridge import bodies
from app.core.frames import HEADER, FrameFlag, FrameType, encode_parts, with_flags


class _Entry(msgspec.Struct, eq=False):
    seq: int
    frame: bytes
    """Its bytes as they are written the first time."""
    made_ns: int
    n_events: int
    was_written: bool = False


class ResendRing:
    """Frames of one direction, oldest first: those that were written, then those that wait.

    A slow or absent peer costs only this. What is older than `max_age_ns`, or beyond `max_bytes`,
    falls off unacknowledged and is declared to the peer as a gap in its place.
    """

    def __init__(self, max_age_ns: int, max_bytes: int, late_after_ns: int) -> None:
        self._max_age_ns = max_age_ns
        self._max_bytes = max_bytes
        self._late_after_ns = late_after_ns
        self._written: deque[_Entry] = deque()
        self._waiting: deque[_Entry] = deque()
        self._n_bytes = 0
        self._next_seq = 1
        self._fallen: tuple[int, int] | None = None
        self.n_events = 0
        self.last_event_ns = 0
        """When the newest event was added; 0: none was."""
        self.n_resent = 0
        self.n_events_fallen = 0
        """Events that fell off before they were acknowledged: lost to the peer, and declared."""

    @property
    def n_unacknowledged(self) -> int:
        """Get how many frames wait for the peer's ACK."""
        return len(self._written) + len(self._waiting)

    @property
    def last_seq(self) -> int:
        """Get the newest number given."""
        return self._next_seq - 1

    def add(self, kind: FrameType, body: bytes, echo: int, n_events: int, now_ns: int) -> None:
        """Give a body made now its number; `echo` is the newest nonce known at this moment."""
        seq = self._next_seq
        frame = encode_parts(kind, body, 0, seq, echo)
        self._waiting.append(_Entry(seq, frame, now_ns, n_events))
        self._next_seq = seq + 1
        self._n_bytes += len(body)
        if n_events:
            self.n_events += n_events
            self.last_event_ns = now_ns
        oldest = (self._written or self._waiting)[0]
        if self._n_bytes > self._max_bytes or now_ns - oldest.made_ns > self._max_age_ns:
            self._trim(now_ns)

    def acknowledge(self, seq: int) -> None:
        """Forget everything up to `seq`. Raises ValueError for a number never given."""
        if seq > self.last_seq:
            raise ValueError(f"ACK of {seq}, the newest frame is {self.last_seq}")
        n_bytes = 0
        for entries in (self._written, self._waiting):
            while entries and entries[0].seq <= seq:  # often hundreds, while spikes wait to be sent
                n_bytes += len(entries.popleft().frame) - HEADER.size
        self._n_bytes -= n_bytes

    def rewind(self, seq: int) -> None:
        """Begin anew after `seq`, for a peer that has everything up to there."""
        self.acknowledge(min(seq, self.last_seq))
        self._waiting.extendleft(reversed(self._written))
        self._written.clear()
        # A GAP may have been lost with the last connection, so it is worked out anew.
        oldest = self._waiting[0].seq if self._waiting else self._next_seq
        self._fallen = (seq + 1, oldest - 1) if seq + 1 < oldest else None

    def has_next(self) -> bool:
        """Say whether something waits to be written."""
        return bool(self._waiting) or self._fallen is not None

    def next_bytes(self, now_ns: int) -> bytes:
        """Return the next frame to write, marked RESEND if it was written before or is late.

        Empty: there is none.
        """
        if self._fallen is not None:
            body = bodies.encode_gap(*self._fallen)
            self._fallen = None
            return encode_parts(FrameType.GAP, body)
        if not self._waiting:
            return b""
        entry = self._waiting.popleft()
        self._written.append(entry)
        if not entry.was_written and now_ns - entry.made_ns <= self._late_after_ns:
            entry.was_written = True
            return entry.frame
        entry.was_written = True
        self.n_resent += 1
        return with_flags(entry.frame, FrameFlag.RESEND)

    def next_chunk(self, now_ns: int, n_bytes: int) -> bytes:
        """Return whole frames to write, until there are `n_bytes` or no more; empty: none."""
        if n_bytes <= 0:
            return b""
        chunk = self.next_bytes(now_ns)
        while self._waiting and len(chunk) < n_bytes:
            chunk += self.next_bytes(now_ns)
        return chunk

    def _trim(self, now_ns: int) -> None:
        while entries := self._written or self._waiting:
            entry = entries[0]
            is_too_old = now_ns - entry.made_ns > self._max_age_ns
            if not is_too_old and self._n_bytes <= self._max_bytes:
                return
            first = entry.seq if self._fallen is None else self._fallen[0]
            self._fallen = (first, entry.seq)
            self.n_events_fallen += entry.n_events
            entries.popleft()
            self._n_bytes -= len(entry.frame) - HEADER.size
