"""One type per table of `events.sqlite`: its fields are the table's columns, in order.

Times are this site's CLOCK_MONOTONIC in ns unless a name says otherwise. Values must be plain
Python numbers: the tables are STRICT, so a NumPy scalar is refused rather than stored as bytes.
"""

from typing import NamedTuple

import msgspec

from app.core.spikes import PSP_STRUCT, SPIKE_RECORD, SPIKE_STRUCT, PspRecords, SpikeRecords


class InputRow(NamedTuple):
    """One entry of the numbered input log: all that reaches synapse and Gate, in order."""

    number: int
    time_ns: int
    kind: str
    body: bytes
    """MessagePack, JSON or raw records, as the kind says."""


class SpikeRow(NamedTuple):
    """One event of a neuron, own or received."""

    time_ns: int
    """Firing time, clock of the neuron's own site."""
    site: str
    stream: int
    neuron: int
    kind: int
    amplitude_uv: float
    """NaN (NULL in the table) if the source has none."""
    sample_index: int
    """-1 if the source has no samples."""
    age_bound_us: int
    flags: int
    origin_seq: int
    """Seq of the frame it came in; 0 for own spikes."""


class PspRow(NamedTuple):
    """One weighted event, sent or received."""

    direction: str
    """"sent" or "received"."""
    site: str
    """The other site."""
    synapse: int
    post: int
    weight: float
    pre_time_ns: int
    """Clock of the pre neuron's site."""
    pre_site: int
    cause: int
    """Frame seq and index of the pre spike, as signed 64-bit number."""
    kind: int
    age_bound_us: int
    time_ns: int
    """When it was sent or received here."""
    seq: int
    flags: int


class AuditRecordRow(NamedTuple):
    """One row of the Gate's audit chain (`app.safety.audit.AuditRow`, field by field)."""

    kind: str
    number: int
    time_ns: int
    instrument: str
    action: str
    cause: str
    synapse: int | None
    verdict: str
    reason: str
    sentence: str
    limits_version: str
    previous: str
    chain: str


class DeliveryRow(NamedTuple):
    """When a permitted action left: beside the audit, for latencies."""

    request_number: int
    kind: str
    """"stimulate" or "drive"."""
    sent_ns: int | None
    """When its bytes left; None if they did not."""
    caused_ns: int | None
    """Firing time of the causing spike on this site's clock; None if no spike caused it."""
    outcome: str
    detail: str


class DoseRow(NamedTuple):
    """What a permit gives to one electrode or device; in one commit with its audit row."""

    request_number: int
    time_ns: int
    instrument: str
    target: str
    """Channel or device name."""
    n_pulses: int
    charge_c: float


class DeviceReadRow(NamedTuple):
    """One resistance read of a memristor."""

    time_ns: int
    instrument: str
    wordline: int
    bitline: int
    resistance_ohm: float
    read_voltage_v: float
    why: str


class DevicePulseRow(NamedTuple):
    """One pulse that a rule asked for, sent or not, with the reads around it."""

    time_ns: int
    event_ns: int
    """Firing time of the event that asked for it."""
    instrument: str
    device: str
    synapse: int
    wordline: int
    bitline: int
    amplitude_v: float
    width_s: float
    direction: str
    """"LTP" or "LTD"."""
    before_ohm: float | None
    after_ohm: float | None
    verdict: str
    detail: str
    request_number: int | None


class WantedPulseRow(NamedTuple):
    """One pulse that a rule asked for, when it did. What became of it: `DevicePulseRow`."""

    time_ns: int
    synapse: int
    polarity: int
    """+1 LTP, -1 LTD."""
    event_ns: int
    """Firing time of the event that decided, on this site's clock."""
    n_decision: int
    """Counts a synapse's wanted pulses from 1."""


class WithheldPspRow(NamedTuple):
    """One pre spike that made no PSP."""

    time_ns: int
    synapse: int
    pre_time_ns: int
    reason: str


class PhaseRow(NamedTuple):
    """One phase of a protocol, as it is run."""

    start_ns: int
    end_ns: int
    number: int
    name: str
    rate_hz: float


class LinkRow(NamedTuple):
    """Something that happened to a link."""

    time_ns: int
    site: str
    event: str
    detail: str


class ReceivedFrameRow(NamedTuple):
    """A numbered frame of a peer, or a declared gap in its numbers, in order of seq."""

    time_ns: int
    site: str
    session: str
    """The sender's session, hex."""
    first_seq: int
    """Equal to `seq` for a frame; the first missing one for a gap."""
    seq: int
    kind: str
    """"SPIKES", "PSPS" or "GAP"."""
    n_records: int
    flags: int
    """1: sent again or late; 2: its sender's key may not send it, so its content is not kept."""


class HoleRow(NamedTuple):
    """A stretch of a synapse's event time of which its rule does not know everything."""

    time_ns: int
    synapse: int
    from_ns: int
    to_ns: int
    reason: str


