"""Impedances as colours and in words. No Qt in here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from app.gui.numbers import with_prefix

LOW_OHM, HIGH_OHM = 1e3, 1e7
TICKS_OHM = (1e3, 1e4, 1e5, 1e6, 1e7)


@dataclass(frozen=True, slots=True)
class ElectrodeShown:
    """One electrode as the map shows it."""

    channel: str
    magnitude_ohm: float
    phase_deg: float
    fault: str
    """"open", "shorted" or nothing."""

    @property
    def words(self) -> str:
        """Get everything that is known of it."""
        text = f"{self.channel}: {with_prefix(self.magnitude_ohm, 'ohm')}, {self.phase_deg:.0f}°"
        return f"{text}\n{self.fault.upper()}" if self.fault else text

    @property
    def short(self) -> str:
        """Get the magnitude for a small cell, "95k"."""
        for factor, prefix in ((1e6, "M"), (1e3, "k"), (1.0, "")):
            if self.magnitude_ohm >= factor:
                value = self.magnitude_ohm / factor
                return f"{value:.0f}{prefix}" if value >= 10 else f"{value:.1f}{prefix}"
        return "0"


def place_on_scale(magnitude_ohm: float) -> float:
    """Return 0 (1 kohm or less) to 1 (10 Mohm or more), logarithmically."""
    if not magnitude_ohm > LOW_OHM:
        return 0.0
    return min(1.0, math.log(magnitude_ohm / LOW_OHM) / math.log(HIGH_OHM / LOW_OHM))


def told(electrodes: Sequence[Sequence[object]]) -> list[ElectrodeShown]:
    """Return what an engine tells, electrode by electrode."""
    return [
        ElectrodeShown(str(channel), float(str(ohm)), float(str(deg)), str(fault))
        for channel, ohm, deg, fault in electrodes
    ]


def summary(electrodes: Sequence[ElectrodeShown], frequency_hz: float) -> str:
    """Return how many were measured, the median, and each that is bad."""
    magnitudes = [e.magnitude_ohm for e in electrodes]
    middle = with_prefix(median(magnitudes) if magnitudes else None, "ohm")
    bad = [f"{e.channel} {e.fault} ({with_prefix(e.magnitude_ohm, 'ohm')})" for e in electrodes
           if e.fault]  # fmt: skip
    said = f"{len(electrodes)} electrodes at {frequency_hz:g} Hz, median {middle}."
    return f"{said} {len(bad)} bad: {', '.join(bad)}." if bad else f"{said} None is bad."
