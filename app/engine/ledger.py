"""Everything an engine writes into its event log, in one place: from what happened to a row."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from app.config.experiment import Phase
from app.core.clock import ClockNs, utc_anchor
from app.core.sample_clock import ClockMapping
from app.core.spikes import PspRecords, SpikeBatch
from app.engine.loop_latency import LoopLatency
from app.recording.commit_ticket import CommitTicket
from app.recording.rows import (
    ArmingRow,
    AuditRecordRow,
    ClockMappingRow,
    DeliveryRow,
    DevicePulseRow,
    DeviceReadRow,
    DoseRow,
    Entry,
    GapRow,
    HoleRow,
    InputRow,
    LinkRow,
    NoteRow,
    PhaseRow,
    PspRows,
    RawRecordingRow,
    ReceivedFrameRow,
    Row,
    SpikeRows,
    WantedPulseRow,
    WithheldPspRow,
)
from app.recording.uncommitted import OnCommitted
from app.safety.actuator_worker import Delivery
from app.safety.audit import AuditKind, AuditRow
from app.safety.dose import Dose
from app.synapse.device_worker import PulseRecord
from app.synapse.network import HoleDeclared, PspWithheld, PulseWanted
from app.synapse.rules import LTP
from drivers.permit import Stimulate
from drivers.smu.protocol import Reading

AUDIT_WAIT_S = 0.015
"""A permit lives 20 ms; an audit row that is not committed by then comes too late."""


class Rows(Protocol):
    """Where rows go: the event log, or whoever compares them with recorded ones."""

    def append(
        self, entry: Entry, on_committed: OnCommitted | None = None, number: int = 0
    ) -> None:
        """Take one entry without waiting."""

    def append_many(
        self, entries: Sequence[Entry], on_committed: OnCommitted | None = None, number: int = 0
    ) -> None:
        """Take entries that belong together."""

    def append_durably(self, *entries: Entry) -> CommitTicket:
        """Take entries to be committed at once."""


class Ledger:
    """Turns an engine's events into rows.

    Any thread may call it; nothing here waits except `await_audit`.
    """

    def __init__(
        self,
        rows: Rows,
        site: str,
        clock_ns: ClockNs,
        on_row: Callable[[Row], None] | None = None,
    ) -> None:
        """`on_row` sees each row on its way to the log; it must not wait."""
        self._log = rows
        self._on_row = on_row
        self._site = site
        self._clock_ns = clock_ns
        self.loop_latency = LoopLatency()
        """From a cause's arrival in this process to its bytes on the instrument's wire."""
        self._tickets: dict[int, CommitTicket] = {}
        self._doses: tuple[DoseRow, ...] = ()
        self._lock = threading.Lock()

    # --- decisions ----------------------------------------------------------------------------

    def input(self, number: int, time_ns: int, kind: str, body: bytes) -> None:
        """Record one numbered input."""
        self._log.append(InputRow(number, time_ns, kind, body))

    def audit(self, row: AuditRow) -> None:
        """Record one row of the audit chain; a request's is committed at once."""
        entry = AuditRecordRow(
            row.kind.value,
            row.number,
            row.time_ns,
            row.instrument,
            row.action,
            row.cause,
            row.synapse,
            row.verdict,
            row.reason,
            row.sentence,
            row.limits_version,
            row.previous,
            row.chain,
        )
        if row.kind is AuditKind.REQUEST and row.verdict == "permit":
            ticket = self._log.append_durably(*self._doses, entry)
            self._doses = ()
            with self._lock:
                self._tickets[row.number] = ticket
        else:
            self._append(entry)

    def doses(self, number: int, time_ns: int, doses: tuple[Dose, ...]) -> None:
        """Keep what a permit gives, for the commit of its audit row, which comes next.

        The Gate calls both under its lock.
        """
        self._doses = tuple(
            DoseRow(number, time_ns, d.instrument, d.target, d.n_pulses, d.charge_c) for d in doses
        )

    def await_audit(self, number: int) -> bool:
        """Wait until the audit row of a permitted request is committed; say whether it is."""
        with self._lock:
            ticket = self._tickets.pop(number, None)
        return ticket is not None and ticket.wait(AUDIT_WAIT_S)

    def delivery(self, delivery: Delivery) -> None:
        """Record what became of a permit."""
        if delivery.sent_ns is not None:
            self.loop_latency.add((delivery.sent_ns - delivery.job.received_ns) / 1e9)
        self._append(
            DeliveryRow(
                delivery.number,
                "stimulate" if isinstance(delivery.job.action, Stimulate) else "drive",
                delivery.sent_ns,
                delivery.job.caused_ns,
                delivery.outcome.value,
                delivery.detail,
            )
        )

    def arming(self, state: str, who: str, reason: str, time_ns: int) -> None:
        """Record a change of the Gate's state."""
        self._append(ArmingRow(time_ns, state, who, reason))

    # --- devices ------------------------------------------------------------------------------

    def reading(self, instrument: str, reading: Reading, why: str) -> None:
        """Record a believed resistance."""
        self._append(
            DeviceReadRow(
                reading.time_ns,
                instrument,
                reading.device.wordline,
                reading.device.bitline,
                reading.resistance_ohm,
                reading.read_voltage_v,
                why,
            )
        )

    def device_pulse(self, instrument: str, record: PulseRecord) -> None:
        """Record a wanted pulse and what became of it."""
        action = record.action
        self._append(
            DevicePulseRow(
                record.time_ns,
                record.wanted.event_ns,
                instrument,
                record.device,
                record.wanted.synapse,
                action.wordline,
                action.bitline,
                action.amplitude_v,
                action.width_s,
                "LTP" if record.wanted.polarity == LTP else "LTD",
                record.before_ohm,
                record.after_ohm,
                record.verdict,
                record.detail,
                record.number,
            )
        )

    def wanted_pulse(self, wanted: PulseWanted, time_ns: int) -> None:
        """Record that a rule asks for a pulse."""
        self._log.append(
            WantedPulseRow(
                time_ns, wanted.synapse, wanted.polarity, wanted.event_ns, wanted.n_decision
            )
        )

    # --- events -------------------------------------------------------------------------------

    def own_spikes(self, batch: SpikeBatch) -> None:
        """Record events of this site's own neurons."""
        if len(batch.records):
            self._log.append(SpikeRows(self._site, batch.stream, 0, batch.records))

    def received_spikes(
        self,
        site: str,
        batch: SpikeBatch,
        frame: ReceivedFrameRow,
        on_committed: OnCommitted,
    ) -> None:
        """Record a peer's spikes and the frame they came in, together."""
        rows = SpikeRows(site, batch.stream, frame.seq, batch.records)
        self._log.append_many((rows, frame), on_committed, frame.seq)

    def received_psps(
        self,
        site: str,
        records: PspRecords,
        frame: ReceivedFrameRow,
        on_committed: OnCommitted,
    ) -> None:
        """Record a peer's PSPs and the frame they came in, together."""
        rows = PspRows("received", site, frame.time_ns, frame.seq, records)
        self._log.append_many((rows, frame), on_committed, frame.seq)

    def sent_psps(self, site: str, records: PspRecords, time_ns: int) -> None:
        """Record PSPs on their way to a post site."""
        self._log.append(PspRows("sent", site, time_ns, 0, records))

    def withheld_psp(self, withheld: PspWithheld, time_ns: int) -> None:
        """Record a pre spike that made no PSP."""
        self._append(
            WithheldPspRow(time_ns, withheld.synapse, withheld.pre_time_ns, withheld.reason)
        )

    def frame(self, row: ReceivedFrameRow, on_committed: OnCommitted | None = None) -> None:
        """Record a numbered frame without content, or a gap."""
        self._log.append(row, on_committed, row.seq)

    # --- circumstances ------------------------------------------------------------------------

    def hole(self, declared: HoleDeclared, time_ns: int) -> None:
        """Record a hole in a synapse's event time."""
        hole = declared.hole
        self._append(HoleRow(time_ns, declared.synapse, hole.from_ns, hole.to_ns, hole.reason))

    def gap(self, instrument: str, sample_index: int, n_lost: int) -> None:
        """Record samples that an amplifier did not deliver."""
        self._append(GapRow(self._clock_ns(), instrument, sample_index, n_lost))

    def link(self, site: str, event: str, detail: str) -> None:
        """Record something that happened to a link."""
        self._append(LinkRow(self._clock_ns(), site, event, detail))

    def sample_mapping(self, instrument: str, mapping: ClockMapping) -> None:
        """Record a new relation of an amplifier's samples to site time."""
        self._log.append(
            ClockMappingRow(
                mapping.start_ns,
                instrument,
                "samples",
                mapping.start_index,
                1e9 / mapping.ns_per_sample,
                None,
                None,
            )
        )

    def link_offset(self, site: str, offset_ns: int, uncertainty_ns: int) -> None:
        """Record the offset to a peer's clock."""
        self._log.append(
            ClockMappingRow(self._clock_ns(), site, "link", None, None, offset_ns, uncertainty_ns)
        )

    def utc(self) -> None:
        """Record the relation of site time to UTC."""
        monotonic_ns, utc_ns, width_ns = utc_anchor()
        self._log.append(
            ClockMappingRow(monotonic_ns, "utc", "utc", None, None, utc_ns - monotonic_ns, width_ns)
        )

    def phase(self, index: int, phase: Phase, start_ns: int) -> None:
        """Record a phase of the protocol, as it is going to be run."""
        end_ns = start_ns + round(phase.duration_s * 1e9)
        self._append(PhaseRow(start_ns, end_ns, index, phase.name, phase.rate_hz))

    def note(self, who: str, text: str) -> None:
        """Record what somebody wants to remember."""
        self._append(NoteRow(self._clock_ns(), who, text))

    def raw_recording(self, row: RawRecordingRow) -> None:
        """Record a change of the raw recording."""
        self._append(row)

    def _append(self, row: Row) -> None:
        self._log.append(row)
        if self._on_row is not None:
            self._on_row(row)
