"""What every benchmark prints: the host, its rows and its goals, as a table or one JSON object."""

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

Row = Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure and what it is held against. NaN (not measured) never meets a goal."""

    name: str
    value: float
    limit: float
    better: str
    """"lower" or "higher"; a value equal to the limit meets it."""

    @property
    def met(self) -> bool:
        """Say whether the figure is on the right side of its limit."""
        return self.value <= self.limit if self.better == "lower" else self.value >= self.limit


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the two options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument("--quick", action="store_true", help="end within 50 s")
    return made


def host() -> dict[str, str | int | float]:
    """Return what a reader needs to know of the machine, its load included."""
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "n_cpus": os.cpu_count() or 0,
        "load_1min": os.getloadavg()[0],
    }


def publish(rows: Sequence[Row], goals: Sequence[Goal], *, as_json: bool, title: str = "") -> int:
    """Print everything; return 0 if every goal is met, else 1."""
    if as_json:
        whole = {
            "host": host(),
            "rows": list(rows),
            "goals": [{**asdict(goal), "met": goal.met} for goal in goals],
        }
        print(json.dumps(_finite(whole)))
    else:
        if title:
            print(title)
        print_table(rows)
        print()
        print_table([_goal_row(goal) for goal in goals])
    return 0 if all(goal.met for goal in goals) else 1


def print_table(rows: Sequence[Row]) -> None:
    """Print rows under their names, columns aligned."""
    if not rows:
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    sys.stdout.flush()


def _goal_row(goal: Goal) -> Row:
    sign = "at most" if goal.better == "lower" else "at least"
    return {
        "goal": goal.name,
        "value": goal.value,
        "limit": f"{sign} {_cell(goal.limit)}",
        "met": "yes" if goal.met else "NO",
    }


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _finite(value: object) -> object:
    """JSON has no NaN: a figure that was not measured is null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return value
