"""Endurance: a device raised and lowered many times, each pulse judged."""

from dataclasses import dataclass

from app.bench.array_view import DeviceState
from app.bench.bench import Bench
from app.bench.direction import UP
from app.bench.points import Write


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
