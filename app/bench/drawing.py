"""Draw what a folder keeps of a procedure, and write its HDF5: a process of its own, after it.

`python -m app.bench.drawing FOLDER` is started by an engine at low priority: drawing holds the
interpreter longer than a spike may wait.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.bench.arc_csv import write_session
from app.bench.errors import BenchError
from app.bench.figures import draw
from app.bench.forms import BY_NAME
from app.bench.hdf5 import write_hdf5
from app.bench.keeping import read_points
from app.core.measured import Point
from app.recording.session import BENCH_POINTS_NAME


def draw_folder(folder: Path) -> list[str]:
    """Draw each procedure whose data lie in a folder; return the names of the files made."""
    made = []
    points = read_points(folder / BENCH_POINTS_NAME)
    for file in sorted(folder.glob("bench-*.json")):
        facts = json.loads(file.read_bytes())
        made += draw_one(folder, facts, points)
        table = folder / f"{file.stem}.csv"
        if not table.exists():  # it was killed before its end
            write_session(table, f"{facts['unit']} {facts['procedure']}", points)
            made.append(table.name)
        try:
            write_hdf5(folder / f"{file.stem}.h5", points, facts)
        except BenchError:
            continue  # h5py is an extra
        made.append(f"{file.stem}.h5")
    return made


def draw_one(folder: Path, facts: Mapping[str, Any], points: Sequence[Point]) -> list[str]:
    """Draw one procedure's figure; return its name in a list, which is empty without data."""
    procedure = str(facts["procedure"])
    form = BY_NAME[procedure]
    asked = {name: v for name, v in facts["arguments"].items() if v is not None}
    values = form.taken({name: tuple(v) if isinstance(v, list) else v for name, v in asked.items()})
    name = f"bench-{procedure}.png"
    return [name] if draw(folder / name, procedure, points, values, note_of(facts)) else []


def note_of(facts: Mapping[str, Any]) -> str:
    """Return instrument, read voltage, temperature and time in a line."""
    temperature_c = facts["temperature_c"]
    warm = "" if temperature_c is None else f", {temperature_c:g} °C"
    began = facts["began_utc"][:19].replace("T", " ")
    return f"{facts['unit']}, read at {facts['read_voltage_v']:g} V{warm}, {began} UTC"


if __name__ == "__main__":
    draw_folder(Path(sys.argv[1]))
