"""What goes to one peer: its numbered frames, and before them what needs no number."""

from app.bridge import bodies
from app.bridge.freshness import Freshness
from app.bridge.ring import ResendRing
from app.bridge.settings import LinkSettings
from app.core.frames import FrameError, FrameType, encode_parts
from app.core.spikes import PspRecords, SpikeBatch, SpikeRecords


class Outbound:
    """The outbox of one link. Times are this site's clock in ns."""

    def __init__(self, freshness: Freshness, settings: LinkSettings) -> None:
        self._freshness = freshness
        self.ring = ResendRing(settings.ring_age_ns, settings.ring_bytes, settings.late_after_ns)
        """The numbered frames that are not acknowledged, and what was counted of them."""
        self._control: list[bytes] = []
        self._acked = 0
        self.is_open = False
        """The link is up: numbered frames may be written."""

    # --- from the engine ----------------------------------------------------------------------

    def queue_spikes(self, batch: SpikeBatch, now_ns: int) -> None:
        """Put a batch of spikes in, as numbered frames of at most 1024."""
        records, nonce = batch.records, self._freshness.peer_nonce
        if batch.made_ns < self._freshness.peer_nonce_received_ns:
            records = self._freshness.aged(records, batch.made_ns, now_ns)
        for piece in _pieces(records):
            body = bodies.encode_spikes(batch.stream, piece, batch.complete_until_ns)
            self.ring.add(FrameType.SPIKES, body, nonce, len(piece), now_ns)

    def queue_psps(self, records: PspRecords, made_ns: int, now_ns: int) -> None:
        """Put PSPs in, as numbered frames of at most 1024.

        `made_ns` is the time to which their age bounds refer.
        """
        nonce = self._freshness.peer_nonce
        for piece in _pieces(self._freshness.aged(records, made_ns, now_ns)):
            body = bodies.encode_psps(0, piece, now_ns)
            self.ring.add(FrameType.PSPS, body, nonce, len(piece), now_ns)

    # --- from the link ------------------------------------------------------------------------

    def begin(self, hello: bytes) -> None:
        """Begin a new connection with our HELLO; nothing else of before is still to be said."""
        self._control = [hello]
        self.is_open = False

    def end(self) -> None:
        """Forget what was meant for the connection that is gone. The numbered frames stay."""
        self._control = []

    def say(self, frame: bytes) -> None:
        """Put in an encoded frame that needs no number; it leaves before those that do."""
        self._control.append(frame)

    def rewind(self, seq: int) -> None:
        """Begin anew after `seq`, up to which the peer has everything on record."""
        self.ring.rewind(seq)
        self._acked = 0

    def acknowledge(self, seq: int) -> None:
        """Tell the peer what is on record here, unless it knows."""
        if seq > self._acked:
            self._acked = seq
            self.say(encode_parts(FrameType.ACK, bodies.encode_ack(seq)))

    def acknowledged(self, seq: int) -> None:
        """Forget what the peer has on record. Raises `FrameError` for a number never given."""
        try:
            self.ring.acknowledge(seq)
        except ValueError as exc:
            raise FrameError(str(exc)) from exc

    # --- from the transport -------------------------------------------------------------------

    def has_next(self) -> bool:
        """Say whether there is something to write now."""
        return bool(self._control) or (self.is_open and self.ring.has_next())

    def next_chunk(self, now_ns: int, n_bytes: int) -> bytes:
        """Return whole frames to write, until there are `n_bytes` or no more; empty: none."""
        chunk = b""
        while self._control and len(chunk) < n_bytes:
            chunk += self._control.pop(0)
        if not self.is_open:
            return chunk
        return chunk + self.ring.next_chunk(now_ns, n_bytes - len(chunk))


def _pieces(records: SpikeRecords) -> list[SpikeRecords]:
    """Cut a batch into what fits a frame; an empty one is one empty piece."""
    n = bodies.MAX_RECORDS
    if len(records) <= n:
        return [records]
    return [records[i : i + n] for i in range(0, len(records), n)]
