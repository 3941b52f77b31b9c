"""What a site does with what its links say: record, learn, act, and tell the Gate."""

import datetime as dt
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from msgspec import structs

from app.bridge.bridge import Bridge
from app.bridge.events import (
    GapDeclared,
    LinkEvent,
    LinkState,
    OffsetKnown,
    PeerGate,
    PeerKnown,
    PspsReceived,
    SpikesReceived,
    StateChanged,
)
from app.bridge.tls import TlsIdentity
from app.config.experiment import Experiment
from app.config.site import Peer
from app.core.clock import ClockNs
from app.core.spikes import SpikeBatch
from app.engine.ledger import Ledger
from app.engine.link_status import link_status
from app.engine.peer_rights import PermittedStream, permitted_stream
from app.engine.reception import PspReception
from app.engine.refusal_lines import RefusalLines
from app.engine.stop_relay import StopRelay
from app.engine.watch import LINK_LIMIT_NS
from app.recording.rows import ReceivedFrameRow
from app.recording.uncommitted import OnCommitted
from app.safety.gate import Gate
from app.safety.leases import link_lease
from app.safety.state import GateState
from app.synapse.inputs import ClockOffset, Input, StreamBroken
from app.synapse.network import SpikeArrival

GATE_STATE_CODE = {
    GateState.BOOT: 0,
    GateState.DISARMED: 1,
    GateState.ARMED: 2,
    GateState.TRIPPED: 3,
}
REFUSED = 2
"""Flag of a recorded frame: its sender's key may not send it, so its content is not kept."""


