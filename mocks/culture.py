"""A simulated culture of neurons on an electrode array: seeded physics, numbers in, numbers out.

`Culture.step` takes the current pulses that begin in the next block and returns what the
electrodes pick up. The same seed and the same pulses give the same numbers. Not thread-safe.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mocks.culture_layout import (
    CultureLayout,
    TargetElectrodes,
    distances_um,
    target_electrodes,
    target_position_um,
)
from mocks.culture_signal import (
    BackgroundNeurons,
    Noise,
    Overlay,
    artefact,
    spike_gain_uv,
    spike_profile,
)
from mocks.culture_tissue import (
    DamageLimits,
    MembraneSettings,
    StimPulse,
    TargetNeuron,
    TissueDamage,
)

N_BLOCK_SAMPLES = 128
_LOG_LENGTH = 200_000


@dataclass(frozen=True, slots=True)
class CultureSettings:
    """How the culture is made. `targets` are grid places (column, row) of target neurons.

    A target's spike is deeper than any background spike, so that a detector that keeps only the
    largest of neighbouring crossings never loses it.
    """

    layout: CultureLayout = field(default_factory=CultureLayout)
    sample_rate_hz: float = 20_000.0
    targets: tuple[tuple[int, int], ...] = ((3, 3),)
    target_trough_uv: float = 220.0
    n_background_neurons: int = 80
    burst_rate_hz: float = 0.1
    noise_uv: float = 5.0
    field_uv: float = 30.0
    membrane: MembraneSettings = field(default_factory=MembraneSettings)
    damage: DamageLimits = field(default_factory=DamageLimits)


@dataclass(frozen=True, slots=True)
class TargetSpike:
    """One spike of a target neuron; `sample_index` is its trough."""

    target: int
    sample_index: int


@dataclass(frozen=True, slots=True)
class MembraneStep:
    """The membrane of a target just after one electrode's pulse; `is_spike`: it then fired."""

    target: int
    sample_index: int
    potential_v: float
    is_spike: bool


class Culture:
    """Neurons, noise and tissue behind one electrode array.

    Attributes: `n_samples` generated so far; `spikes`, `pulses` and `membrane_steps`, the newest
    200 000 each, in order of time; all sample indices count from the culture's beginning.
    """

    def __init__(self, settings: CultureSettings, seed: int) -> None:
        self.settings = settings
        self.n_samples = 0
        self.spikes: deque[TargetSpike] = deque(maxlen=_LOG_LENGTH)
        self.pulses: deque[StimPulse] = deque(maxlen=_LOG_LENGTH)
        self.membrane_steps: deque[MembraneStep] = deque(maxlen=_LOG_LENGTH)
        layout, rate_hz = settings.layout, settings.sample_rate_hz
        # one stream each: stimulating must not change the noise
        noise_rng, background_rng, target_rng = np.random.default_rng(seed).spawn(3)
        self._noise = Noise(layout, settings.noise_uv, settings.field_uv, rate_hz, noise_rng)
        self._background = BackgroundNeurons(
            layout,
            tuple(layout.electrode_at(*place) for place in settings.targets),
            settings.n_background_neurons,
            settings.burst_rate_hz,
            rate_hz,
            background_rng,
        )
        distances = [
            distances_um(layout, target_position_um(layout, *place)) for place in settings.targets
        ]
        self._targets = [
            TargetNeuron(distance, settings.membrane, rate_hz, target_rng) for distance in distances
        ]
        self._target_gains = [spike_gain_uv(d, settings.target_trough_uv) for d in distances]
        self._spike_profile = spike_profile(rate_hz)
        self._trough_sample = int(np.argmin(self._spike_profile))
        self._tissue = TissueDamage(layout.n_electrodes, settings.damage, rate_hz)
        self._overlays: list[Overlay] = []

    @property
    def damage(self) -> float:
        """Return the harm done to the tissue so far; 0 while every pulse was gentle."""
        return self._tissue.damage

    @property
    def electrodes_of_targets(self) -> tuple[TargetElectrodes, ...]:
        """Return the channels that record and drive each target neuron."""
        layout = self.settings.layout
        return tuple(target_electrodes(layout, *place) for place in self.settings.targets)

    def potential_v(self, target: int = 0) -> float:
        """Return a target's membrane potential above rest, now."""
        return self._targets[target].potential_v(self.n_samples)

    def net_charge_c(self, electrode: int) -> float:
        """Return the charge left on an electrode, now."""
        return self._tissue.net_charge_c(electrode, self.n_samples)

    def step(self, pulses: Sequence[StimPulse] = ()) -> NDArray[np.float32]:
        """Advance by one block of 128 samples; return microvolts (128, n_electrodes), the caller's.

        `pulses` begin within this block; raises ValueError otherwise.
        """
        first, n = self.n_samples, N_BLOCK_SAMPLES
        for pulse in sorted(pulses, key=lambda p: (p.first_sample, p.electrode)):
            if not (first <= pulse.first_sample < first + n):
                raise ValueError(
                    f"culture: pulse at sample {pulse.first_sample} is outside the next block, "
                    f"{first} to {first + n - 1}; hand it to the block it begins in"
                )
            self._receive(pulse)
        self._overlays += self._background.fire(first, n)
        block_uv = self._noise.block_uv(first, n)
        self._overlays = [o for o in self._overlays if o.add_to(block_uv, first)]
        self.n_samples = first + n
        return block_uv

    def skip(self, n_samples: int) -> None:
        """Let time pass that nobody looks at: nothing fires, potentials and charges decay."""
        self.n_samples += n_samples

    def _receive(self, pulse: StimPulse) -> None:
        if not pulse.n_samples:
            return
        self.pulses.append(pulse)
        self._tissue.receive(pulse)
        self._overlays.append(artefact(pulse, self.settings.layout, self.settings.sample_rate_hz))
        for target, neuron in enumerate(self._targets):
            spike_sample = neuron.receive(pulse)
            reached_v = (
                neuron.potential_v(pulse.first_sample)
                if spike_sample is None
                else self.settings.membrane.threshold_v
            )
            self.membrane_steps.append(
                MembraneStep(target, pulse.first_sample, reached_v, spike_sample is not None)
            )
            if spike_sample is not None:
                self._show_spike(target, spike_sample)

    def _show_spike(self, target: int, trough_sample: int) -> None:
        self.spikes.append(TargetSpike(target, trough_sample))
        first = trough_sample - self._trough_sample
        self._overlays.append(Overlay(first, self._spike_profile, *self._target_gains[target]))
