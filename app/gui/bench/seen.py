"""What this window has seen of an engine's procedures and devices, bounded. No Qt in here."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from app.console.happenings import ProcedureEnded, ProcedurePoints
from app.core.measured import Point
from app.gui.device_history import DeviceKey

MAX_POINTS = 20_000
"""Older ones are in the engine's files."""
MAX_LINES = 12
FITTED = frozenset({"map", "pulse", "endurance", "program"})
"""Procedures whose pulses a switching model can be fitted to."""


@dataclass(slots=True)
class RunSeen:
    """One procedure."""

    number: int
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=MAX_POINTS))
    n_seen: int = 0
    n_missed: int = 0
    """Points that this window was not sent: it looked late, or was not read from."""
    ended: ProcedureEnded | None = None
    fitted: ProcedureEnded | None = None

    @property
    def is_fittable(self) -> bool:
        """Say whether a switching model can be fitted to it."""
        return self.ended is not None and self.ended.procedure in FITTED

    def take(self, told: ProcedurePoints) -> None:
        """Take points; what lies between them and the last ones is missed."""
        self.n_missed += max(0, told.first - self.n_missed - self.n_seen)
        self.points.extend(told.points)
        self.n_seen += len(told.points)


class BenchSeen:
    """The newest procedure, and every device that the engine's array view knows."""

    def __init__(self, clock_s: Callable[[], float] = monotonic) -> None:
        self._clock_s = clock_s
        self.run: RunSeen | None = None
        self.devices: dict[DeviceKey, dict[str, Any]] = {}
        self.n_changes = 0
        """Grows with whatever changes the picture."""

    def take(self, arrival: object) -> bool:
        """Take a happening; say whether it was a procedure's."""
        if not isinstance(arrival, ProcedurePoints | ProcedureEnded):
            return False
        if self.run is None or arrival.number > self.run.number:
            self.run = RunSeen(arrival.number)
        if arrival.number == self.run.number:
            self.n_changes += 1
            if isinstance(arrival, ProcedurePoints):
                self.run.take(arrival)
            elif arrival.procedure == "fit":
                self.run.fitted = arrival
            else:
                self.run.ended = arrival
        return True

    def age_s(self, key: DeviceKey) -> float | None:
        """Return how old a device's last reading is; None: there is none."""
        device = self.devices[key]
        if device["age_s"] is None:
            return None
        return float(device["age_s"]) + self._clock_s() - float(device["taken_s"])

    def take_page(self, page: Mapping[str, Any]) -> int | None:
        """Take a page of devices; return where the next one begins, or None after the last."""
        taken_s = self._clock_s()
        for device in page["devices"]:
            device["taken_s"] = taken_s
            self.devices[(device["unit"], device["wordline"], device["bitline"])] = device
        after = int(page["after"]) + len(page["devices"])
        return after if page["devices"] and after < page["n_devices"] else None


def end_words(run: RunSeen, ended: ProcedureEnded) -> list[str]:
    """Return what a person is told at the end of a procedure, in lines."""
    lines = list(ended.lines[-MAX_LINES:])
    if len(ended.lines) > len(lines):
        lines.insert(0, f"… {len(ended.lines) - len(lines)} lines more in the file")
    if run.n_missed:
        lines.append(f"{run.n_missed} points were not shown here; the files have them")
    if ended.files:
        lines.append(f"Kept in {ended.folder}: {', '.join(ended.files)}")
    if run.fitted is not None:
        lines += ["Fit:", *run.fitted.lines]
    return lines
