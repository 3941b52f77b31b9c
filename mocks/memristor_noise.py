"""How a real memristor differs from its model: scatter, noise, fatigue and memory that fades.

Every effect has its own switch, a size that may be zero. Sizes are those of the published data
of the ArC ONE manual's device where it shows them, and else our choice.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from mocks.memristor import MemristorModel, resistance_at_ohm, switched_ohm

_N_FLICKER_TERMS = 6
_FLICKER_TIME_S = np.logspace(-2, 3, _N_FLICKER_TERMS)
_N_FATIGUE_CYCLES = 10
_MAX_FADING = 64
"""Steps that still fade; an older one counts as faded."""
_SHORT_OHM = 150.0
_MIN_READ_V = 1e-3


@dataclass(frozen=True, slots=True)
class NoiseSettings:
    """The size of each effect; 0 switches it off.

    - read_noise: rms of a reading at 0.5 V with 50 cycles, as a part of R.
    - cycle_sigma: of the lognormal factor on the speed of each pulse.
    - flicker: rms of the 1/f noise as a part of R, from 10 ms to 1000 s.
    - telegraph_share: part of the devices with random telegraph noise of 0.3 to 2 %.
    - fatigue_per_cycle: rise of the lower bound with each of the first ten cycles.
    - volatile_part: part of each step that fades as exp(-sqrt(t/volatile_s)); negative creeps on.
    """

    read_noise: float = 0.0
    cycle_sigma: float = 0.0
    flicker: float = 0.0
    telegraph_share: float = 0.0
    fatigue_per_cycle: float = 0.0
    volatile_part: float = 0.0
    volatile_s: float = 0.5


NOISE_OFF = NoiseSettings()
NOISE_MILD = NoiseSettings(read_noise=3.4e-4, cycle_sigma=0.1)
NOISE_FULL = NoiseSettings(3.4e-4, 0.25, 2e-3, 0.15, 0.013, 0.10, 0.5)


class Memristor:
    """One device. Times are seconds of any clock that does not run backwards.

    `resistance_ohm` at construction and of `true_ohm` is the one at the model's reference
    voltage. `is_damaged`: a pulse beyond the model's limits made it a short for ever.
    """

    def __init__(
        self,
        model: MemristorModel,
        resistance_ohm: float,
        noise: NoiseSettings,
        rng: np.random.Generator,
    ) -> None:
        self.is_damaged = False
        self._model = model
        self._noise = noise
        self._rng = rng
        self._stable_ohm = resistance_ohm
        self._fading: deque[tuple[float, float]] = deque(maxlen=_MAX_FADING)
        self._n_cycles = 0
        self._was_raised = False
        self._drift = _Drift(noise, rng)

    def true_ohm(self, now_s: float) -> float:
        """Return the resistance without what noise adds to a reading."""
        if self.is_damaged:
            return _SHORT_OHM
        tau_s = self._noise.volatile_s
        fading = (
            ohm * math.exp(-math.sqrt(max(0.0, now_s - t_s) / tau_s)) for t_s, ohm in self._fading
        )
        return self._stable_ohm + sum(fading)

    def pulse(self, pulse_v: float, width_s: float, now_s: float) -> None:
        """Apply a rectangular pulse."""
        model = self._model
        self.is_damaged = self.is_damaged or model.is_destroyed_by(pulse_v, width_s)
        if self.is_damaged or not abs(pulse_v) > model.branch(pulse_v).threshold_v:
            return
        before_ohm = self.true_ohm(now_s)
        factor = math.exp(self._noise.cycle_sigma * self._rng.standard_normal())
        after_ohm = switched_ohm(model, before_ohm, pulse_v, width_s, factor)
        if after_ohm == before_ohm:
            return
        self._count_cycle(is_raised=pulse_v > 0)
        after_ohm = max(after_ohm, min(before_ohm, self._lowest_ohm()))
        step_ohm = after_ohm - before_ohm
        fades_ohm = self._noise.volatile_part * step_ohm
        self._stable_ohm += step_ohm - fades_ohm
        if fades_ohm:
            self._fading.append((now_s, fades_ohm))

    def read_ohm(self, read_v: float, n_cycles: int, now_s: float) -> float:
        """Return a noisy reading at a voltage, the mean of `n_cycles`; a short is a plain one."""
        read_v = math.copysign(max(abs(read_v), _MIN_READ_V), read_v)
        ohm = self.true_ohm(now_s)
        if not self.is_damaged:
            ohm = resistance_at_ohm(self._model, ohm * self._drift.factor(ohm, now_s), read_v)
        sigma = self._noise.read_noise * math.sqrt(50 / max(1, n_cycles)) * 0.5 / abs(read_v)
        return ohm * max(1e-3, 1.0 + sigma * float(self._rng.standard_normal()))

    def _count_cycle(self, *, is_raised: bool) -> None:
        if self._was_raised and not is_raised:
            self._n_cycles += 1
        self._was_raised = is_raised

    def _lowest_ohm(self) -> float:
        n_cycles = min(self._n_cycles, _N_FATIGUE_CYCLES)
        return self._model.negative.bound_ohm * (1 + self._noise.fatigue_per_cycle) ** n_cycles


class _Drift:
    """Slow noise of the resistance, worked out when somebody looks."""

    def __init__(self, noise: NoiseSettings, rng: np.random.Generator) -> None:
        self._rng = rng
        self._sigma = noise.flicker / math.sqrt(_N_FLICKER_TERMS)
        self._terms = self._sigma * rng.standard_normal(_N_FLICKER_TERMS)
        self._has_telegraph = bool(rng.random() < noise.telegraph_share)
        self._dwell_s = float(np.exp(rng.uniform(math.log(0.05), math.log(10.0))))
        self._is_up = bool(rng.random() < 0.5)
        self._seen_s: float | None = None

    def factor(self, resistance_ohm: float, now_s: float) -> float:
        """Return what the resistance is multiplied with at this moment."""
        elapsed_s = 0.0 if self._seen_s is None else max(0.0, now_s - self._seen_s)
        self._seen_s = now_s
        kept = np.exp(-elapsed_s / _FLICKER_TIME_S)
        fresh = self._rng.standard_normal(_N_FLICKER_TERMS)
        self._terms = kept * self._terms + self._sigma * np.sqrt(1 - kept**2) * fresh
        if self._rng.random() < 0.5 * (1 - math.exp(-2 * elapsed_s / self._dwell_s)):
            self._is_up = not self._is_up
        size = 0.003 + 0.017 * min(1.0, resistance_ohm / 20_000.0)
        telegraph = 0.5 * size * (1 if self._is_up else -1) if self._has_telegraph else 0.0
        return float(1.0 + self._terms.sum() + telegraph)
