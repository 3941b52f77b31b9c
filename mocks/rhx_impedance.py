"""The electrodes' impedances behind the simulated RHX, and the file in which it tells them.

An electrode is a constant-phase element: its impedance falls with the frequency to the power 0.8,
by 72 degrees. Open ones show the amplifier's own input (12 pF), shorted ones the solution alone.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MEDIAN_OHM = 95e3
"""At 1 kHz: titanium nitride of 30 um."""
SCATTER = 0.2
EXPONENT = 0.8
INPUT_FARAD = 12e-12
SHORT_OHM = 400.0
TITLES = (
    "Channel Number,Channel Name,Port,Enabled,"
    "Impedance Magnitude at {hz:g} Hz (ohms),Impedance Phase at {hz:g} Hz (degrees),"
    "Series RC equivalent R (Ohms),Series RC equivalent C (Farads)"
)


@dataclass(frozen=True, slots=True)
class Impedance:
    """Of one electrode at one frequency."""

    magnitude_ohm: float
    phase_deg: float


class Electrodes:
    """One impedance per electrode, the same for the same seed."""

    def __init__(
        self,
        names: Sequence[str],
        seed: int,
        opened: Collection[str] = (),
        shorted: Collection[str] = (),
    ) -> None:
        self.names = tuple(names)
        self._opened, self._shorted = frozenset(opened), frozenset(shorted)
        spread = np.random.default_rng(seed).normal(0.0, SCATTER, len(names))
        self._at_1_khz = MEDIAN_OHM * np.exp(spread)

    def at(self, frequency_hz: float) -> list[Impedance]:
        """Return every electrode's impedance, in channel order."""
        return [self._one(i, name, frequency_hz) for i, name in enumerate(self.names)]

    def _one(self, index: int, name: str, frequency_hz: float) -> Impedance:
        if name in self._opened:
            return Impedance(1 / (math.tau * frequency_hz * INPUT_FARAD), -89.0)
        if name in self._shorted:
            return Impedance(SHORT_OHM, -2.0)
        magnitude = float(self._at_1_khz[index]) * (frequency_hz / 1000.0) ** -EXPONENT
        return Impedance(magnitude, -90.0 * EXPONENT)


def impedance_file(names: Sequence[str], values: Sequence[Impedance], frequency_hz: float) -> str:
    """Return the text of the file, as RHX 3.4 writes it."""
    lines = [TITLES.format(hz=frequency_hz)]
    for name, value in zip(names, values, strict=True):
        phase = math.radians(value.phase_deg)
        resistance = value.magnitude_ohm * math.cos(phase)
        farad = 1 / (math.tau * frequency_hz * value.magnitude_ohm * -math.sin(phase))
        lines.append(
            f"{name},{name},Port {name[0]},1,{value.magnitude_ohm:.2e},{value.phase_deg:.0f},"
            f"{resistance:.2e},{farad:.2e}"
        )
    return "\n".join(lines) + "\n"


def write_silently(folder: str, base: str, text: str) -> None:
    """Write the file where RHX was told to; like RHX, say nothing if that cannot be."""
    name = base if base.lower().endswith(".csv") else f"{base}.csv"
    try:
        (Path(folder) / name).write_text(text, encoding="utf-8")
    except OSError:
        return


def actual_frequency_hz(desired_hz: float, sample_rate_hz: float, upper_hz: float) -> float:
    """Return at which frequency RHX would measure; 0: it cannot at this one."""
    if not desired_hz > 0:
        return 0.0
    period = round(sample_rate_hz / desired_hz)
    is_possible = 4 <= period <= 1024 and desired_hz <= upper_hz
    return sample_rate_hz / period if is_possible else 0.0
