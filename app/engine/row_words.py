"""Rows of the record as what a console shows of them. Pure."""

from typing import Literal

from app.console.happenings import DevicePulse, DeviceRead, Happening, Hole, LogLine
from app.recording.rows import (
    ArmingRow,
    AuditRecordRow,
    DeliveryRow,
    DevicePulseRow,
    DeviceReadRow,
    GapRow,
    HoleRow,
    LinkRow,
    NoteRow,
    RawRecordingRow,
    Row,
)

_Level = Literal["info", "warning", "error"]
_GATE_STATES = ("STARTING", "DISARMED", "ARMED", "TRIPPED")
"""By the code that heartbeats carry (`app.engine.site_links.GATE_STATE_CODE`)."""
_CALM_LINK_EVENTS = frozenset({"up", "hello", "greeting", "gate"})


def happening_of(row: Row) -> Happening | None:
    """Return what a console is shown of a row; None for rows that no person reads live."""
    match row:
        case DeviceReadRow():
            return DeviceRead(
                time_ns=row.time_ns,
                instrument=row.instrument,
                wordline=row.wordline,
                bitline=row.bitline,
                resistance_ohm=row.resistance_ohm,
            )
        case DevicePulseRow():
            return DevicePulse(
                time_ns=row.time_ns,
                synapse=row.synapse,
                instrument=row.instrument,
                wordline=row.wordline,
                bitline=row.bitline,
                direction="LTP" if row.direction == "LTP" else "LTD",
                before_ohm=row.before_ohm,
                after_ohm=row.after_ohm,
                verdict=row.verdict,
                detail=row.detail,
            )
        case HoleRow():
            return Hole(
                time_ns=row.time_ns,
                synapse=row.synapse,
                from_ns=row.from_ns,
                to_ns=row.to_ns,
                reason=row.reason,
            )
    return _line_of(row)


def _line_of(row: Row) -> LogLine | None:
    said = _said(row)
    if said is None:
        return None
    time_ns, level, source, text = said
    return LogLine(time_ns=time_ns, level=level, source=source, text=text)


def _link_words(row: LinkRow) -> str:
    """Return what happened to a link as a person says it."""
    if row.event == "gate":
        code = row.detail.partition(",")[0]
        state = _GATE_STATES[int(code)] if code in "0123" and code else code
        return f"its site is {state}"
    if row.event == "hello":
        return "introduced itself"
    return f"{row.event}: {row.detail}" if row.detail else row.event


def _said(row: Row) -> tuple[int, _Level, str, str] | None:
    """Return (time, level, source, text)."""
    said: tuple[int, _Level, str, str] | None = None
    match row:
        case ArmingRow():
            by = f" by {row.who}" if row.who else ""
            level: _Level = "error" if row.state == "tripped" else "info"
            said = row.time_ns, level, "gate", f"{row.state.upper()}{by}: {row.reason}"
        case NoteRow():
            said = row.time_ns, "info", row.who, row.text
        case LinkRow():
            level = "info" if row.event in _CALM_LINK_EVENTS else "warning"
            said = row.time_ns, level, f"link {row.site}", _link_words(row)
        case GapRow():
            n = "an unknown number of" if row.n_lost < 0 else str(row.n_lost)
            text = f"{n} samples lost before sample {row.sample_index}"
            said = row.time_ns, "warning", row.instrument, text
        case RawRecordingRow():
            level = "warning" if row.detail else "info"
            detail = f" ({row.detail})" if row.detail else ""
            said = row.time_ns, level, "recording", f"{row.event}: {row.folder}{detail}"
        case AuditRecordRow() if row.verdict == "refusal":
            said = row.time_ns, "warning", "gate", f"refused: {row.sentence}"
        case DeliveryRow() if row.outcome != "delivered" and row.sent_ns is not None:
            text = f"request {row.request_number} {row.outcome}: {row.detail}"
            said = row.sent_ns, "warning", "gate", text
    return said
