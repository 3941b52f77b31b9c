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
from app.bridge.outbound import Outbound
from app.bridge.settings import LinkCounts, LinkSettings, LocalSite
from app.core.frames import VERSION, Frame, FrameError, FrameType, encode_frame

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
        self.outbound = Outbound(self._freshness, self._settings)
        """What goes to the peer: the engine puts in, the transport takes out."""
        self.state = LinkState.DOWN
        self.state_since_ns = 0
        self.reason = "not connected yet"
        self.hello: Hello | None = None
        self.hello_of_connection: Hello | None = None
        self.last_frame_ns = 0
        self._inbound = Inbound(peer, self._freshness, last_seqs)
        self._has_peer_accepted = False
        self._connected_ns = 0
        self._next_heartbeat_ns = 0
        self._next_ack_ns = 0
        self._arm_state = 0
        self._stop_mark = 0
        self._peer_gate: tuple[int, int] | None = None
        self._offset = OffsetEstimator(is_same_clock=False)
        self._told_offset: tuple[int, int] | None = None
        self._next_offset_ns = 0
        self.latency: LatencyFigures | None = None
        """As of the newest second in which the link was up; None: not known."""
        self._n_frames_received = 0
        self._n_connections = 0

    # --- from the engine ----------------------------------------------------------------------

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
        self.outbound.begin(self._hello_frame())
        self._freshness.forget_peer()
        self._next_heartbeat_ns = now_ns
        self.state = LinkState.GREETING
        self.state_since_ns = now_ns
        self.reason = ""

    def on_disconnected(self, reason: str, now_ns: int) -> list[LinkEvent]:
        """Note that the connection is gone."""
        self.outbound.end()
        if self.state is LinkState.DOWN:
            return []
        return [*self._inbound.owed(), self._enter(LinkState.DOWN, reason, now_ns)]

    def on_frame(self, frame: Frame, now_ns: int) -> list[LinkEvent]:
        """Take one frame. Raises `FrameError`: the connection must be closed with its reason."""
        self.last_frame_ns = now_ns
        self._n_frames_received += 1
        hello = self.hello_of_connection
        if hello is None or frame.type is FrameType.HELLO:
            return self._greeted(frame, now_ns)
        events: list[LinkEvent] = []
        if self.state is LinkState.SUSPECT:
            events.append(self._enter(LinkState.UP, "heard again", now_ns))
        if frame.type in _NUMBERED:
            events += self._inbound.take(frame, hello.session, now_ns)
            return events
        match frame.type:
            case FrameType.HELLO_OK:
                if frame.body:
                    raise FrameError(f"HELLO_OK with {len(frame.body)} bytes, expected none")
                self._has_peer_accepted = True
                events += self._up_if_greeted(now_ns)
            case FrameType.HB:
                events += self._on_heartbeat(frame, bodies.decode_heartbeat(frame.body), now_ns)
            case FrameType.ACK:
                self.outbound.acknowledged(bodies.decode_ack(frame.body))
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
            self.outbound.say(self._heartbeat_frame(now_ns))
            # From when it was due, or the ticks' own interval would stretch every heartbeat's.
            heartbeat_ns = self._settings.heartbeat_ns
            is_on_time = now_ns - self._next_heartbeat_ns < heartbeat_ns
            self._next_heartbeat_ns = (
                self._next_heartbeat_ns if is_on_time else now_ns
            ) + heartbeat_ns
        if now_ns >= self._next_ack_ns:
            self._next_ack_ns = now_ns + self._settings.ack_ns
            self.outbound.acknowledge(self._inbound.recorded_until(self._session()))
        if now_ns >= self._next_offset_ns:
            self._next_offset_ns = now_ns + self._settings.offset_ns
            self.latency = self._offset.latency
            events += self._tell_offset()
        return events

    def bye_bytes(self, reason: str) -> bytes:
        """Return the frame that closes a connection in order."""
        return encode_frame(Frame(FrameType.BYE, reason.encode()[: bodies.MAX_REASON_BYTES]))

    # --- what is known ------------------------------------------------------------------------

    @property
    def counts(self) -> LinkCounts:
        """Get what was counted so far."""
        return LinkCounts(
            n_events_sent=self.outbound.ring.n_events,
            n_events_received=self._inbound.n_events,
            n_frames_sent=self.outbound.ring.last_seq,
            n_frames_received=self._n_frames_received,
            n_resent=self.outbound.ring.n_resent,
            n_resent_received=self._inbound.n_resent,
            n_duplicates=self._inbound.n_duplicates,
            n_frames_lost=self._inbound.n_frames_lost,
            n_events_lost=self.outbound.ring.n_events_fallen,
            n_unacknowledged=self.outbound.ring.n_unacknowledged,
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

    def _greeted(self, frame: Frame, now_ns: int) -> list[LinkEvent]:
        if frame.type is not FrameType.HELLO:
            raise FrameError(f"{frame.type.name} before HELLO")
        return self._on_hello(bodies.decode_hello(frame.body), now_ns)

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
        self.outbound.rewind(hello.last_seqs.get(self._local.session, 0))
        self._inbound.begin(hello.session)
        # Anew with each connection: while it was gone the clocks went on drifting.
        self._offset = OffsetEstimator(is_same_clock=hello.clock == self._local.clock)
        if is_new:
            self._told_offset = None
            self._peer_gate = None
        self.outbound.say(encode_frame(Frame(FrameType.HELLO_OK)))
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
        self.outbound.is_open = state in (LinkState.UP, LinkState.SUSPECT)
        return StateChanged(self.peer, state, reason)
