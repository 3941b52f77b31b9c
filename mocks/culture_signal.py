"""What the electrodes of the simulated culture see: noise, field, spikes and artefacts.

Everything is added to a block as slices of prepared shapes, so that a block of 128 frames costs
a few array operations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocks.culture_layout import CultureLayout, distances_um
from mocks.culture_tissue import StimPulse

SPIKE_REACH_UM = 80.0
SPIKE_RADIUS_UM = 220.0
"""Beyond this radius a spike is left out: it would be lost in the noise."""

_POOL_ROWS = 16_384
_FIELD_HZ = 2.3
_BURST_NEURON_RATE_HZ = 25.0
_REFRACTORY_S = 0.003
_ARTEFACT_DECAY_S = 0.00025
_ARTEFACT_TAIL_S = 0.003
_OWN_ARTEFACT_UV_PER_A = 1.0e10
_OTHER_ARTEFACT_UV_PER_A = 2.0e8
_ARTEFACT_REACH_UM = 800.0


@dataclass(frozen=True, slots=True)
class Overlay:
    """A shape that is added to the signal from `first_sample` on, scaled for each electrode."""

    first_sample: int
    profile: NDArray[np.float32]
    electrodes: NDArray[np.intp]
    gain_uv: NDArray[np.float32]

    def add_to(self, block_uv: NDArray[np.float32], first_sample: int) -> bool:
        """Add the part that falls into a block; return whether anything is left for later."""
        start = self.first_sample - first_sample
        end = start + len(self.profile)
        low, high = max(start, 0), min(end, len(block_uv))
        if low < high:
            part = self.profile[low - start : high - start, np.newaxis] * self.gain_uv
            block_uv[low:high, self.electrodes] += part
        return end > len(block_uv)


def spike_profile(sample_rate_hz: float) -> NDArray[np.float32]:
    """Return a biphasic extracellular spike of about 1 ms with a trough of -1."""
    time_s = np.arange(round(0.0016 * sample_rate_hz)) / sample_rate_hz
    trough = np.exp(-0.5 * ((time_s - 0.0004) / 0.00012) ** 2)
    hump = np.exp(-0.5 * ((time_s - 0.0009) / 0.00022) ** 2)
    shape = -trough + 0.25 * hump
    return np.asarray(shape / -shape.min(), dtype=np.float32)


def spike_gain_uv(
    distance_um: NDArray[np.float64], trough_uv: float
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the electrodes that see a neuron and how deep, the nearest one with `trough_uv`."""
    seen = np.flatnonzero(distance_um <= max(SPIKE_RADIUS_UM, float(distance_um.min())))
    gain = trough_uv * np.exp(-(distance_um[seen] - distance_um.min()) / SPIKE_REACH_UM)
    return seen, gain.astype(np.float32)


class Noise:
    """White noise from a pool prepared once, read from a random row on, and a slow field.

    The pool's tails end at 4 sigma: a rare larger value would come back again and again.
    """

    def __init__(
        self,
        layout: CultureLayout,
        noise_uv: float,
        field_uv: float,
        sample_rate_hz: float,
        rng: np.random.Generator,
    ) -> None:
        pool = rng.standard_normal((_POOL_ROWS, layout.n_electrodes), dtype=np.float32)
        self._pool = np.clip(pool, -4.0, 4.0) * np.float32(noise_uv)
        phase = 2 * np.pi * layout.position_um[:, 0] / 4000.0
        self._field_uv = (field_uv * np.stack([np.cos(phase), np.sin(phase)])).astype(np.float32)
        self._step_rad = 2 * np.pi * _FIELD_HZ / sample_rate_hz
        self._rng = rng

    def block_uv(self, first_sample: int, n_samples: int) -> NDArray[np.float32]:
        """Return noise and field of a block, shape (n_samples, n_electrodes), the caller's."""
        row = int(self._rng.integers(_POOL_ROWS - n_samples))
        angle = self._step_rad * (first_sample + np.arange(n_samples))
        slow = np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
        return np.asarray(self._pool[row : row + n_samples] + slow @ self._field_uv)


