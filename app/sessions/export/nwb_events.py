"""A session's events as NWB EventsTables: stimulation, memristors, network, everything else."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hdmf.common import VectorData
from pynwb.event import EventsTable, TimestampVectorData

from app.recording.reader import SessionReader

Row = Sequence[Any]
REQUESTS = """
    SELECT time_ns, instrument, action, cause, verdict, reason FROM audit WHERE kind = 'request'
    ORDER BY time_ns, rowid"""
MEMRISTORS = """
    SELECT time_ns, instrument, wordline || ',' || bitline, 'read', read_voltage_v, NULL,
           resistance_ohm, why FROM device_reads
    UNION ALL
    SELECT time_ns, instrument, wordline || ',' || bitline, 'pulse ' || direction, amplitude_v,
           width_s, after_ohm, verdict FROM device_pulses
    ORDER BY 1"""
NETWORK = """
    SELECT time_ns, site, event, detail FROM links
    UNION ALL
    SELECT time_ns, site, 'missing', 'frames ' || first_seq || ' to ' || seq FROM received_frames
    WHERE kind = 'GAP'
    ORDER BY 1"""
SESSION = """
    SELECT time_ns, 'note', who || ': ' || text FROM notes
    UNION ALL SELECT time_ns, 'arming', state || ' by ' || who || ': ' || reason FROM arming
    UNION ALL SELECT time_ns, 'gap', n_lost || ' samples before ' || sample_index FROM gaps
    UNION ALL SELECT time_ns, 'hole', 'synapse ' || synapse || ': ' || reason FROM holes
    UNION ALL SELECT start_ns, 'phase', name || ', ' || rate_hz || ' Hz' FROM protocol_phases
    UNION ALL SELECT time_ns, 'recording', event || ' ' || folder FROM raw_recordings
    ORDER BY 1"""


def event_tables(session: SessionReader, start_ns: int) -> Iterator[EventsTable]:
    """Yield the tables that have rows; times are seconds after `start_ns`.

    A single link event or note stands in the last table: one of its own would say less.
    """
    requests, memristors, network, others = (
        session.query(text) for text in (REQUESTS, MEMRISTORS, NETWORK, SESSION)
    )
    if len(network) == 1:
        others += [(t, f"link {site} {event}", detail) for t, site, event, detail in network]
        network = []
    others.sort(key=lambda row: int(row[0]))
    listed = (
        (
            "stimulation",
            "Every request to stimulate, to pulse or to drive, and the verdict on it",
            requests,
            {
                "instrument": "Instrument that was asked",
                "action": "What would be done, with charge or voltage",
                "cause": "Which spike or rule or person asked",
                "verdict": "permit or refusal",
                "reason": "Of a refusal, in one word",
            },
        ),
        (
            "memristor_events",
            "Every believed reading and every wanted pulse of a memristor",
            memristors,
            {
                "instrument": "Source-measure unit",
                "device_id": "Word line and bit line, from 1",
                "kind": "read, or pulse with its direction",
                "voltage_v": "Read or pulse voltage in volts",
                "width_s": "Width of a pulse in seconds",
                "resistance_ohm": "Resistance read, or read after the pulse, in ohms",
                "detail": "Why it was read, or what became of the pulse",
            },
        ),
        (
            "network_events",
            "What happened to the links to other sites",
            network,
            {"peer": "The other site", "kind": "What happened", "detail": "More about it"},
        ),
        (
            "session_events",
            "Notes, arming, phases, gaps, holes",
            others,
            {"kind": "What it is", "detail": "What it says"},
        ),
    )
    for name, description, rows, columns in listed:
        if len(rows) > 1:
            yield _table(name, description, rows, columns, start_ns)


def _table(
    name: str, description: str, rows: Sequence[Row], columns: dict[str, str], start_ns: int
) -> EventsTable:
    times, *values = zip(*rows, strict=True)
    seconds = (np.asarray(times, np.int64) - start_ns) / 1e9
    made = [TimestampVectorData(name="timestamp", description="Seconds", data=seconds)]
    for (column, text), data in zip(columns.items(), values, strict=True):
        made.append(VectorData(name=column, description=text, data=_filled(data)))
    return EventsTable(name=name, description=description, columns=made)


def _filled(data: Sequence[Any]) -> Any:
    """Return a column as HDF5 keeps it: numbers with NaN, or words, a dash for none."""
    if all(value is None or isinstance(value, float | int) for value in data):
        return np.array([np.nan if value is None else value for value in data], float)
    return [str(value) if value not in (None, "") else "-" for value in data]
