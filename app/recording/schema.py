"""The tables of `events.sqlite`, version 2.

The text below is stored in the file itself (`.schema` in the sqlite3 shell shows it), so a
recording explains itself without this program. STRICT: a value of a wrong type is an error.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from app.recording.errors import RecordingError
from app.recording.rows import (
    ArmingRow,
    AuditRecordRow,
    ClockMappingRow,
    DeliveryRow,
    DevicePulseRow,
    DeviceReadRow,
    DoseRow,
    GapRow,
    HoleRow,
    InputRow,
    LinkRow,
    LogRow,
    NoteRow,
    PhaseRow,
    PspRow,
    RawRecordingRow,
    ReceivedFrameRow,
    SpikeRow,
    WantedPulseRow,
    WithheldPspRow,
)

SCHEMA_VERSION = 2
"""PRAGMA user_version."""
APPLICATION_ID = 0x53704272
"""PRAGMA application_id: "SpBr"."""

SCHEMA = """
-- Times in ns of the site's CLOCK_MONOTONIC (its relation to UTC: session.json, clock_mappings)
-- unless said otherwise. Units stand in the names; amplitude_uv is in microvolts.

CREATE TABLE inputs (        -- everything that reaches synapse and Gate, numbered when decided upon
    number INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE spikes (        -- own and received
    time_ns INTEGER NOT NULL,      -- firing time, clock of the neuron's own site
    site TEXT NOT NULL, stream INTEGER NOT NULL, neuron INTEGER NOT NULL,
    kind INTEGER NOT NULL,         -- 0 PSP delivered, 1 stimulated spike, 2 spontaneous spike
    amplitude_uv REAL,             -- NULL: the source has none
    sample_index INTEGER NOT NULL, -- -1: the source has no samples
    age_bound_us INTEGER NOT NULL, flags INTEGER NOT NULL,
    origin_seq INTEGER NOT NULL    -- seq of the frame it came in; 0: own
) STRICT;
CREATE TABLE psps (          -- weighted events between sites
    direction TEXT NOT NULL,       -- sent, received
    site TEXT NOT NULL,            -- the other site
    synapse INTEGER NOT NULL, post INTEGER NOT NULL, weight REAL NOT NULL,
    pre_time_ns INTEGER NOT NULL,  -- clock of the pre neuron's site
    pre_site INTEGER NOT NULL,
    cause INTEGER NOT NULL,        -- frame seq (high 48 bits) and index (low 16) of the pre spike
    kind INTEGER NOT NULL, age_bound_us INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    seq INTEGER NOT NULL, flags INTEGER NOT NULL
) STRICT;
CREATE TABLE audit (         -- every request to the Gate, committed before it is delivered, and
                             -- what became of each permit; their chain is the order of rowid
    kind TEXT NOT NULL,            -- request, delivery
    number INTEGER NOT NULL,       -- of the request
    time_ns INTEGER NOT NULL, instrument TEXT NOT NULL, action TEXT NOT NULL, cause TEXT NOT NULL,
    synapse INTEGER, verdict TEXT NOT NULL, reason TEXT NOT NULL, sentence TEXT NOT NULL,
    limits_version TEXT NOT NULL,
    previous TEXT NOT NULL,        -- chain of the row before
    chain TEXT NOT NULL            -- SHA-256 over everything above, from kind on
) STRICT;
CREATE TABLE deliveries (    -- when a permitted action left, and the latency behind it
    request_number INTEGER NOT NULL,
    kind TEXT NOT NULL,            -- stimulate, drive
    sent_ns INTEGER,               -- NULL: no byte left
    caused_ns INTEGER,             -- firing time of the causing spike, on its own site's clock
    outcome TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TABLE doses (         -- what each permit gives to an electrode or a device
    request_number INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    instrument TEXT NOT NULL,
    target TEXT NOT NULL,          -- channel or device name
    n_pulses INTEGER NOT NULL,     -- triggers of an electrode, pulses on a device
    charge_c REAL NOT NULL         -- first phases of the whole train; 0 on a device
) STRICT;
CREATE TABLE device_reads (
    time_ns INTEGER NOT NULL, instrument TEXT NOT NULL,
    wordline INTEGER NOT NULL, bitline INTEGER NOT NULL, -- counted from 1
    resistance_ohm REAL, read_voltage_v REAL, why TEXT NOT NULL
) STRICT;
CREATE TABLE device_pulses ( -- what became of each wanted pulse, sent or not
    time_ns INTEGER NOT NULL,      -- when it was sent, or when it was decided that it is not
    event_ns INTEGER NOT NULL,     -- firing time of the event that asked for it
    instrument TEXT NOT NULL, device TEXT NOT NULL, synapse INTEGER NOT NULL,
    wordline INTEGER NOT NULL, bitline INTEGER NOT NULL,
    amplitude_v REAL NOT NULL, width_s REAL NOT NULL,
    direction TEXT NOT NULL,       -- LTP, LTD
    before_ohm REAL, after_ohm REAL,
    verdict TEXT NOT NULL,         -- moved, unmoved, wrong way, unconfirmed; refused,
                                   -- late, not sent
    detail TEXT NOT NULL,
    request_number INTEGER         -- NULL: the Gate was not asked
) STRICT;
CREATE TABLE wanted_pulses ( -- every pulse that a rule asked for, when it did
    time_ns INTEGER NOT NULL, synapse INTEGER NOT NULL,
    polarity INTEGER NOT NULL,     -- +1 LTP, -1 LTD
    event_ns INTEGER NOT NULL,     -- firing time of the event that decided
    n_decision INTEGER NOT NULL    -- counts a synapse's wanted pulses from 1
) STRICT;
CREATE TABLE withheld_psps ( -- pre spikes that made no PSP, and why
    time_ns INTEGER NOT NULL, synapse INTEGER NOT NULL, pre_time_ns INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE protocol_phases (
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, number INTEGER NOT NULL,
    name TEXT NOT NULL, rate_hz REAL NOT NULL
) STRICT;
CREATE TABLE links (
    time_ns INTEGER NOT NULL, site TEXT NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TABLE received_frames (
    time_ns INTEGER NOT NULL, site TEXT NOT NULL,
    session TEXT NOT NULL,         -- the sender's
    first_seq INTEGER NOT NULL,    -- equal to seq, but for a GAP its first missing one
    seq INTEGER NOT NULL, kind TEXT NOT NULL, n_records INTEGER NOT NULL, flags INTEGER NOT NULL
) STRICT;
CREATE TABLE received_until ( -- per sender session: received or declared missing without a break
    session TEXT PRIMARY KEY, site TEXT NOT NULL,
    from_seq INTEGER NOT NULL, until_seq INTEGER NOT NULL
) STRICT;
CREATE TRIGGER received_frames_advance AFTER INSERT ON received_frames BEGIN
    INSERT INTO received_until VALUES (NEW.session, NEW.site, NEW.first_seq, NEW.seq)
    ON CONFLICT (session) DO UPDATE SET until_seq = NEW.seq
    WHERE NEW.first_seq <= until_seq + 1 AND NEW.seq > until_seq;
END;
CREATE TABLE holes (         -- stretches of event time for which a synapse's rule holds still
    time_ns INTEGER NOT NULL, synapse INTEGER NOT NULL,
    from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE arming (
    time_ns INTEGER NOT NULL, state TEXT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE clock_mappings (
    time_ns INTEGER NOT NULL, source TEXT NOT NULL,
    kind TEXT NOT NULL,            -- samples: sample_index was at time_ns, at rate_hz
                                   -- link: source's clock minus ours is offset_ns
                                   -- utc: UTC minus ours is offset_ns
    sample_index INTEGER, rate_hz REAL, offset_ns INTEGER, uncertainty_ns INTEGER
) STRICT;
CREATE TABLE notes (time_ns INTEGER NOT NULL, who TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE gaps (          -- samples that never came from an instrument
    time_ns INTEGER NOT NULL, instrument TEXT NOT NULL,
    sample_index INTEGER NOT NULL, -- first sample after the gap
    n_lost INTEGER NOT NULL        -- -1: not known, the counter restarted
) STRICT;
CREATE TABLE raw_recordings (
    time_ns INTEGER NOT NULL, folder TEXT NOT NULL, event TEXT NOT NULL,
    sample_index INTEGER NOT NULL, n_samples INTEGER NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TABLE log (
    time_ns INTEGER NOT NULL, level TEXT NOT NULL, source TEXT NOT NULL, message TEXT NOT NULL
) STRICT;

-- Any minute of a week is found at once. Rows come nearly in order of time, so this costs little.
CREATE INDEX spikes_by_time ON spikes (time_ns);
CREATE INDEX psps_by_time ON psps (time_ns);
CREATE INDEX audit_by_time ON audit (time_ns);
CREATE INDEX device_reads_by_time ON device_reads (time_ns);
CREATE INDEX device_pulses_by_time ON device_pulses (time_ns);
CREATE INDEX withheld_psps_by_time ON withheld_psps (time_ns);
"""

TABLES: dict[type[NamedTuple], str] = {
    InputRow: "inputs",
    SpikeRow: "spikes",
    PspRow: "psps",
    AuditRecordRow: "audit",
    DeliveryRow: "deliveries",
    DoseRow: "doses",
    DeviceReadRow: "device_reads",
    DevicePulseRow: "device_pulses",
    WantedPulseRow: "wanted_pulses",
    WithheldPspRow: "withheld_psps",
    PhaseRow: "protocol_phases",
    LinkRow: "links",
    ReceivedFrameRow: "received_frames",
    HoleRow: "holes",
    ArmingRow: "arming",
    ClockMappingRow: "clock_mappings",
    NoteRow: "notes",
    GapRow: "gaps",
    RawRecordingRow: "raw_recordings",
    LogRow: "log",
}

INSERTS: dict[type[NamedTuple], str] = {
    row_type: f"INSERT INTO {table} ({', '.join(row_type._fields)}) "
    f"VALUES ({', '.join('?' * len(row_type._fields))})"
    for row_type, table in TABLES.items()
}


def create_tables(connection: sqlite3.Connection) -> None:
    """Create all tables of this version in an empty database."""
    connection.executescript(
        f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; {SCHEMA} "
        f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that is not ours or of another version.

    Raises
    ------
    RecordingError
        Not an event log, or one of a version that this program does not read.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise RecordingError(f"{path}: not an event log of SpikeBridge")
    if version != SCHEMA_VERSION:
        raise RecordingError(
            f"{path}: event log of version {version}, this program reads version {SCHEMA_VERSION}; "
            "use the program version named in session.json"
        )
    _check_objects(connection, path)


def _check_objects(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse views, triggers and tables that are not ours: reading them could do anything."""
    listed = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
    with closing(sqlite3.connect(":memory:")) as model:
        create_tables(model)
        ours = set(model.execute(listed).fetchall())
    found = set(connection.execute(listed).fetchall())
    if found != ours:
        odd = sorted({str(name) for _, name, _ in found ^ ours})
        raise RecordingError(
            f"{path}: {', '.join(odd[:5])}: not as version {SCHEMA_VERSION} has it; not read"
        )
