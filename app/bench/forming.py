"""Forming: pulses of rising voltage until a new device switches, under an arm of their own."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from app.bench.array_view import Forming
from app.bench.bench import Bench
from app.bench.errors import BenchError


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
