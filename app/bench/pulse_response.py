"""Pulse response: what each amplitude and width does to a device."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.bench.bench import Bench
from app.bench.errors import RefusedError
from app.bench.points import Write
from app.bench.programming import ProgramSettings, program
from app.safety.requests import RefusalReason

RESTORE_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Response:
    """What one pulse did."""

    amplitude_v: float
    width_s: float
    before_ohm: float
    after_ohm: float

    @property
    def change(self) -> float:
        """Get the relative change."""
        return self.after_ohm / self.before_ohm - 1.0


def pulse_map(
    bench: Bench,
    name: str,
    *,
    amplitudes_v: Sequence[float],
    widths_s: Sequence[float],
    n_repeats: int = 1,
    rng: np.random.Generator | None = None,
) -> list[Response]:
    """Measure the response to every amplitude and width, in random order if `rng` is given.

    Between pulses that carried the device far away, and before one that its window forbids where
    it stands, it is programmed back to where it began. A pulse forbidden there too is left out.
    """
    start_ohm = bench.read(name, "MAP", agreed=True)
    wanted = [(v, w) for _ in range(n_repeats) for v in amplitudes_v for w in widths_s]
    if rng is not None:
        wanted = [wanted[i] for i in rng.permutation(len(wanted))]
    max_v = max(map(abs, amplitudes_v))
    found = []
    for i, (amplitude_v, width_s) in enumerate(wanted):
        bench.progress(i, len(wanted), f"response of {name}: {amplitude_v:+g} V, {width_s:g} s")
        write = _apply(bench, name, amplitude_v, width_s)
        if write is None:
            _restore(bench, name, start_ohm, max_v)
            write = _apply(bench, name, amplitude_v, width_s)
        if write is None or write.before_ohm is None or write.after_ohm is None:
            continue
        found.append(Response(amplitude_v, width_s, write.before_ohm, write.after_ohm))
        if not 1 / 1.5 < write.after_ohm / start_ohm < 1.5:
            _restore(bench, name, start_ohm, max_v)
    bench.progress(len(wanted), len(wanted), f"response of {name}")
    return found


def _apply(bench: Bench, name: str, amplitude_v: float, width_s: float) -> Write | None:
    """Apply one pulse; None: the device's window forbids it where the device stands."""
    try:
        return bench.apply(name, amplitude_v, width_s, tag="MAP")
    except RefusedError as exc:
        if exc.refusal.reason is RefusalReason.WINDOW:
            return None
        raise


def _restore(bench: Bench, name: str, start_ohm: float, max_v: float) -> None:
    program(
        bench,
        name,
        ProgramSettings(
            target_ohm=start_ohm, tolerance=RESTORE_TOLERANCE, max_v=max_v, freezes_stuck=False
        ),
    )
