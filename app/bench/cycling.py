"""Endurance, pulse response and forming: many pulses, each judged."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.bench.array_view import DeviceState, Forming
from app.bench.bench import UP, Bench, Write
from app.bench.errors import BenchError
from app.bench.programming import ProgramSettings, program

RESTORE_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Endurance:
    """Resistances after the upward and the downward half of each cycle, `(n_cycles,)` each."""

    high_ohm: list[float]
    low_ohm: list[float]

    @property
    def ratio_first(self) -> float:
        """Get high over low in the first cycle."""
        return self.high_ohm[0] / self.low_ohm[0]

    @property
    def ratio_last(self) -> float:
        """Get high over low in the last cycle."""
        return self.high_ohm[-1] / self.low_ohm[-1]


def endurance(
    bench: Bench,
    name: str,
    *,
    amplitude_v: float,
    width_s: float,
    n_cycles: int,
    n_per_half: int = 1,
) -> Endurance:
    """Raise and lower a device `n_cycles` times with `n_per_half` pulses each way.

    Ends early, with what there is, when the device no longer moves either way.
    """
    up_v = amplitude_v if bench.device(name).limits.is_positive_raising else -amplitude_v
    high: list[float] = []
    low: list[float] = []
    for cycle in range(n_cycles):
        bench.progress(cycle, n_cycles, f"endurance of {name}")
        for level_v, found in ((up_v, high), (-up_v, low)):
            write: Write | None = None
            for _ in range(n_per_half):
                write = bench.apply(name, level_v, width_s, tag="EN")
            if write is not None and write.after_ohm is not None:
                found.append(write.after_ohm)
        if low and high and abs(high[-1] - low[-1]) < bench.min_change * low[-1]:
            bench.record(name).state = DeviceState.STUCK
            bench.freeze(name, UP, f"no difference between states after {cycle + 1} cycles")
            break
    bench.progress(len(low), n_cycles, f"endurance of {name}")
    return Endurance(high, low)


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

    Between pulses that carried the device far away it is programmed back to where it began.
    """
    start_ohm = bench.read(name, "MAP", agreed=True)
    wanted = [(v, w) for _ in range(n_repeats) for v in amplitudes_v for w in widths_s]
    if rng is not None:
        wanted = [wanted[i] for i in rng.permutation(len(wanted))]
    found = []
    for i, (amplitude_v, width_s) in enumerate(wanted):
        bench.progress(i, len(wanted), f"response of {name}: {amplitude_v:+g} V, {width_s:g} s")
        write = bench.apply(name, amplitude_v, width_s, tag="MAP")
        if write.before_ohm is None or write.after_ohm is None:
            continue
        found.append(Response(amplitude_v, width_s, write.before_ohm, write.after_ohm))
        if not 1 / 1.5 < write.after_ohm / start_ohm < 1.5:
            _restore(bench, name, start_ohm, max(map(abs, amplitudes_v)))
    bench.progress(len(wanted), len(wanted), f"response of {name}")
    return found


def _restore(bench: Bench, name: str, start_ohm: float, max_v: float) -> None:
    program(
        bench,
        name,
        ProgramSettings(
            target_ohm=start_ohm, tolerance=RESTORE_TOLERANCE, max_v=max_v, freezes_stuck=False
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FormingSettings:
    """A ramp of voltage, one polarity, until the device switches."""

    start_v: float
    step_v: float
    stop_v: float
    width_s: float
    is_negative: bool = False
    below_ohm: float | None = None
    """Formed when the resistance is below this."""
    change: float = 0.3
    """Formed when the resistance has changed by this part."""


def forming(
    bench: Bench,
    name: str,
    settings: FormingSettings,
    *,
    who: str,
    arm: Callable[[str], None],
) -> Forming:
    """Form one device: pulses of rising voltage under an arm of their own.

    `arm` asks the Gate for leave to form this device, by name, and raises `BenchError` if it is
    not given. The attempt is kept in the device's history, whatever came of it.
    """
    if not (settings.step_v > 0 and 0 < settings.start_v <= settings.stop_v):
        raise BenchError("forming: start, step and stop must be positive and in order")
    arm(name)
    before_ohm = bench.read(name, "FF", agreed=True)
    after_ohm: float | None = before_ohm
    n = int((settings.stop_v - settings.start_v) / settings.step_v + 1e-6) + 1
    outcome, level_v, n_pulses = "did not switch", 0.0, 0
    try:
        for i in range(n):
            level_v = settings.start_v + i * settings.step_v
            level_v = -level_v if settings.is_negative else level_v
            bench.progress(i, n, f"forming {name}: {level_v:+g} V")
            write = bench.apply(name, level_v, settings.width_s, tag="FF", is_forming=True)
            n_pulses, after_ohm = n_pulses + 1, write.after_ohm
            if _is_formed(before_ohm, after_ohm, settings):
                outcome = "formed"
                break
    except BenchError as exc:
        outcome = f"ended: {exc}"
        raise
    finally:
        made = Forming(
            utc=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            who=who,
            before_ohm=before_ohm,
            after_ohm=after_ohm,
            last_amplitude_v=level_v,
            n_pulses=n_pulses,
            outcome=outcome,
        )
        bench.record(name).formings = [*bench.record(name).formings, made]
    bench.progress(n, n, f"forming {name}: {outcome}")
    return made


def _is_formed(before_ohm: float, after_ohm: float | None, settings: FormingSettings) -> bool:
    if after_ohm is None:
        return False
    if settings.below_ohm is not None and after_ohm < settings.below_ohm:
        return True
    return abs(after_ohm / before_ohm - 1.0) > settings.change
