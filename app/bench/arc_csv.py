"""The ArC ONE's session file: so that its users' tools read what is measured here, and we theirs.

Source: read from the vendor's own client (arc1_pyqt 2.0.0rc3). Line 1 is the session's name, line 2
a date, line 3 the header; then rows grouped by device, in order within each, without times.
"""

import csv
import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.bench.switching_model import Responses
from app.config.load import ConfigError
from app.core.measured import Point

HEADER = (
    "Wordline",
    "Bitline",
    "Resistance",
    "Amplitude (V)",
    "Pulse width (s)",
    "Tag",
    "ReadTag",
    "ReadVoltage",
)
_SINGLE = {"S", "F", "P"}
READ_MODE = "R2"
"""TIA, four points: what the board's driver reads with. Bench units have no modes."""


@dataclass(frozen=True, slots=True)
class ArcRow:
    """One row of a session file."""

    wordline: int
    bitline: int
    resistance_ohm: float
    amplitude_v: float
    width_s: float
    tag: str
    read_tag: str
    read_voltage_v: float


def write_session(path: Path, name: str, points: Iterable[Point]) -> None:
    """Write measured points as a session file; points without a resistance are left out."""
    known = [p for p in map(_as_written, points) if p.resistance_ohm is not None]
    by_device: dict[tuple[int, int], list[Point]] = {}
    for point in known:
        by_device.setdefault((point.wordline, point.bitline), []).append(point)
    with path.open("w", newline="", encoding="utf-8") as file:
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        file.write(f"{name}\n{now}\n{', '.join(HEADER)}\n")
        writer = csv.writer(file, lineterminator="\n")
        for device in sorted(by_device):
            rows = by_device[device]
            for point, tag in zip(rows, _tags(rows), strict=True):
                writer.writerow(
                    (
                        *device,
                        f"{point.resistance_ohm:.6g}",
                        f"{point.amplitude_v:.6g}",
                        f"{point.width_s:.6g}",
                        tag,
                        READ_MODE,
                        f"{point.read_voltage_v:.6g}",
                    )
                )


def read_session(path: Path) -> list[ArcRow]:
    """Return the rows of a session file. Raises `ConfigError` for one that is none."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    if len(lines) < 3 or [cell.strip() for cell in lines[2]] != list(HEADER):
        raise ConfigError(f"{path}: its third line is not {', '.join(HEADER)!r}")
    rows = []
    for number, cells in enumerate(lines[3:], start=4):
        try:
            w, b, ohm, v, width, tag, read_tag, read_v = (cell.strip() for cell in cells)
            rows.append(
                ArcRow(
                    int(w), int(b), float(ohm), float(v), float(width), tag, read_tag, float(read_v)
                )
            )
        except ValueError as exc:
            raise ConfigError(f"{path}, line {number}: {cells!r}: {exc}") from exc
    return rows


def responses_in(rows: Iterable[ArcRow]) -> Responses:
    """Return the pulse responses: each pulse with the reading before it, at the same voltage."""
    found = []
    last: dict[tuple[int, int], ArcRow] = {}
    for row in rows:
        place = (row.wordline, row.bitline)
        before = last.get(place)
        if row.tag.startswith("CT"):  # its resistance is that at the step's voltage
            last.pop(place, None)
            continue
        if row.width_s > 0 and before is not None and before.read_voltage_v == row.read_voltage_v:
            found.append((before.resistance_ohm, row.amplitude_v, row.width_s, row.resistance_ohm))
        last[place] = row
    table = np.array(found, dtype=float).reshape(-1, 4)
    return Responses(*(table[:, i] for i in range(4)))


def _as_written(point: Point) -> Point:
    """Return a point as the format means it: in a curve the resistance at the applied voltage."""
    if point.tag != "CT" or not point.current_a or point.pulse_v is None:
        return point
    ohm = abs(point.pulse_v / point.current_a)
    return replace(point, resistance_ohm=ohm, amplitude_v=point.pulse_v)


def _tags(rows: list[Point]) -> list[str]:
    """Return the tags as the board's own program writes them: start, intermediate and end."""
    tags = []
    for i, point in enumerate(rows):
        if point.tag in ("S", "F"):
            tags.append(f"{point.tag} {READ_MODE} V={point.read_voltage_v:g}")
        elif point.tag in _SINGLE:
            tags.append(point.tag)
        else:
            is_first = i == 0 or rows[i - 1].tag != point.tag
            is_last = i + 1 == len(rows) or rows[i + 1].tag != point.tag
            tags.append(f"{point.tag}_{'s' if is_first else 'e' if is_last else 'i'}")
    return tags
