"""What a site does with what its links say: record, learn, act, and tell the Gate."""

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

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
from app.core.clock import ClockNs
from app.core.spikes import Provenance
from app.engine.ledger import Ledger
from app.engine.reception import PspReception
from app.recording.rows import ReceivedFrameRow
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


class SiteLinks:
    """Handles every event of every link, in the bridge's thread; hands over and returns at once.

    `bridge` is set by the composition root after both exist.
    """

    def __init__(
        self,
        *,
        experiment_hash: str,
        ledger: Ledger,
        gate: Gate,
        reception: PspReception,
        submit: Callable[[Input], None] | None,
        on_peer_stop: Callable[[str], None],
        clock_ns: ClockNs,
    ) -> None:
        self.bridge: Bridge | None = None
        self._experiment_hash = experiment_hash
        self._ledger = ledger
        self._gate = gate
        self._reception = reception
        self._submit = submit
        self._on_peer_stop = on_peer_stop
        self._clock_ns = clock_ns
        self._streams: dict[tuple[str, int], tuple[frozenset[int], Provenance]] = {}

    @property
    def listen_port(self) -> int | None:
        """Get the port at which peers reach us; None if we do not listen."""
        return None if self.bridge is None else self.bridge.listen_port

    @property
    def n_unusable_psps(self) -> int:
        """Get how many PSPs named a synapse, neuron or weight that cannot be."""
        return self._reception.n_unusable

    def publish_gate_state(self) -> None:
        """Tell every peer our Gate's state and stop epoch, at once."""
        snapshot = self._gate.snapshot()
        if self.bridge is not None:
            self.bridge.set_gate(GATE_STATE_CODE[snapshot.state], snapshot.stop_epoch)

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
        del now_ns
        links = () if self.bridge is None else self.bridge.status()
        return any(link.site == site and link.state is LinkState.UP for link in links)

    def status(self, now_ns: int) -> list[dict[str, Any]]:
        """Return every link as plain values."""
        links = () if self.bridge is None else self.bridge.status()
        return [
            {
                "site": link.site,
                "state": link.state.value,
                "for_s": (now_ns - link.since_ns) / 1e9 if link.since_ns else None,
                "reason": link.reason,
                "age_of_last_frame_s": (now_ns - link.last_frame_ns) / 1e9
                if link.last_frame_ns
                else None,
                "rtt_ns": link.rtt_ns,
                "offset_ns": link.offset_ns,
                "uncertainty_ns": link.uncertainty_ns,
                "has_our_experiment": link.experiment_hash == self._experiment_hash,
                **asdict(link.counts),
            }
            for link in links
        ]

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
        frame = self._frame(event, "SPIKES", len(event.batch.records))
        self._ledger.received_spikes(event.site, event.batch, frame, self._recorded(event))
        known = self._streams.get((event.site, event.batch.stream))
        if self._submit is None or known is None:
            return
        neurons, provenance = known
        self._submit(
            SpikeArrival(
                site=event.site,
                stream=event.batch.stream,
                neurons=neurons,
                provenance=provenance,
                records=event.batch.records,
                complete_until_ns=event.batch.complete_until_ns,
                seq=event.seq,
                is_resend=event.is_resend,
                age_bound_ns=event.age_bound_ns,
                received_ns=event.received_ns,
            )
        )

    def _psps(self, event: PspsReceived) -> None:
        frame = self._frame(event, "PSPS", len(event.records))
        self._ledger.received_psps(event.site, event.records, frame, self._recorded(event))
        if event.is_resend:
            return  # recorded; what is sent again never stimulates
        self._reception.take(
            event.site,
            event.records,
            age_bound_ns=event.age_bound_ns,
            received_ns=event.received_ns,
        )

    def _recorded(self, event: SpikesReceived | PspsReceived) -> Callable[[], None]:
        if self.bridge is None:
            raise RuntimeError("links have events before they have a bridge")
        return partial(self.bridge.recorded, event.site, event.session, event.seq)

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
        for stream in hello.streams:
            neurons = frozenset(stream.neurons)
            self._streams[event.site, stream.stream] = neurons, stream.provenance
        if event.is_new_session and self._submit is not None:
            all_neurons = tuple(n for stream in hello.streams for n in stream.neurons)
            self._submit(StreamBroken(all_neurons, f"site {event.site} began a new session"))
        differs = hello.experiment_hash != self._experiment_hash
        sentence = (
            f"site {event.site} runs another experiment ({hello.experiment_hash[:12] or 'none'}, "
            f"ours is {self._experiment_hash[:12] or 'none'}); give all sites the same file"
        )
        self._gate.set_block(
            f"experiment:{event.site}", sentence if differs else None, self._clock_ns()
        )

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
            )
        )
        if self._submit is not None:
            lost = [n for (site, _), (n, _) in self._streams.items() if site == event.site]
            neurons = tuple(neuron for some in lost for neuron in some)
            self._submit(StreamBroken(neurons, f"link {event.site}: {detail}"))

    def _peer_gate(self, event: PeerGate) -> None:
        self._ledger.link(event.site, "gate", f"{event.arm_state}, stop epoch {event.stop_epoch}")
        if event.is_new_stop:
            self._on_peer_stop(event.site)

    def _offset(self, event: OffsetKnown) -> None:
        self._ledger.link_offset(event.site, event.offset_ns, event.uncertainty_ns)
        if self._submit is not None:
            self._submit(ClockOffset(event.site, -event.offset_ns, event.uncertainty_ns))
