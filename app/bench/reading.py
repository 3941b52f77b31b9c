"""Reading: one device, the listed ones, or a whole array; and what a device does over time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from app.bench.array_view import DeviceState
from app.bench.bench import Bench
from app.bench.errors import BenchError, NoReadingError
from drivers.errors import InstrumentError, TransportError
from drivers.smu.protocol import DeviceAddress, Reading


@runtime_checkable
class ReadsArrays(Protocol):
    """An instrument that reads a whole array with one command."""

    def read_all(self, *, should_stop: Callable[[], bool] = ...) -> npt.NDArray[np.float64]:
        """Return ohms, `(n_wordlines, n_bitlines)`."""


@dataclass(frozen=True, slots=True)
class ArrayReading:
    """Ohms of an array, `(n_wordlines, n_bitlines)`; NaN where nothing believable came."""

    resistances_ohm: npt.NDArray[np.float64]
    n_unreadable: int


def read_devices(bench: Bench, names: Sequence[str], n_times: int = 1) -> dict[str, list[float]]:
    """Read devices in turn, `n_times`; a device that gives no reading has fewer."""
    found: dict[str, list[float]] = {name: [] for name in names}
    total = n_times * len(names)
    for i in range(total):
        name = names[i % len(names)]
        bench.progress(i, total, f"reading {name}")
        try:
            found[name].append(bench.read(name))
        except NoReadingError:
            continue
    bench.progress(total, total, "read")
    return found


def read_array(bench: Bench, shape: tuple[int, int]) -> ArrayReading:
    """Read every position, with one command where the instrument has one.

    Raises
    ------
    BenchError
        No believable answer, or aborted: the instrument is then brought in step by its next use.
    """
    n_devices = shape[0] * shape[1]
    bench.progress(0, n_devices, "reading all")
    if isinstance(bench.smu, ReadsArrays):
        read_all = bench.smu.read_all
        try:
            ohms = bench.call(lambda: read_all(should_stop=bench.is_aborted))
        except TransportError:
            raise
        except InstrumentError as exc:
            bench.wait(0.0)
            raise BenchError(f"reading all: {exc}") from exc
        now_ns = bench.clock_ns()
        for (w, b), ohm in np.ndenumerate(ohms):
            reading = Reading(DeviceAddress(w + 1, b + 1), float(ohm), bench.read_voltage_v, now_ns)
            bench.note_reading(reading, "F")
    else:
        ohms = np.full(shape, np.nan)
        for name, device in bench.devices.items():
            try:
                ohms[device.wordline - 1, device.bitline - 1] = bench.read(name, "F")
            except NoReadingError:
                continue
    bench.progress(n_devices, n_devices, "read all")
    return ArrayReading(ohms, int(np.isnan(ohms).sum()))


@dataclass(frozen=True, slots=True)
class Retention:
    """Resistance over time since the first reading."""

    times_s: npt.NDArray[np.float64]
    resistances_ohm: npt.NDArray[np.float64]
    drift_per_decade: float
    """Slope of R/R0 over log10 of time; NaN with fewer than three readings."""


def retention(bench: Bench, name: str, *, duration_s: float, interval_s: float) -> Retention:
    """Read a device at equal intervals and pulse nothing."""
    if not (0 < interval_s <= duration_s):
        raise BenchError(f"retention: interval {interval_s!r} s, allowed up to {duration_s:g} s")
    n = int(duration_s / interval_s) + 1
    began_ns = bench.clock_ns()
    times_s, ohms = [], []
    for i in range(n):
        bench.progress(i, n, f"retention of {name}")
        bench.wait(i * interval_s - (bench.clock_ns() - began_ns) / 1e9)
        ohms.append(bench.read(name, "RET"))
        times_s.append((bench.clock_ns() - began_ns) / 1e9)
    bench.progress(n, n, f"retention of {name}")
    times, resistances = np.array(times_s), np.array(ohms)
    return Retention(times, resistances, _drift_per_decade(times, resistances))


def _drift_per_decade(times_s: npt.NDArray[np.float64], ohms: npt.NDArray[np.float64]) -> float:
    is_later = times_s > times_s[0]
    if is_later.sum() < 3:
        return float("nan")
    slope, _ = np.polyfit(np.log10(times_s[is_later]), ohms[is_later] / ohms[0], 1)
    return float(slope)


def mark_stuck(bench: Bench, name: str, reason: str) -> None:
    """Keep that a device does not move any more, and let it have no further pulse."""
    bench.record(name).state = DeviceState.STUCK
    for direction in (1, -1):
        bench.freeze(name, direction, reason)