class BackgroundNeurons:
    """Neurons that fire by themselves, and now and then all together in a network burst.

    They keep a distance from the electrodes in `quiet_electrodes`, on which none is visible.
    """

    def __init__(
        self,
        layout: CultureLayout,
        quiet_electrodes: tuple[int, ...],
        n_neurons: int,
        burst_rate_hz: float,
        sample_rate_hz: float,
        rng: np.random.Generator,
    ) -> None:
        self._rng = rng
        self._sample_rate_hz = sample_rate_hz
        self._burst_rate_hz = burst_rate_hz
        self._burst_until_sample = 0
        self._profile = spike_profile(sample_rate_hz)
        self._rates_hz = np.exp(rng.uniform(np.log(0.2), np.log(5.0), n_neurons))
        self._last_sample = np.full(n_neurons, -(10**9), dtype=np.int64)
        self._gains = [self._place(layout, quiet_electrodes) for _ in range(n_neurons)]

    def _place(
        self, layout: CultureLayout, quiet_electrodes: tuple[int, ...]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        trough_uv = float(self._rng.uniform(60.0, 200.0))
        quiet = list(quiet_electrodes)
        low, high = layout.position_um.min(axis=0), layout.position_um.max(axis=0)
        while True:
            distance = distances_um(layout, self._rng.uniform(low, high))
            if not quiet or distance[quiet].min() > SPIKE_RADIUS_UM * 1.05:
                return spike_gain_uv(distance, trough_uv)

    def fire(self, first_sample: int, n_samples: int) -> list[Overlay]:
        """Return the spikes that begin in a block: at most one of each neuron."""
        block_s = n_samples / self._sample_rate_hz
        if self._rng.random() < self._burst_rate_hz * block_s:
            length_s = float(self._rng.uniform(0.1, 0.4))
            self._burst_until_sample = first_sample + round(length_s * self._sample_rate_hz)
        rates_hz = self._rates_hz
        if first_sample < self._burst_until_sample:
            rates_hz = np.full_like(rates_hz, _BURST_NEURON_RATE_HZ)
        firing = np.flatnonzero(self._rng.random(len(rates_hz)) < -np.expm1(-rates_hz * block_s))
        at_sample = first_sample + self._rng.integers(n_samples, size=len(firing))
        rested = at_sample - self._last_sample[firing] >= _REFRACTORY_S * self._sample_rate_hz
        firing, at_sample = firing[rested], at_sample[rested]
        self._last_sample[firing] = at_sample
        return [
            Overlay(int(sample), self._profile, *self._gains[neuron])
            for neuron, sample in zip(firing, at_sample, strict=True)
        ]


def artefact(pulse: StimPulse, layout: CultureLayout, sample_rate_hz: float) -> Overlay:
    """Return what the amplifiers see of a pulse: the current's shape, then a short decay.

    The stimulated electrode sees far more than an amplifier can take, the others a part of a
    millivolt. 1.5 ms after the end less than 0.3 % is left.
    """
    currents_a = np.concatenate([np.full(n, current_a) for current_a, n in pulse.phases])
    tail_s = np.arange(1, round(_ARTEFACT_TAIL_S * sample_rate_hz)) / sample_rate_hz
    tail_a = 0.8 * currents_a[-1] * np.exp(-tail_s / _ARTEFACT_DECAY_S)
    distance = distances_um(layout, layout.position_um[pulse.electrode])
    gain = _OTHER_ARTEFACT_UV_PER_A * np.exp(-distance / _ARTEFACT_REACH_UM)
    gain[pulse.electrode] = _OWN_ARTEFACT_UV_PER_A
    # gains are per ampere and profiles in ampere: microamperes keep both in float32's range
    profile_ua = (np.concatenate([currents_a, tail_a]) * 1e6).astype(np.float32)
    everywhere = np.arange(layout.n_electrodes)
    return Overlay(pulse.first_sample, profile_ua, everywhere, (gain * 1e-6).astype(np.float32))
