"""What is kept of a procedure: its points, its data for other programs, what it was and found."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from app.bench.arc_csv import write_session
from app.bench.bench import Bench
from app.bench.procedures import Result, Task
from app.config.load import ConfigError
from app.core.measured import Point


def facts_of(
    bench: Bench, task: Task, *, temperature_c: float | None, began: dt.datetime
) -> dict[str, Any]:
    """Return what a procedure was asked to do, with what and when."""
    return {
        "procedure": task.procedure,
        "devices": list(task.devices),
        "arguments": dict(task.values),
        "who": task.who,
        "began_utc": began.isoformat(timespec="milliseconds"),
        "temperature_c": temperature_c,
        "unit": bench.smu.name,
        "instrument": bench.can,
        "read_voltage_v": bench.read_voltage_v,
    }


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write what a procedure is asked to do before it begins; so that a killed one can be drawn."""
    begun = {**facts, "is_well": False, "said": ["not ended"], "found": None}
    _write_json(folder / f"bench-{facts['procedure']}.json", begun)


def write_results(
    folder: Path, facts: dict[str, Any], points: Sequence[Point], result: Result | None, why: str
) -> list[str]:
    """Write `bench-PROCEDURE.csv` and `.json`; return their names. `why`: it could not go on."""
    name = f"bench-{facts['procedure']}"
    write_session(folder / f"{name}.csv", f"{facts['unit']} {facts['procedure']}", points)
    whole = {
        **facts,
        "ended_utc": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "n_points": len(points),
        "is_well": result is not None and result.is_well,
        "said": [why] if result is None else result.lines,
        "found": None if result is None else result.values,
    }
    _write_json(folder / f"{name}.json", whole)
    return [f"{name}.csv", f"{name}.json"]


def _write_json(path: Path, values: object) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(as_json(values), indent=1) + b"\n")
    part.replace(path)


def as_json(values: object) -> bytes:
    """Return plain values, dataclasses and enums as JSON; what is not a number becomes null."""
    return msgspec.json.encode(values)


def line_of(point: Point) -> str:
    """Return a point as one line of a points file."""
    return msgspec.json.encode(point).decode() + "\n"


def read_points(path: Path) -> list[Point]:
    """Return the points of a file; a last line that was cut off is left out.

    Raises `ConfigError` for a file that cannot be read or is none.
    """
    try:
        lines = path.read_bytes().split(b"\n")
        return [msgspec.json.decode(line, type=Point) for line in lines[:-1]]
    except (OSError, msgspec.DecodeError) as exc:
        raise ConfigError(f"{path}: no file of bench points: {exc}") from exc
