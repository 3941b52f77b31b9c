"""One link between two sites as a state machine: frames and times in, frames and events out.

No sockets, no clock, no threads in here. The transport tells it when a connection stands or is
gone, what frames came and what time it is; it takes the bytes to write from `next_bytes`.
"""

from collections.abc import Callable, Mapping

from app.bridge import bodies
from app.bridge.bodies import Heartbeat, Hello
from app.bridge.events import (
    LinkEvent,
    LinkState,
    OffsetKnown,
    PeerGate,
    PeerKnown,
    StateChanged,
)
from app.bridge.freshness import Freshness
from app.bridge.inbound import Inbound
from app.bridge.latency import LatencyFigures
from app.bridge.offset import OffsetEstimator
from app.bridge.ring import ResendRing
from app.bridge.settings import LinkCounts, LinkSettings, LocalSite
from app.core.frames import VERSION, Frame, FrameError, FrameType, encode_frame
from app.core.spikes import PspRecords, SpikeBatch, SpikeRecords

ARM_STATE_TRIPPED = 3
_NUMBERED = (FrameType.SPIKES, FrameType.PSPS)


class Link:
    """The link to one peer. One thread calls it; times are this site's clock in ns."""

    def __init__(
        self,
        local: LocalSite,
        peer: str,
        new_nonce: Callable[[], int],
        last_seqs: Mapping[str, int],
        settings: LinkSettings | None = None,
    ) -> None:
        self._settings = settings or LinkSettings()
        self._local = local
        self.peer = peer
        self._freshness = Freshness(
            new_nonce, self._settings.ring_age_ns // self._settings.heartbeat_ns
        )
        self._ring = ResendRing(
            self._settings.ring_age_ns, self._settings.ring_bytes, self._settings.late_after_ns
        )
        self.state = LinkState.DOWN
        self.state_since_ns = 0
        self.reason = "not connected yet"
        self.hello: Hello | None = None
        self.hello_of_connection: Hello | None = None
        self.last_frame_ns = 0
        self._inbound = Inbound(peer, self._freshness, last_seqs)
        self._control: list[bytes] = []
        self._has_peer_accepted = False
        self._connected_ns = 0
        self._next_heartbeat_ns = 0
        self._next_ack_ns = 0
        self._acked = 0
        self._arm_state = 0
        self._stop_mark = 0
        self._peer_gate: tuple[int, int] | None = None
        self._offset = OffsetEstimator(is_same_clock=False)
        self._told_offset: tuple[int, int] | None = None
        self._next_offset_ns = 0
        self._n_events_sent = 0
        self.last_event_sent_ns = 0
        """When the newest event was put in the outbox; 0: none was."""
        self.latency: LatencyFigures | None = None
        """As of the newest second in which the link was up; None: not known."""
        self._n_frames_received = 0
        self._n_connections = 0

    # --- from the engine ----------------------------------------------------------------------

    def queue_spikes(self, batch: SpikeBatch, now_ns: int) -> None:
        """Put a batch of spikes into the outbox, in numbered frames of at most 1024."""
        for records in _pieces(self._freshness.aged(batch.records, batch.made_ns, now_ns)):
            body = bodies.encode_spikes(batch.stream, records, batch.complete_until_ns)
            self._queue(FrameType.SPIKES, body, len(records), now_ns)

    def queue_psps(self, records: PspRecords, now_ns: int, made_ns: int | None = None) -> None:
        """Put PSPs into the outbox, in numbered frames of at most 1024.

        `made_ns` is the time to which their age bounds refer; without it, now.
        """
        for piece in _pieces(self._freshness.aged(records, made_ns or now_ns, now_ns)):
            self._queue(FrameType.PSPS, bodies.encode_psps(0, piece, now_ns), len(piece), now_ns)

    def recorded(self, session: str, seq: int) -> None:
        """Note that the peer's frames up to `seq` are on record here: they may be acknowledged."""
        self._inbound.recorded(session, seq)

    def set_gate(self, arm_state: int, stop_mark: int) -> None:
        """Tell the peer our Gate's state and stop mark with a heartbeat, at once."""
        self._arm_state = arm_state
        self._stop_mark = stop_mark
        self._next_heartbeat_ns = 0

    # --- from the transport -------------------------------------------------------------------

    def on_connected(self, now_ns: int) -> None:
        """Begin to greet on a new, authenticated connection."""
        self._n_connections += 1
        self._connected_ns = now_ns
        self.last_frame_ns = now_ns
        self._has_peer_accepted = False
        self.hello_of_connection = None
        self._control = [self._hello_frame()]
        self._freshness.forget_peer()
        self._next_heartbeat_ns = now_ns
        self.state = LinkState.GREETING
        self.state_since_ns = now_ns
        self.reason = ""

    def on_disconnected(self, reason: str, now_ns: int) -> list[LinkEvent]:
        """Note that the connection is gone."""
        self._control = []
        if self.state is LinkState.DOWN:
            return []
        return [*self._inbound.owed(), self._enter(LinkState.DOWN, reason, now_ns)]

    def on_frame(self, frame: Frame, now_ns: int) -> list[LinkEvent]:
        """Take one frame. Raises `FrameError`: the connection must be closed with its reason."""
        self.last_frame_ns = now_ns
        self._n_frames_received += 1
        if frame.type is FrameType.HELLO:
            return self._on_hello(bodies.decode_hello(frame.body), now_ns)
        if self.hello_of_connection is None:
            raise FrameError(f"{frame.type.name} before HELLO")
        events: list[LinkEvent] = []
        if self.state is LinkState.SUSPECT:
            events.append(self._enter(LinkState.UP, "heard again", now_ns))
        if frame.type in _NUMBERED:
            return events + self._inbound.take(frame, self._session(), now_ns)
        match frame.type:
            case FrameType.HELLO_OK:
                self._has_peer_accepted = True
                events += self._up_if_greeted(now_ns)
            case FrameType.HB:
                events += self._on_heartbeat(frame, bodies.decode_heartbeat(frame.body), now_ns)
            case FrameType.ACK:
                self._on_ack(bodies.decode_ack(frame.body))
            case FrameType.GAP:
                events += self._inbound.gap(self._session(), bodies.decode_gap(frame.body)[1])
            case FrameType.BYE:
                reason = frame.body[: bodies.MAX_REASON_BYTES].decode("utf-8", "replace")
                raise FrameError(f"peer said goodbye: {reason}")
            case _:
                raise FrameError(f"{frame.type.name} does not belong between sites")
        return events

    def on_tick(self, now_ns: int) -> list[LinkEvent]:
        """Let time act. Raises `FrameError` when the connection must be given up."""
        if self.state is LinkState.DOWN:
            return []
        if self.state is LinkState.GREETING:
            if now_ns - self._connected_ns > self._settings.hello_ns:
                raise FrameError("no HELLO in time")
            return []
        events: list[LinkEvent] = []
        silent_ns = now_ns - self.last_frame_ns
        if silent_ns > self._settings.down_ns:
            raise FrameError(f"silent for {silent_ns / 1e9:.1f} s")
        if silent_ns > self._settings.suspect_ns and self.state is LinkState.UP:
            reason = f"silent for {silent_ns / 1e6:.0f} ms"
            events.append(self._enter(LinkState.SUSPECT, reason, now_ns))
        if now_ns >= self._next_heartbeat_ns:
            self._control.append(self._heartbeat_frame(now_ns))
            # From when it was due, or the ticks' own interval would stretch every heartbeat's.
            heartbeat_ns = self._settings.heartbeat_ns
            is_on_time = now_ns - self._next_heartbeat_ns < heartbeat_ns
            self._next_heartbeat_ns = (
                self._next_heartbeat_ns if is_on_time else now_ns
            ) + heartbeat_ns
        if now_ns >= self._next_ack_ns:
            self._next_ack_ns = now_ns + self._settings.ack_ns
            self._acknowledge()
        if now_ns >= self._next_offset_ns:
            self._next_offset_ns = now_ns + self._settings.offset_ns
            self.latency = self._offset.latency
            events += self._tell_offset()
        return events

    def has_next(self) -> bool:
        """Say whether there is something to write now."""
        if self._control:
            return True
        return self.state in (LinkState.UP, LinkState.SUSPECT) and self._ring.has_next()

    def next_bytes(self, now_ns: int) -> bytes:
        """Return the next bytes to write; call only when `has_next`."""
        if self._control:
            return self._control.pop(0)
        return self._ring.next_bytes(now_ns)

    def next_chunk(self, now_ns: int, n_bytes: int) -> bytes:
        """Return whole frames to write, until there are `n_bytes` or no more; empty: none."""
        chunk = b""
        while len(chunk) < n_bytes and self.has_next():
            chunk += self.next_bytes(now_ns)
        return chunk

    def bye_bytes(self, reason: str) -> bytes:
        """Return the frame that closes a connection in order."""
        return encode_frame(Frame(FrameType.BYE, reason.encode()[: bodies.MAX_REASON_BYTES]))

    # --- what is known ------------------------------------------------------------------------

    @property
    def counts(self) -> LinkCounts:
        """Get what was counted so far."""
        return LinkCounts(
            n_events_sent=self._n_events_sent,
            n_events_received=self._inbound.n_events,
            n_frames_sent=self._ring.last_seq,
            n_frames_received=self._n_frames_received,
            n_resent=self._ring.n_resent,
            n_resent_received=self._inbound.n_resent,
            n_duplicates=self._inbound.n_duplicates,
            n_frames_lost=self._inbound.n_frames_lost,
            n_events_lost=self._ring.n_events_fallen,
            n_unacknowledged=self._ring.n_unacknowledged,
            n_reconnects=max(0, self._n_connections - 1),
        )

    @property
    def last_event_received_ns(self) -> int:
        """Get when the newest event of the peer came; 0: none has."""
        return self._inbound.last_event_ns

    @property
    def n_unrecorded(self) -> int:
        """Get how many frames of the peer are not yet on record here."""
        return 0 if self.hello is None else self._inbound.n_unrecorded(self.hello.session)

    @property
    def rtt_ns(self) -> int | None:
        """Get the shortest round trip of the last seconds."""
        return self._offset.rtt_ns

    @property
    def offset(self) -> tuple[int, int] | None:
        """Get (peer's clock minus ours, uncertainty) in ns."""
        return self._offset.estimate

    # --- inside -------------------------------------------------------------------------------

    def _queue(self, kind: FrameType, body: bytes, n_events: int, now_ns: int) -> None:
        if n_events:
            self._n_events_sent += n_events
            self.last_event_sent_ns = now_ns
        self._ring.add(kind, body, self._freshness.peer_nonce, n_events, now_ns)

    def _hello_frame(self) -> bytes:
        hello = Hello(
            min_version=VERSION,
            max_version=VERSION,
            site=self._local.site,
            session=self._local.session,
            experiment_hash=self._local.experiment_hash,
            clock=self._local.clock,
            streams=self._local.streams,
            last_seqs=self._inbound.last_seqs(),
        )
        return encode_frame(Frame(FrameType.HELLO, bodies.encode_hello(hello)))

    def _on_hello(self, hello: Hello, now_ns: int) -> list[LinkEvent]:
        if self.hello_of_connection is not None:
            raise FrameError("HELLO twice")
        if hello.site != self.peer:
            raise FrameError(f"the certificate is {self.peer}'s, HELLO says {hello.site!r}")
        if not (hello.min_version <= VERSION <= hello.max_version):
            raise FrameError(
                f"peer speaks versions {hello.min_version} to {hello.max_version}, we {VERSION}"
            )
        if hello.session == self._local.session:
            raise FrameError("HELLO carries our own session: a reflection")
        is_new = self.hello is None or self.hello.session != hello.session
        self.hello = self.hello_of_connection = hello
        self._ring.rewind(hello.last_seqs.get(self._local.session, 0))
        self._inbound.begin(hello.session)
        self._acked = 0
        # Anew with each connection: while it was gone the clocks went on drifting.
        self._offset = OffsetEstimator(is_same_clock=hello.clock == self._local.clock)
        if is_new:
            self._told_offset = None
            self._peer_gate = None
        self._control.append(encode_frame(Frame(FrameType.HELLO_OK)))
        events: list[LinkEvent] = [PeerKnown(self.peer, hello, is_new)]
        return events + self._tell_offset() + self._up_if_greeted(now_ns)

    def _up_if_greeted(self, now_ns: int) -> list[LinkEvent]:
        is_greeted = self._has_peer_accepted and self.hello_of_connection is not None
        if self.state is LinkState.GREETING and is_greeted:
            self._next_heartbeat_ns = 0
            return [self._enter(LinkState.UP, "greeted", now_ns)]
        return []

    def _on_heartbeat(self, frame: Frame, beat: Heartbeat, now_ns: int) -> list[LinkEvent]:
        self._freshness.heard(beat.nonce, now_ns)
        sent_ns = self._freshness.sent_ns(frame.echo)
        if sent_ns is not None and beat.echoed_received_ns:
            self._offset.add(sent_ns, beat.echoed_received_ns, beat.sent_ns, now_ns)
        gate = (beat.arm_state, beat.stop_mark)
        if gate == self._peer_gate:
            return []
        is_new_stop = beat.stop_mark != 0 and (
            beat.arm_state == ARM_STATE_TRIPPED
            if self._peer_gate is None
            else beat.stop_mark != self._peer_gate[1]
        )
        self._peer_gate = gate
        return [PeerGate(self.peer, *gate, is_new_stop=is_new_stop)]

    def _on_ack(self, seq: int) -> None:
        try:
            self._ring.acknowledge(seq)
        except ValueError as exc:
            raise FrameError(str(exc)) from exc

    def _heartbeat_frame(self, now_ns: int) -> bytes:
        freshness = self._freshness
        beat = Heartbeat(
            freshness.issue(now_ns),
            now_ns,
            freshness.peer_nonce_received_ns,
            self._arm_state,
            self._stop_mark,
        )
        body = bodies.encode_heartbeat(beat)
        return encode_frame(Frame(FrameType.HB, body, echo=freshness.peer_nonce))

    def _acknowledge(self) -> None:
        seq = self._inbound.recorded_until(self._session())
        if seq > self._acked:
            self._acked = seq
            self._control.append(encode_frame(Frame(FrameType.ACK, bodies.encode_ack(seq))))

    def _tell_offset(self) -> list[LinkEvent]:
        estimate = self._offset.estimate
        if estimate is None or estimate == self._told_offset:
            return []
        self._told_offset = estimate
        return [OffsetKnown(self.peer, *estimate, rtt_ns=self._offset.rtt_ns or 0)]

    def _session(self) -> str:
        if self.hello is None:
            raise FrameError("no HELLO yet")
        return self.hello.session

    def _enter(self, state: LinkState, reason: str, now_ns: int) -> StateChanged:
        self.state, self.state_since_ns, self.reason = state, now_ns, reason
        return StateChanged(self.peer, state, reason)


def _pieces(records: SpikeRecords) -> list[SpikeRecords]:
    """Cut a batch into what fits a frame; an empty one is one empty piece."""
    n = bodies.MAX_RECORDS
    if len(records) <= n:
        return [records]
    return [records[i : i + n] for i in range(0, len(records), n)]