class ArmingRow(NamedTuple):
    """A change of the Gate's state."""

    time_ns: int
    state: str
    who: str
    reason: str


class ClockMappingRow(NamedTuple):
    """How another clock relates to ours.

    kind "samples": sample `sample_index` of `source` was at `time_ns`, at `rate_hz`;
    kind "link": the clock of site `source` minus ours is `offset_ns`;
    kind "utc": UTC minus our clock is `offset_ns`.
    """

    time_ns: int
    source: str
    kind: str
    sample_index: int | None
    rate_hz: float | None
    offset_ns: int | None
    uncertainty_ns: int | None


class NoteRow(NamedTuple):
    """What a person wrote down."""

    time_ns: int
    who: str
    text: str


class GapRow(NamedTuple):
    """Samples that the amplifier's stream did not deliver."""

    time_ns: int
    instrument: str
    sample_index: int
    """First sample after the gap."""
    n_lost: int
    """-1: not known, the counter restarted."""


class RawRecordingRow(NamedTuple):
    """The life of one raw recording folder."""

    time_ns: int
    folder: str
    """Relative to the record node."""
    event: str
    """"started", "closed", "gap", "damaged", "disk full" or "failed"."""
    sample_index: int
    n_samples: int
    detail: str


class LogRow(NamedTuple):
    """One line of the program's log."""

    time_ns: int
    level: str
    source: str
    message: str


Row = (
    InputRow
    | SpikeRow
    | PspRow
    | AuditRecordRow
    | DeliveryRow
    | DoseRow
    | DeviceReadRow
    | DevicePulseRow
    | WantedPulseRow
    | WithheldPspRow
    | PhaseRow
    | LinkRow
    | ReceivedFrameRow
    | HoleRow
    | ArmingRow
    | ClockMappingRow
    | NoteRow
    | GapRow
    | RawRecordingRow
    | LogRow
)


def in_rows(values: list[object], row_type: type[Row]) -> list[list[object]]:
    """Cut values that stand one row after the other into rows."""
    n = len(row_type._fields)
    return [values[i : i + n] for i in range(0, len(values), n)]


SPIKE_FIELDS = tuple(name for name in SPIKE_RECORD.names or () if name in SpikeRow._fields)
"""What a spike's record and its row have in common, in the record's order."""


class SpikeRows(msgspec.Struct, frozen=True, eq=False):
    """A batch of spikes as it stands: turned into rows by the log's thread, not by the giver's.

    The giver must not change `records` afterwards.
    """

    site: str
    stream: int
    origin_seq: int
    records: SpikeRecords

    def values(self) -> list[object]:
        """Return the fields of one `SpikeRow` per record, one row after the other in one list."""
        site, stream, seq = self.site, self.stream, self.origin_seq
        values: list[object] = []
        for t, index, neuron, uv, age, kind, flags, _ in SPIKE_STRUCT.iter_unpack(
            self.records.tobytes()
        ):
            values += (t, site, stream, neuron, kind, uv, index, age, flags, seq)
        return values

    def record_values(self) -> list[object]:
        """Return `SPIKE_FIELDS` of one record after the other in one list; sooner for many."""
        n = len(SPIKE_FIELDS)
        values: list[object] = [None] * (n * len(self.records))
        for place, name in enumerate(SPIKE_FIELDS):
            values[place::n] = self.records[name].tolist()
        return values

    def rows(self) -> list[SpikeRow]:
        """Return one row per record."""
        return [SpikeRow._make(values) for values in in_rows(self.values(), SpikeRow)]


class PspRows(msgspec.Struct, frozen=True, eq=False):
    """A batch of PSPs as it stands; see `SpikeRows`."""

    direction: str
    site: str
    time_ns: int
    seq: int
    records: PspRecords

    def values(self) -> list[object]:
        """Return the fields of one `PspRow` per record, one row after the other in one list."""
        head, tail = (self.direction, self.site), (self.time_ns, self.seq)
        values: list[object] = []
        for (
            ns,
            cause,
            synapse,
            post,
            weight,
            age,
            pre_site,
            kind,
            flags,
            _,
        ) in PSP_STRUCT.iter_unpack(self.records.tobytes()):
            # A cause is an unsigned 64-bit number, which SQLite has not.
            signed = cause if cause < 2**63 else cause - 2**64
            values += head
            values += (synapse, post, weight, ns, pre_site, signed, kind, age)
            values += tail
            values.append(flags)
        return values

    def rows(self) -> list[PspRow]:
        """Return one row per record."""
        return [PspRow._make(values) for values in in_rows(self.values(), PspRow)]


Entry = Row | SpikeRows | PspRows
"""What can be appended to the event log: one row, or a whole batch."""


def n_rows_of(entry: Entry) -> int:
    """Return how many rows an entry makes."""
    return len(entry.records) if isinstance(entry, SpikeRows | PspRows) else 1
