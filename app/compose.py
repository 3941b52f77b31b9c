"""The composition root: from configuration to an engine whose parts know each other."""

import datetime as dt
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from app.bridge.bodies import StreamInfo
from app.bridge.bridge import Bridge
from app.bridge.events import LinkEvent
from app.bridge.peers import PeerAddress
from app.bridge.settings import LocalSite
from app.bridge.tls import TlsIdentity
from app.config.electrode_map import electrode_table
from app.config.experiment import Experiment, experiment_hash
from app.config.paths import (
    certificate_file,
    history_file,
    key_file,
    peer_certificate_file,
    session_root,
)
from app.config.site import Site
from app.console.live_feed import LiveFeed
from app.core.acquisition import Acquisition
from app.core.chip_reader import ChipReader
from app.core.clock import clock_identity, monotonic_ns, utc_anchor
from app.core.detector import Detector, warm_up
from app.core.input_log import InputLog
from app.core.sample_clock import ClockMapping
from app.core.spikes import Provenance, PspRecords, SpikeBatch
from app.engine.alerter import Alerter
from app.engine.engine import Engine, EngineParts
from app.engine.ledger import Ledger
from app.engine.own_events import OwnStream
from app.engine.past_doses import tell_past
from app.engine.peer_rights import psp_rights
from app.engine.raw_faults import RawFaults
from app.engine.reception import PspReception
from app.engine.showing import Showing
from app.engine.site_links import SiteLinks
from app.engine.stop_relay import StopRelay
from app.engine.synapse_outputs import SynapseOutputs
from app.engine.watch import leases_of
from app.engine.wiring import (
    detector_settings,
    devices_of,
    electrode_use,
    feed_format,
    metadata_of,
    network_of,
    site_numbers,
    targets_of,
)
from app.instruments import Rig, profiles_of, provenance_of
from app.recording.event_log import EventLog
from app.recording.history import DoseHistory, PastDose
from app.recording.raw_writer import RawWriter
from app.recording.received import last_seqs_of_site
from app.recording.recovery import Recovery, recover_all
from app.recording.session import Session, create_session
from app.recording.session_log import SessionLog
from app.recording.software import software_versions
from app.safety.actuator_worker import ActuatorWorker
from app.safety.audit import DeliveryOutcome
from app.safety.gate import Gate
from app.safety.profiles import limits_in_force
from app.signed_site import tell_limits_end
from app.synapse.device_worker import DeviceWorker, PulseRecord
from app.synapse.inputs import DeviceRead, Input, StreamBroken
from app.synapse.network_worker import NetworkWorker
from drivers.mea.protocol import MeaAmplifier, SampleBlock
from drivers.permit import Permit
from drivers.smu.protocol import Reading

log = logging.getLogger(__name__)

AMPLIFIER_STREAM = 0
"""Number of the amplifier's stream; the chips' follow."""


@dataclass(frozen=True, slots=True)
class EngineFiles:
    """The two files an engine was started with, as bytes and as what they say."""

    site_file: Path
    site: Site
    site_bytes: bytes
    experiment: Experiment | None = None
    experiment_bytes: bytes = b""
    override_bytes: bytes = b""
    """The limits override file; empty: there is none."""
    limits_until: dt.datetime | None = None
    """When the first signature under a limit ends."""


