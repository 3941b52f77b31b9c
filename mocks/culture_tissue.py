"""What current does to the simulated tissue: it depolarises target neurons and it can harm.

Charge, not current, is what counts for both. Time runs in samples; potentials are above rest.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StimPulse:
    """One current pulse through one electrode: phases of constant current, without a gap.

    `phases` are (current_a, n_samples); cathodic current is negative, an interphase delay is a
    phase of zero current.
    """

    first_sample: int
    electrode: int
    phases: tuple[tuple[float, int], ...]
    is_charge_recovered: bool = False

    @property
    def n_samples(self) -> int:
        """Return the length of the pulse in samples."""
        return sum(n for _, n in self.phases)

    def phase_charges_c(self, sample_rate_hz: float) -> tuple[float, ...]:
        """Return the signed charge of each phase in coulomb."""
        return tuple(current_a * n / sample_rate_hz for current_a, n in self.phases)


@dataclass(frozen=True, slots=True)
class MembraneSettings:
    """A leaky integrator with threshold, refractory time and a jittered delay of the spike.

    `drive_v_per_c` is the depolarisation by one coulomb of cathodic charge at zero distance; it
    falls by e every `reach_um`. The defaults give 2 uA x 200 us a third of the threshold from a
    neighbour 200 um away.
    """

    time_constant_s: float = 0.015
    threshold_v: float = 0.015
    refractory_s: float = 0.003
    delay_s: tuple[float, float, float] = (0.004, 0.0055, 0.008)
    drive_v_per_c: float = 1.865e7
    reach_um: float = 500.0
    noise_v: float = 0.0002


class TargetNeuron:
    """One neuron that fires only when driven; it is silent by itself."""

    def __init__(
        self,
        distance_um: NDArray[np.float64],
        settings: MembraneSettings,
        sample_rate_hz: float,
        rng: np.random.Generator,
    ) -> None:
        self._settings = settings
        self._drive_v_per_c = settings.drive_v_per_c * np.exp(-distance_um / settings.reach_um)
        self._sample_rate_hz = sample_rate_hz
        self._rng = rng
        self._potential_v = 0.0
        self._at_sample = 0
        self._deaf_until_sample = 0

    def potential_v(self, sample_index: int) -> float:
        """Return the membrane potential above rest at a sample, without changing it."""
        elapsed_s = max(0, sample_index - self._at_sample) / self._sample_rate_hz
        return self._potential_v * math.exp(-elapsed_s / self._settings.time_constant_s)

    def receive(self, pulse: StimPulse) -> int | None:
        """Integrate one pulse; return the sample of the spike it causes, if it does.

        Pulses come in order of time. Between the crossing of the threshold and the end of the
        refractory time the cell ignores input.
        """
        now = pulse.first_sample
        if now < self._deaf_until_sample:
            return None
        charges_c = pulse.phase_charges_c(self._sample_rate_hz)
        cathodic_c = -sum(charge_c for charge_c in charges_c if charge_c < 0)
        step_v = float(self._drive_v_per_c[pulse.electrode]) * cathodic_c
        self._potential_v = self.potential_v(now) + step_v
        self._at_sample = now
        noise_v = self._settings.noise_v * float(self._rng.standard_normal())
        if self._potential_v + noise_v < self._settings.threshold_v:
            return None
        return self._fire(now)

    def _fire(self, now: int) -> int:
        delay_s = float(self._rng.triangular(*self._settings.delay_s))
        spike_sample = now + round(delay_s * self._sample_rate_hz)
        refractory = round(self._settings.refractory_s * self._sample_rate_hz)
        self._potential_v = 0.0
        self._at_sample = self._deaf_until_sample = spike_sample + refractory
        return spike_sample


@dataclass(frozen=True, slots=True)
class DamageLimits:
    """What the tissue bears.

    4 nC per phase is the figure quoted for microelectrodes (Cogan et al. 2016 discuss why the
    Shannon line does not hold there); the other two are choices of this simulation.
    """

    charge_per_phase_c: float = 4e-9
    net_charge_c: float = 1e-9
    net_charge_decay_s: float = 10.0
    rate_hz: float = 200.0
    rate_window_s: float = 0.1


class TissueDamage:
    """A number that stays 0 while every pulse is gentle, and grows with each that is not."""

    def __init__(self, n_electrodes: int, limits: DamageLimits, sample_rate_hz: float) -> None:
        self.damage = 0.0
        self._limits = limits
        self._sample_rate_hz = sample_rate_hz
        self._net_charge_c = [0.0] * n_electrodes
        self._net_at_sample = [0] * n_electrodes
        self._recent: list[deque[int]] = [deque() for _ in range(n_electrodes)]

    def net_charge_c(self, electrode: int, sample_index: int) -> float:
        """Return the charge left on an electrode at a sample, in coulomb, signed."""
        elapsed_s = (sample_index - self._net_at_sample[electrode]) / self._sample_rate_hz
        decay = math.exp(-elapsed_s / self._limits.net_charge_decay_s)
        return self._net_charge_c[electrode] * decay

    def receive(self, pulse: StimPulse) -> None:
        """Take the harm done by one pulse into account. Pulses come in order of time."""
        charges_c = pulse.phase_charges_c(self._sample_rate_hz)
        largest_c = max((abs(charge_c) for charge_c in charges_c), default=0.0)
        self.damage += _excess(largest_c, self._limits.charge_per_phase_c)
        self.damage += _excess(
            abs(self._leave_net_charge(pulse, sum(charges_c))), self._limits.net_charge_c
        )
        n_in_window = self._count_recent(pulse)
        n_borne = self._limits.rate_hz * self._limits.rate_window_s
        self.damage += _excess(n_in_window, n_borne)

    def _leave_net_charge(self, pulse: StimPulse, left_c: float) -> float:
        e, now = pulse.electrode, pulse.first_sample
        net_c = 0.0 if pulse.is_charge_recovered else self.net_charge_c(e, now) + left_c
        self._net_charge_c[e], self._net_at_sample[e] = net_c, now
        return net_c

    def _count_recent(self, pulse: StimPulse) -> int:
        recent = self._recent[pulse.electrode]
        recent.append(pulse.first_sample)
        oldest = pulse.first_sample - round(self._limits.rate_window_s * self._sample_rate_hz)
        while recent[0] <= oldest:
            recent.popleft()
        return len(recent)


def _excess(value: float, limit: float) -> float:
    """Return by which part `value` exceeds `limit`; rounding errors are no harm."""
    return value / limit - 1.0 if value > limit * (1 + 1e-9) else 0.0