class SiteLinks:
    """Handles every event of every link, in the bridge's thread; hands over and returns at once.

    `bridge` is set by the composition root after both exist.
    """

    def __init__(
        self,
        *,
        experiment_hash: str,
        experiment: Experiment | None,
        peers: Iterable[Peer],
        identity: TlsIdentity | None,
        ledger: Ledger,
        gate: Gate,
        reception: PspReception,
        submit: Callable[[Input], None] | None,
        stops: StopRelay,
        on_peer_stop: Callable[[str], None],
        clock_ns: ClockNs,
    ) -> None:
        self.bridge: Bridge | None = None
        self._experiment_hash = experiment_hash
        self._experiment = experiment
        self._identity = identity
        self._peers = {peer.site: peer for peer in peers}
        self._ledger = ledger
        self._gate = gate
        self._reception = reception
        self._submit = submit
        self._stops = stops
        self._on_peer_stop = on_peer_stop
        self._clock_ns = clock_ns
        self._streams: dict[tuple[str, int], PermittedStream] = {}
        self._n_refused = dict.fromkeys(self._peers, 0)
        """Events by site that were not taken, because its key may not send them."""
        self._foreign = RefusalLines(lambda of, why: ledger.link(of, "refused", why), "events")
        self._told_recorded: dict[str, tuple[str, OnCommitted]] = {}
        """By site: its newest session and whom to tell what of it is on record."""

    @property
    def listen_port(self) -> int | None:
        """Get the port at which peers reach us; None if we do not listen."""
        return None if self.bridge is None else self.bridge.listen_port

    @property
    def n_strangers(self) -> int:
        """Get how many connections proved no pinned key."""
        return 0 if self.bridge is None else self.bridge.n_strangers

    @property
    def n_unusable_psps(self) -> int:
        """Get how many PSPs named a synapse, neuron or weight that cannot be."""
        return self._reception.n_unusable

    def announce_stop(self) -> None:
        """Tell every peer of an emergency stop that was pressed here; each passes it on."""
        self._stops.press()
        self.publish_gate_state()

    def publish_gate_state(self) -> None:
        """Tell every peer our Gate's state and the newest emergency stop, at once."""
        snapshot = self._gate.snapshot()
        if self.bridge is not None:
            self.bridge.set_gate(GATE_STATE_CODE[snapshot.state], self._stops.newest)

    def drain(self, limit_s: float) -> None:
        """Wait until every peer that is up has acknowledged everything, or the time is up."""
        deadline_s = time.monotonic() + limit_s
        while self.bridge is not None and time.monotonic() < deadline_s:
            waiting = [
                link
                for link in self.bridge.status()
                if link.state is LinkState.UP and link.counts.n_unacknowledged
            ]
            if not waiting:
                return
            time.sleep(0.01)

    def is_fresh(self, site: str, now_ns: int) -> bool:
        """Say whether the link to a site is up and has spoken lately."""
        links = () if self.bridge is None else self.bridge.status()
        return any(
            link.site == site
            and link.state is LinkState.UP
            and now_ns - link.last_frame_ns <= LINK_LIMIT_NS
            for link in links
        )

    def status(self, now_ns: int) -> list[dict[str, Any]]:
        """Return every link as plain values."""
        links = () if self.bridge is None else self.bridge.status()
        return [
            link_status(
                link,
                now_ns,
                our_experiment_hash=self._experiment_hash,
                n_refused=self._n_refused[link.site] + self._reception.n_unusable_of[link.site],
                certificate_days_left=self._days_left(link.site),
            )
            for link in links
        ]

    @property
    def own_certificate_days_left(self) -> float | None:
        """Get in how many days our own certificate expires; None if there are no links."""
        return None if self._identity is None else _days_until(self._identity.expires)

    def _days_left(self, site: str) -> float | None:
        return None if self._identity is None else _days_until(self._identity.expires_of(site))

    def handle(self, event: LinkEvent) -> None:
        """Take one event of a link."""
        match event:
            case SpikesReceived():
                self._spikes(event)
            case PspsReceived():
                self._psps(event)
            case StateChanged():
                self._state(event)
            case PeerKnown():
                self._peer_known(event)
            case GapDeclared():
                self._gap(event)
            case PeerGate():
                self._peer_gate(event)
            case OffsetKnown():
                self._offset(event)

    def _spikes(self, event: SpikesReceived) -> None:
        stream = self._streams.get((event.site, event.batch.stream))
        if stream is None:
            frame = self._frame(event, "SPIKES", len(event.batch.records))
            self._refuse(event.site, frame, self._recorded(event.site, event.session))
            return
        batch = self._own_events(event, stream)
        self._hand_on(event, batch, stream)
        frame = self._frame(event, "SPIKES", len(event.batch.records))
        self._ledger.received_spikes(
            event.site, batch, frame, self._recorded(event.site, event.session)
        )

    def _hand_on(self, event: SpikesReceived, batch: SpikeBatch, stream: PermittedStream) -> None:
        """Give a batch to the synapses, before it is recorded: a spike should not wait for that."""
        if self._submit is None:
            return
        self._submit(
            SpikeArrival(
                site=event.site,
                stream=batch.stream,
                neurons=stream.neurons,
                provenance=stream.provenance,
                records=batch.records,
                complete_until_ns=batch.complete_until_ns,
                seq=event.seq,
                is_resend=event.is_resend,
                age_bound_ns=event.age_bound_ns,
                received_ns=event.received_ns,
            )
        )

    def _own_events(self, event: SpikesReceived, stream: PermittedStream) -> SpikeBatch:
        """Return the batch without events of neurons for which its site does not speak."""
        own = stream.own.only(event.batch.records)
        if own is event.batch.records:
            return event.batch
        n_foreign = len(event.batch.records) - len(own)
        self._n_refused[event.site] += n_foreign
        self._foreign.refused(
            event.site, "neurons that are not its own", n_foreign, event.received_ns
        )
        return structs.replace(event.batch, records=own)

    def _psps(self, event: PspsReceived) -> None:
        frame = self._frame(event, "PSPS", len(event.records))
        if self._peers[event.site].may.max_psps_per_s == 0:
            self._refuse(event.site, frame, self._recorded(event.site, event.session))
            return
        if not event.is_resend:  # what is sent again never stimulates
            self._reception.take(
                event.site,
                event.records,
                age_bound_ns=event.age_bound_ns,
                received_ns=event.received_ns,
            )
        self._ledger.received_psps(
            event.site, event.records, frame, self._recorded(event.site, event.session)
        )

    def _refuse(self, site: str, frame: ReceivedFrameRow, on_committed: OnCommitted) -> None:
        """Record that a frame came whose content this site does not take."""
        self._n_refused[site] += frame.n_records
        self._ledger.frame(frame._replace(flags=frame.flags | REFUSED), on_committed)

    def _recorded(self, site: str, session: str) -> OnCommitted:
        """Return what to tell that frames of a session are on record; the same one each time."""
        known = self._told_recorded.get(site)
        if known is not None and known[0] == session:
            return known[1]
        if self.bridge is None:
            raise RuntimeError("links have events before they have a bridge")
        tell = partial(self.bridge.recorded, site, session)
        self._told_recorded[site] = session, tell
        return tell

    def _frame(
        self, event: SpikesReceived | PspsReceived, kind: str, n_records: int
    ) -> ReceivedFrameRow:
        return ReceivedFrameRow(
            event.received_ns,
            event.site,
            event.session,
            event.seq,
            event.seq,
            kind,
            n_records,
            int(event.is_resend),
        )

    def _state(self, event: StateChanged) -> None:
        now_ns = self._clock_ns()
        self._ledger.link(event.site, event.state.value, event.reason)
        if event.state is LinkState.UP:
            self._gate.lease_renewed(link_lease(event.site), now_ns)
        else:
            self._gate.lease_lost(link_lease(event.site), event.reason, now_ns)

    def _peer_known(self, event: PeerKnown) -> None:
        hello = event.hello
        self._ledger.link(event.site, "hello", f"session {hello.session}")
        self._take_streams(event)
        if event.is_new_session and self._submit is not None:
            neurons = self._neurons_of(event.site)
            self._submit(StreamBroken(neurons, f"site {event.site} began a new session"))
        differs = hello.experiment_hash != self._experiment_hash
        sentence = (
            f"site {event.site} runs another experiment ({hello.experiment_hash[:12] or 'none'}, "
            f"ours is {self._experiment_hash[:12] or 'none'}); give all sites the same file"
        )
        self._gate.set_block(
            f"experiment:{event.site}", sentence if differs else None, self._clock_ns()
        )

    def _take_streams(self, event: PeerKnown) -> None:
        for key in [key for key in self._streams if key[0] == event.site]:
            del self._streams[key]
        for stream in event.hello.streams:
            taken = permitted_stream(self._peers[event.site], stream, self._experiment)
            if isinstance(taken, PermittedStream):
                self._streams[event.site, stream.stream] = taken
            else:
                self._ledger.link(event.site, "refused", taken)

    def _neurons_of(self, site: str) -> tuple[int, ...]:
        return tuple(n for (of, _), s in self._streams.items() if of == site for n in s.neurons)

    def _gap(self, event: GapDeclared) -> None:
        n_frames = event.last_seq - event.first_seq + 1
        detail = f"{n_frames} frames from {event.first_seq} on will never come"
        self._ledger.link(event.site, "gap", detail)
        self._ledger.frame(
            ReceivedFrameRow(
                self._clock_ns(),
                event.site,
                event.session,
                event.first_seq,
                event.last_seq,
                "GAP",
                0,
                0,
            ),
            self._recorded(event.site, event.session),
        )
        if self._submit is not None:
            self._submit(StreamBroken(self._neurons_of(event.site), f"link {event.site}: {detail}"))

    def _peer_gate(self, event: PeerGate) -> None:
        self._ledger.link(event.site, "gate", f"{event.arm_state}, stop mark {event.stop_mark:08x}")
        if event.is_new_stop and self._stops.hear(event.stop_mark):
            self._on_peer_stop(event.site)
            self.publish_gate_state()

    def _offset(self, event: OffsetKnown) -> None:
        self._ledger.link_offset(event.site, event.offset_ns, event.uncertainty_ns)
        if self._submit is not None:
            self._submit(ClockOffset(event.site, -event.offset_ns, event.uncertainty_ns))


def _days_until(end: dt.datetime) -> float:
    return (end - dt.datetime.now(dt.UTC)) / dt.timedelta(days=1)
