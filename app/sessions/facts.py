"""What a session holds, counted from its record alone; for `info` and `report`."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.config.experiment import Experiment
from app.config.load import ConfigError, parse, read_bounded
from app.recording.checksums import read_checksums, summed_files
from app.recording.late_checks import left_in
from app.recording.raw_reader import RawSamples
from app.recording.reader import SessionReader
from app.recording.session import Metadata
from app.recording.session_lock import writer_of

SENT_VERDICTS = ("moved", "unmoved", "wrong way", "unconfirmed")
"""Pulses that left for the device; the others were refused, late or not sent."""


@dataclass(frozen=True, slots=True)
class Line:
    """One fact: what, and how much or which."""

    what: str
    text: str


def experiment_of(session: SessionReader) -> Experiment | None:
    """Return the experiment that the session ran, or None if it ran none or it cannot be read."""
    path = session.folder / "experiment.toml"
    try:
        data = read_bounded(path)
        return parse(data, Experiment, str(path)) if data else None
    except (OSError, ConfigError):
        return None


def span_ns(session: SessionReader) -> tuple[int, int]:
    """Return the first and the last moment of the session on its own clock."""
    anchors = [anchor.monotonic_ns for anchor in session.info.anchors]
    queries = ("inputs", "audit", "links", "notes", "device_reads", "raw_recordings")
    last = [
        session.query(f"SELECT time_ns FROM {table} ORDER BY rowid DESC LIMIT 1")
        for table in queries
    ]
    ends = [row[0][0] for row in last if row]
    return anchors[0], max([*anchors, *ends])


def facts(session: SessionReader) -> list[Line]:
    """Return everything that fits on one screen, the most important first."""
    return [
        *_head(session),
        *_raw(session.raw()),
        *_losses(session),
        *_spikes(session),
        *_phases(session),
        *_requests(session),
        *_devices(session),
        *_links(session),
        *_notes(session),
        *_log(session),
    ]


def _head(session: SessionReader) -> list[Line]:
    info = session.info
    start_ns, end_ns = span_ns(session)
    writer = writer_of(session.folder)
    state = f"being written by process {writer}" if writer else info.state
    if info.state == "recording" and not writer:
        state = "cut off by a crash: run `spikebridge recover`"
    experiment = experiment_of(session)
    name = experiment.name if experiment else "none"
    return [
        Line("session", f"{session.folder.name} ({state})"),
        Line("began", _utc(session.to_utc_ns(start_ns))),
        Line("lasted", _duration((end_ns - start_ns) / 1e9)),
        Line("experiment", f"{name} {info.experiment_sha256[:12]}".strip()),
        Line("instruments", _listed(f"{k} ({v})" for k, v in info.provenance.items())),
        *_metadata(info.metadata),
        Line("software", _listed(f"{k} {v}" for k, v in list(info.software.items())[:3])),
        Line("checksums", _checksums(session.folder)),
    ]


def _metadata(metadata: Metadata) -> list[Line]:
    cultures = dict(metadata.cultures)
    if metadata.culture_elsewhere is not None:
        cultures[f"at {metadata.culture_elsewhere.site}"] = metadata.culture_elsewhere
    lines = [
        Line(
            f"culture {name}",
            ", ".join(
                word for word in (c.species, f"{c.days_in_vitro} DIV", c.tissue, c.array) if word
            ),
        )
        for name, c in cultures.items()
    ]
    return lines + [
        Line(f"device {name}", f"wafer {d.wafer}, die {d.die or 'not named'}")
        for name, d in metadata.devices.items()
        if d.wafer
    ]


def _raw(recordings: Sequence[RawSamples]) -> list[Line]:
    if not recordings:
        return [Line("raw samples", "none")]
    first = recordings[0].stream_format
    n_samples = sum(len(raw.samples) for raw in recordings)
    n_bytes = 2 * n_samples * first.n_channels
    return [
        Line(
            "raw samples",
            f"{_duration(n_samples / first.sample_rate_hz)} of {first.n_channels} channels at "
            f"{first.sample_rate_hz:g} Hz, {n_bytes / 1e6:.1f} MB in {len(recordings)} "
            f"recording{'s' * (len(recordings) > 1)}",
        )
    ]


def _losses(session: SessionReader) -> list[Line]:
    (n_gaps, n_lost), = session.query(
        "SELECT count(*), coalesce(sum(max(n_lost, 0)), 0) FROM gaps"
    )  # fmt: skip
    ends = session.query(
        "SELECT event, count(*) FROM raw_recordings "
        "WHERE event NOT IN ('started', 'closed') GROUP BY event ORDER BY event"
    )
    (n_holes,), = session.query("SELECT count(*) FROM holes")  # fmt: skip
    (n_frames,), = session.query(
        "SELECT coalesce(sum(seq - first_seq + 1), 0) FROM received_frames WHERE kind = 'GAP'"
    )  # fmt: skip
    raw = "".join(f"; raw recording ended by {event}: {n}" for event, n in ends)
    return [
        Line(
            "losses",
            f"{n_lost} samples in {n_gaps} gaps, {n_frames} frames of peers, "
            f"{n_holes} holes in learning{raw}",
        )
    ]


def _spikes(session: SessionReader) -> list[Line]:
    experiment = experiment_of(session)
    names = {n.id: n.name for n in experiment.neurons} if experiment else {}
    found = session.query(
        "SELECT site, neuron, sum(kind = 0), sum(kind = 1), sum(kind = 2) FROM spikes "
        "GROUP BY site, neuron ORDER BY site, neuron"
    )
    return [
        Line(
            f"spikes {names.get(neuron, neuron)} ({site})",
            f"{n_spontaneous} spontaneous, {n_stimulated} stimulated, {n_psps} PSPs delivered",
        )
        for site, neuron, n_psps, n_stimulated, n_spontaneous in found
    ]


def _phases(session: SessionReader) -> list[Line]:
    start_ns, _ = span_ns(session)
    return [
        Line(
            f"phase {number + 1}",
            f"{name}, {rate_hz:g} Hz, {(begin - start_ns) / 1e9:.1f} to "
            f"{(end - start_ns) / 1e9:.1f} s",
        )
        for number, name, rate_hz, begin, end in session.query(
            "SELECT number, name, rate_hz, start_ns, end_ns FROM protocol_phases ORDER BY start_ns"
        )
    ]


def _requests(session: SessionReader) -> list[Line]:
    counted = dict(
        session.query("SELECT verdict, count(*) FROM audit WHERE kind = 'request' GROUP BY verdict")
    )
    reasons = session.query(
        "SELECT reason, count(*) FROM audit WHERE verdict = 'refusal' "
        "GROUP BY reason ORDER BY 2 DESC"
    )
    outcomes = session.query(
        "SELECT verdict, count(*) FROM audit WHERE kind = 'delivery' "
        "GROUP BY verdict ORDER BY 2 DESC"
    )
    psps = session.query(
        "SELECT direction, site, count(*) FROM psps GROUP BY direction, site ORDER BY direction"
    )
    withheld = session.query("SELECT count(*) FROM withheld_psps")[0][0]
    refused = _listed(f"{reason} {n}" for reason, n in reasons)
    return [
        Line("PSPs", _listed([*(f"{n} {d}: {s}" for d, s, n in psps), f"{withheld} withheld"])),
        Line(
            "requests",
            f"{counted.get('permit', 0)} permitted ({_listed(f'{n} {o}' for o, n in outcomes)}), "
            f"{counted.get('refusal', 0)} refused" + (f": {refused}" if reasons else ""),
        ),
        Line("arming", _arming(session)),
    ]


def _arming(session: SessionReader) -> str:
    changes = session.query("SELECT state, who, reason FROM arming ORDER BY rowid")
    said = [f"{state} ({who}: {reason})" for state, who, reason in changes[-4:]]
    return " -> ".join(said) or "never armed"


def _devices(session: SessionReader) -> list[Line]:
    found = session.query(
        "SELECT instrument, wordline, bitline, count(*), min(rowid), max(rowid) FROM device_reads "
        "GROUP BY instrument, wordline, bitline ORDER BY instrument, wordline, bitline"
    )
    lines = []
    for instrument, wordline, bitline, n_reads, first, last in found:
        r_first, r_last = (
            session.query("SELECT resistance_ohm FROM device_reads WHERE rowid = ?", row)[0][0]
            for row in (first, last)
        )
        pulses = session.query(
            "SELECT direction, verdict, count(*) FROM device_pulses WHERE instrument = ? AND "
            "wordline = ? AND bitline = ? GROUP BY direction, verdict ORDER BY direction, verdict",
            instrument,
            wordline,
            bitline,
        )
        said = _listed(f"{n} {direction} {verdict}" for direction, verdict, n in pulses)
        lines.append(
            Line(
                f"device {wordline},{bitline} ({instrument})",
                f"{_kilohms(r_first)} -> {_kilohms(r_last)} kOhm in {n_reads} reads; "
                f"pulses: {said}",
            )
        )
    return lines


def _links(session: SessionReader) -> list[Line]:
    sites = [s for (s,) in session.query("SELECT DISTINCT site FROM links ORDER BY site")]
    lines = []
    for site in sites:
        events = dict(
            session.query("SELECT event, count(*) FROM links WHERE site = ? GROUP BY event", site)
        )
        (n_frames, n_records, n_again), = session.query(
            "SELECT count(*), coalesce(sum(n_records), 0), coalesce(sum(flags & 1), 0) "
            "FROM received_frames WHERE site = ? AND kind != 'GAP'",
            site,
        )  # fmt: skip
        offset = session.query(
            "SELECT offset_ns, uncertainty_ns FROM clock_mappings WHERE kind = 'link' AND "
            "source = ? ORDER BY rowid DESC LIMIT 1",
            site,
        )
        clock = (
            f", clock {offset[0][0] / 1e6:+.3f} ms +- {offset[0][1] / 1e6:.3f}" if offset else ""
        )
        lines.append(
            Line(
                f"link {site}",
                f"up {events.get('up', 0)} times, suspect {events.get('suspect', 0)}, "
                f"down {events.get('down', 0)}; {n_records} events in {n_frames} frames received, "
                f"{n_again} of them resent{clock}",
            )
        )
    return lines


def _notes(session: SessionReader) -> list[Line]:
    found = session.query("SELECT who, text FROM notes ORDER BY rowid DESC LIMIT 3")
    return [Line(f"note by {who}", text[:160]) for who, text in reversed(found)]


def _log(session: SessionReader) -> list[Line]:
    counted = session.query("SELECT level, count(*) FROM log GROUP BY level ORDER BY level")
    last = session.query("SELECT source, message FROM log ORDER BY rowid DESC LIMIT 1")
    return [
        Line(
            "program's log",
            f"{_listed(f'{n} {level}s' for level, n in counted)}; the last from "
            f"{source}: {message[:120]}",
        )
        for source, message in last
    ]


def _checksums(folder: Path) -> str:
    n_files, n_summed = sum(1 for _ in summed_files(folder)), len(read_checksums(folder))
    if n_summed == 0:
        return "none yet"
    left = left_in(folder)
    later = f"; {left.n_bytes / 1e9:.1f} GB to come in the background" if left else ""
    return f"{n_summed} of {n_files} files{later}"


def _kilohms(ohms: float | None) -> str:
    return "not believed" if ohms is None else f"{ohms / 1e3:.2f}"


def _utc(utc_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(utc_ns / 1e9, dt.UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    hours, rest = divmod(round(seconds), 3600)
    return (
        f"{hours} h {rest // 60:02d} min {rest % 60:02d} s"
        if hours
        else (f"{rest // 60} min {rest % 60:02d} s")
    )


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"
