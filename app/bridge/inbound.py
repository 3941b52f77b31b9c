"""The numbered frames of a peer: each once, in order, and every missing one declared."""

from collections.abc import Mapping

from app.bridge import bodies
from app.bridge.events import GapDeclared, LinkEvent, PspsReceived, SpikesReceived
from app.bridge.freshness import Freshness
from app.core.frames import Frame, FrameError, FrameFlag, FrameType
from app.core.spikes import SpikeBatch

N_SESSIONS_TOLD = 64
"""HELLO names the newest so many of a peer's sessions."""


class Inbound:
    """What has come from one peer, by its sessions. Times are this site's clock in ns."""

    def __init__(self, peer: str, freshness: Freshness, last_seqs: Mapping[str, int]) -> None:
        self._peer = peer
        self._freshness = freshness
        self._recorded = dict(last_seqs)
        self._received = dict(last_seqs)
        self._owed: list[LinkEvent] = []
        self.n_events = 0
        self.last_event_ns = 0
        """When the newest event came, on this site's clock; 0: none has."""
        self.n_resent = 0
        self.n_duplicates = 0
        self.n_frames_lost = 0

    def begin(self, session: str) -> None:
        """Go on with a session, or begin a new one.

        What came but is not yet on record is asked for again, and dropped when it comes twice.
        """
        self._received.setdefault(session, self._recorded.get(session, 0))

    def recorded(self, session: str, seq: int) -> None:
        """Note that everything up to `seq` is on record here."""
        # Out and in again: the order says which sessions are the newest.
        self._recorded[session] = max(self._recorded.pop(session, 0), seq)

    def recorded_until(self, session: str) -> int:
        """Return the newest number that is on record here."""
        return self._recorded.get(session, 0)

    def n_unrecorded(self, session: str) -> int:
        """Return how many numbers have come that are not yet on record."""
        return self._received.get(session, 0) - self._recorded.get(session, 0)

    def last_seqs(self) -> dict[str, int]:
        """Return `recorded_until` by session, for HELLO."""
        return dict(list(self._recorded.items())[-N_SESSIONS_TOLD:])

    def take(self, frame: Frame, session: str, now_ns: int) -> list[LinkEvent]:
        """Take one numbered frame. Raises `FrameError`; see `owed`."""
        last = self._received[session]
        if not (0 < frame.seq <= bodies.MAX_SEQ):
            raise FrameError(f"{frame.type.name} with number {frame.seq}")
        self.n_resent += frame.flags is FrameFlag.RESEND
        if frame.seq <= last:
            self.n_duplicates += 1
            return []
        try:
            event = self._decoded(frame, session, now_ns)
        except FrameError:
            # It would be as bad when it came again, so it counts as lost, and is declared.
            self._owed += self.gap(session, frame.seq)
            raise
        gap = self.gap(session, frame.seq - 1) if frame.seq > last + 1 else []
        self._received[session] = frame.seq
        return [*gap, event]

    def gap(self, session: str, last: int) -> list[LinkEvent]:
        """Note that nothing up to `last` will come that has not come yet."""
        first = self._received[session] + 1
        if first > last:
            return []
        self._received[session] = last
        self.n_frames_lost += last - first + 1
        return [GapDeclared(self._peer, session, first, last)]

    def owed(self) -> list[LinkEvent]:
        """Return what is to be told with the end of a connection that a bad frame has broken."""
        owed, self._owed = self._owed, []
        return owed

    def _decoded(self, frame: Frame, session: str, now_ns: int) -> SpikesReceived | PspsReceived:
        is_resend = frame.flags is FrameFlag.RESEND
        age_ns = self._freshness.age_bound(frame.echo, now_ns)
        if frame.type is FrameType.PSPS:
            _, psps, _ = bodies.decode_psps(frame.body)
            self._count(len(psps), now_ns)
            return PspsReceived(self._peer, session, frame.seq, psps, is_resend, age_ns, now_ns)
        stream, spikes, complete_ns = bodies.decode_spikes(frame.body)
        self._count(len(spikes), now_ns)
        batch = SpikeBatch(stream, spikes, complete_ns, now_ns)
        return SpikesReceived(self._peer, session, frame.seq, batch, is_resend, age_ns, now_ns)

    def _count(self, n_events: int, now_ns: int) -> None:
        """Count events; an empty frame says only that its stream is complete."""
        if n_events:
            self.n_events += n_events
            self.last_event_ns = now_ns