@dataclass(slots=True)
class Composition:
    """Makes the parts in the order in which they need each other. `rig` is open.

    Callbacks name parts that are made later; they are called only once the engine has started.
    """

    files: EngineFiles
    rig: Rig
    engine: Engine
    is_mock: bool
    is_dry_run: bool = False
    """The rig's actuators are recorders: what is permitted is no dose."""
    experiment_hash: str = ""
    session: Session = field(init=False)
    event_log: EventLog = field(init=False)
    ledger: Ledger = field(init=False)
    showing: Showing = field(init=False)
    input_log: InputLog = field(init=False)
    gate: Gate = field(init=False)
    provenance: dict[str, Provenance] = field(default_factory=dict)
    reception: PspReception = field(init=False)
    actuators: dict[str, ActuatorWorker] = field(default_factory=dict)
    devices: list[DeviceWorker] = field(default_factory=list)
    network: NetworkWorker | None = None
    links: SiteLinks = field(init=False)
    bridge: Bridge | None = None
    streams: list[OwnStream] = field(default_factory=list)

    def compose(self) -> EngineParts:
        """Make everything; start nothing.

        Raises
        ------
        KeyFileError
            A key or certificate is missing or damaged.
        RecordingError
            The session folder cannot be made.
        OSError
            The listening address cannot be had.
        """
        site = self.files.site
        if self.files.experiment is not None:
            self.experiment_hash = experiment_hash(self.files.experiment)
        self.provenance = provenance_of(site, is_mock=self.is_mock)
        root = session_root(self.files.site_file, site)
        recoveries = recover_all(root, site.site)
        last_seqs = last_seqs_of_site(root, site.site)
        amplifier = next(iter(self.rig.amplifiers.values()), None)
        self._make_showing(amplifier)
        doses, unread = self._past_doses()
        self._make_record()
        self._note_recoveries(recoveries)
        self._make_gate()
        self._tell_past(doses, unread)
        self._make_actuators()
        self._make_devices()
        self._make_streams()
        self._make_links(last_seqs)
        self._make_network()
        raw_writer = (
            None if amplifier is None else self._raw_writer(amplifier.stream_format.sample_rate_hz)
        )
        return EngineParts(
            site=site,
            experiment=self.files.experiment,
            experiment_hash=self.experiment_hash,
            session=self.session,
            feed=self.showing.feed,
            clock_ns=monotonic_ns,
            event_log=self.event_log,
            session_log=SessionLog(self.session.folder, on_failure=self.engine.failed),
            ledger=self.ledger,
            gate=self.gate,
            bridge=self.bridge,
            links=self.links,
            instruments=self.rig.all(),
            provenance=self.provenance,
            amplifier=amplifier,
            stream_format=None if amplifier is None else amplifier.stream_format,
            acquisition=None if amplifier is None else self._acquisition(amplifier, raw_writer),
            raw_writer=raw_writer,
            chip_readers=self._chip_readers(),
            actuators=self.actuators,
            devices=self.devices,
            network=self.network,
            is_dry_run=self.is_dry_run,
            alerter=self._alerter(),
            close_instruments=self.rig.close,
        )

    # --- record and Gate ----------------------------------------------------------------------

    def _make_showing(self, amplifier: MeaAmplifier | None) -> None:
        site, experiment = self.files.site, self.files.experiment
        stream_format = None if amplifier is None else amplifier.stream_format
        self.showing = Showing(
            LiveFeed(feed_format(self.files.site_file, site, experiment, stream_format)),
            site_numbers(site, experiment),
            monotonic_ns,
            blank_after_s=site.amplifiers[0].detection.blank_after_s if amplifier else 0.0,
        )

    def _past_doses(self) -> tuple[list[PastDose], list[str]]:
        """Return what earlier sessions gave, and a sentence on each that cannot be read."""
        site_file, site = self.files.site_file, self.files.site
        with DoseHistory(history_file(site_file, site)) as history:
            unread = history.take_in(session_root(site_file, site), site.site)
            return history.doses(), unread

    def _make_record(self) -> None:
        site = self.files.site
        self.session = create_session(
            session_root(self.files.site_file, site),
            site=site.site,
            session=secrets.token_hex(16),
            config=self.files.site_bytes,
            experiment=self.files.experiment_bytes,
            experiment_sha256=self.experiment_hash,
            software=software_versions(),
            clock=clock_identity(),
            anchor=utc_anchor(),
            limits=limits_in_force(profiles_of(site, self.provenance)),
            provenance={name: p.value for name, p in self.provenance.items()},
            limits_override=self.files.override_bytes,
            metadata=self._metadata(),
        )
        self.event_log = EventLog(
            self.session.events_path,
            on_failure=self.engine.failed,
            release_reserve=self.session.release_reserve,
            is_strict=site.recording.is_strict,
        )
        self.ledger = Ledger(self.event_log, site.site, monotonic_ns, on_row=self.showing.row)
        self.input_log = InputLog(self.ledger.input)

    def _metadata(self) -> dict[str, object]:
        """Return what the record says about laboratory, cultures, devices and electrodes."""
        site, site_file = self.files.site, self.files.site_file
        told = metadata_of(site, dt.datetime.now(dt.UTC).date())
        told["electrodes"] = {
            a.name: electrode_table(
                site_file, a, self.rig.amplifiers[a.name].stream_format.channel_names
            )
            for a in site.amplifiers
        }
        return told

    def _note_recoveries(self, recoveries: list[Recovery]) -> None:
        for recovery in recoveries:
            if recovery.state != "whole":
                text = f"{recovery.folder.name}: {recovery.state}: {'; '.join(recovery.said)}"
                log.warning("earlier session %s", text)
                self.ledger.note("engine", f"earlier session {text}")

    def _make_gate(self) -> None:
        site = self.files.site
        self.gate = Gate(
            site.site,
            profiles_of(site, self.provenance),
            leases_of(bool(site.amplifiers), tuple(peer.site for peer in site.peers)),
            clock_ns=monotonic_ns,
            on_audit=self.ledger.audit,
            on_input=self._gate_input,
            on_dose=None if self.is_dry_run else self.ledger.doses,
            on_trip=self.engine.tripped,
        )
        tell_limits_end(self.gate, self.files.limits_until)

    def _tell_past(self, doses: list[PastDose], unread: list[str]) -> None:
        """Let earlier sessions count. One that cannot be read forbids arming until it can."""
        now_ns, utc_ns, _ = utc_anchor()
        tell_past(self.gate, doses, self.provenance, now_ns=now_ns, utc_ns=utc_ns)
        if unread:
            sentence = f"{'; '.join(unread)}; move it away to go on without what it gave"
            self.gate.set_block("dose history", sentence, now_ns)

    def _alerter(self) -> Alerter | None:
        site = self.files.site
        if not site.alert_command:
            return None
        return Alerter(
            site.alert_command,
            site.site,
            on_outcome=lambda outcome: self.ledger.note("engine", outcome),
            on_failure=self.engine.failed,
        )

    def _gate_input(self, kind: str, body: Mapping[str, object], now_ns: int) -> None:
        self.input_log.record(f"gate {kind}", msgspec.msgpack.encode(body), now_ns)

    def _raw_writer(self, sample_rate_hz: float) -> RawWriter:
        recording = self.files.site.recording
        faults = RawFaults(self.ledger, self.gate, self.links.publish_gate_state, monotonic_ns)
        return RawWriter(
            self.session.node_folder(),
            on_failure=faults.failed,
            record=self.ledger.raw_recording,
            release_reserve=self.session.release_reserve,
            on_warning=faults.warned,
            ring_s=recording.ring_s,
            n_pretrigger=round(recording.pretrigger_s * sample_rate_hz),
        )

    # --- what moves things --------------------------------------------------------------------

    def _make_actuators(self) -> None:
        for amplifier in self.rig.amplifiers.values():
            # After make_safe it is the acquisition's restart that lets it take permits again.
            self._add_actuator(amplifier.name, amplifier.stimulate, _nothing)
        for chip in self.rig.chips.values():
            self._add_actuator(chip.name, chip.drive, chip.open)
        self.reception = PspReception(
            () if self.files.experiment is None else self.files.experiment.synapses,
            targets_of(self.files.site),
            psp_rights(self.files.site.peers),
            {name: worker.submit for name, worker in self.actuators.items()},
            on_unusable=lambda who, why: self.ledger.note(f"link {who}", f"PSP not used: {why}"),
        )

    def _add_actuator(
        self, name: str, deliver: Callable[[Permit], int], reopen: Callable[[], None]
    ) -> None:
        self.actuators[name] = ActuatorWorker(
            name,
            deliver=deliver,
            reopen=reopen,
            gate=self.gate,
            await_audit=self.ledger.await_audit,
            on_delivery=self.ledger.delivery,
            clock_ns=monotonic_ns,
            on_failure=self.engine.failed,
            delivered_as=(
                DeliveryOutcome.DRY_RUN if self.is_dry_run else DeliveryOutcome.DELIVERED
            ),
        )

    def _make_devices(self) -> None:
        site = self.files.site
        for smu in site.smus:
            self.devices.append(
                DeviceWorker(
                    self.rig.smus[smu.name],
                    devices_of(self.files.experiment, site, smu.name),
                    gate=self.gate,
                    await_audit=self.ledger.await_audit,
                    on_reading=partial(self._reading, smu.name),
                    on_pulse=partial(self._pulse, smu.name),
                    provenance=self.provenance[smu.name],
                    max_pulse_lag_ns=round(site.synapses.max_pulse_lag_s * 1e9),
                    idle_read_interval_ns=round(site.synapses.idle_read_interval_s * 1e9),
                    min_change=site.synapses.min_change,
                    clock_ns=monotonic_ns,
                    on_failure=self.engine.failed,
                    unconfirmed_as=(
                        DeliveryOutcome.DRY_RUN if self.is_dry_run else DeliveryOutcome.UNCONFIRMED
                    ),
                )
            )

    def _reading(self, smu: str, synapse: int, reading: Reading, why: str) -> None:
        self.ledger.reading(smu, reading, why)
        self._submit(DeviceRead(synapse, reading.resistance_ohm))

    def _pulse(self, smu: str, record: PulseRecord) -> None:
        self.ledger.device_pulse(smu, record)

    # --- synapses and links -------------------------------------------------------------------

    def _submit(self, item: Input) -> None:
        if self.network is not None:
            self.network.submit(item)

    def _make_network(self) -> None:
        site, experiment = self.files.site, self.files.experiment
        network = network_of(experiment, site, self.provenance)
        if network is None:
            return
        outputs = SynapseOutputs(
            site=site.site,
            ledger=self.ledger,
            reception=self.reception,
            send_psps=_no_link if self.bridge is None else self.bridge.send_psps,
            submit_pulse={
                synapse: worker.submit
                for smu, worker in zip(site.smus, self.devices, strict=True)
                for synapse in devices_of(experiment, site, smu.name)
            },
            rights=psp_rights(site.peers),
        )
        self.network = NetworkWorker(
            network,
            self.input_log,
            on_output=outputs.take,
            clock_ns=monotonic_ns,
            on_failure=self.engine.failed,
        )

    def _make_streams(self) -> None:
        site = self.files.site
        for amplifier in site.amplifiers:
            neurons = {n.neuron for n in amplifier.neurons} | {p.post for p in amplifier.patterns}
            self._add_stream(amplifier.name, neurons)
        for chip in site.chips:
            self._add_stream(chip.name, set(chip.neurons))

    def _add_stream(self, instrument: str, neurons: set[int]) -> None:
        self.streams.append(
            OwnStream(
                self.files.site.site,
                instrument,
                len(self.streams),
                neurons,
                self.provenance[instrument],
                experiment=self.files.experiment,
                may_receive=[p.site for p in self.files.site.peers if instrument in p.may.receive],
                ledger=self.ledger,
                send=lambda site, batch: self._bridge().send_spikes(site, batch),
                submit=self._submit,
            )
        )

    def _bridge(self) -> Bridge:
        if self.bridge is None:
            raise RuntimeError(f"site {self.files.site.site} has no peers to send to")
        return self.bridge

    def _make_links(self, last_seqs: Mapping[str, int]) -> None:
        identity = self._identity() if self.files.site.peers else None
        self.links = SiteLinks(
            experiment_hash=self.experiment_hash,
            experiment=self.files.experiment,
            peers=self.files.site.peers,
            identity=identity,
            ledger=self.ledger,
            gate=self.gate,
            reception=self.reception,
            submit=self._submit,
            stops=StopRelay(new_mark=lambda: secrets.randbits(32) or 1),
            on_peer_stop=self.engine.stopped_by_peer,
            clock_ns=monotonic_ns,
        )
        if identity is not None:
            self.bridge = self._make_bridge(identity, last_seqs)
            self.links.bridge = self.bridge

    def _identity(self) -> TlsIdentity:
        site, site_file = self.files.site, self.files.site_file
        peers = {p.site: peer_certificate_file(site_file, site, p.site) for p in site.peers}
        return TlsIdentity(key_file(site_file, site), certificate_file(site_file, site), peers)

    def _make_bridge(self, identity: TlsIdentity, last_seqs: Mapping[str, int]) -> Bridge:
        site = self.files.site
        streams = tuple(
            StreamInfo(stream=s.stream, name=s.name, provenance=s.provenance, neurons=s.neurons)
            for s in self.streams
        )
        addresses = tuple(
            PeerAddress(
                p.site, p.host, p.port, tuple(s for s in streams if s.name in p.may.receive)
            )
            for p in site.peers
        )
        session = self.session.info.session
        return Bridge(
            LocalSite(site.site, session, self.experiment_hash, clock_identity(), streams),
            identity,
            addresses,
            listen=None if site.listen is None else (site.listen.host, site.listen.port),
            # Sessions are named by 128 random bits, so whose they are need not be kept apart.
            last_seqs={p.site: last_seqs for p in site.peers},
            on_event=self._link_event,
            clock_ns=monotonic_ns,
            on_failure=self.engine.failed,
        )

    def _link_event(self, event: LinkEvent) -> None:
        self.links.handle(event)
        self.showing.link_event(event)

    # --- sources ------------------------------------------------------------------------------

    def _acquisition(self, amplifier: MeaAmplifier, raw_writer: RawWriter | None) -> Acquisition:
        config = self.files.site.amplifiers[0]
        stream_format = amplifier.stream_format
        warm_up()
        stream = self.streams[AMPLIFIER_STREAM]
        settings = detector_settings(config, stream_format.n_channels)
        acquisition = Acquisition(
            amplifier,
            Detector(stream_format, settings, config.bad_channels),
            electrode_use(config, stream_format.channel_names),
            stream=stream.stream,
            on_block=partial(self._block, raw_writer),
            on_batch=partial(self._own_batch, stream),
            on_gap=self._sample_gap,
            on_mapping=partial(self._mapping, amplifier.name),
            on_detected=self.showing.detected,
            on_details=self.showing.details,
            clock_ns=monotonic_ns,
            on_failure=self.engine.failed,
        )
        self.showing.watch_detection(acquisition)
        return acquisition

    def _block(self, raw_writer: RawWriter | None, block: SampleBlock) -> None:
        if raw_writer is not None:
            raw_writer.offer(block)
            if raw_writer.is_pressed:
                return  # pictures are given up before samples are
        self.showing.block(block)

    def _mapping(self, instrument: str, mapping: ClockMapping) -> None:
        self.ledger.sample_mapping(instrument, mapping)
        self.showing.mapping(mapping)

    def _own_batch(self, stream: OwnStream, batch: SpikeBatch) -> None:
        stream.take(batch)
        self.showing.own_events(stream.site, batch)

    def _sample_gap(self, first_sample: int, n_lost: int) -> None:
        """Record that samples are missing; rules here must not learn over what is not known."""
        stream = self.streams[AMPLIFIER_STREAM]
        amplifier = self.files.site.amplifiers[0].name
        self.ledger.gap(amplifier, first_sample, n_lost)
        self.showing.sample_gap(first_sample, n_lost)
        missing = "an unknown number of" if n_lost < 0 else str(n_lost)
        reason = f"{amplifier}: {missing} samples lost before sample {first_sample}"
        self._submit(StreamBroken(stream.neurons, reason))

    def _chip_readers(self) -> list[ChipReader]:
        first = len(self.rig.amplifiers)
        return [
            ChipReader(
                chip,
                stream=stream.stream,
                on_batch=partial(self._own_batch, stream),
                clock_ns=monotonic_ns,
                on_failure=self.engine.failed,
            )
            for chip, stream in zip(self.rig.chips.values(), self.streams[first:], strict=True)
        ]


def _nothing() -> None:
    """Do nothing: there is nothing to reopen."""


def _no_link(site: str, _records: PspRecords, _made_ns: int) -> None:
    raise RuntimeError(f"PSPs for site {site}, which is no peer")
