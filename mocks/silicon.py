"""Simulated silicon neurons: adaptive exponential integrate-and-fire, driven by weighted events.

Equations and parameters: Brette and Gerstner, "Adaptive exponential integrate-and-fire model as an
effective description of neuronal activity", J Neurophysiol 94:3637 (2005), table 1. A weighted
event adds an exponentially decaying current, whose size and time constant are our choice.
"""

import math
from dataclasses import dataclass, replace

STEP_S = 0.1e-3
"""Forward Euler; halving it moves a spike by less than 0.2 ms."""
_REST_V = 1e-5
_REST_A = 1e-13


@dataclass(frozen=True, slots=True)
class AdexParameters:
    """Constants of one neuron, in SI units."""

    capacitance_f: float = 281e-12
    leak_siemens: float = 30e-9
    rest_v: float = -70.6e-3
    threshold_v: float = -50.4e-3
    slope_v: float = 2e-3
    adaptation_s: float = 144e-3
    adaptation_siemens: float = 4e-9
    adaptation_step_a: float = 80.5e-12
    reset_v: float = -70.6e-3
    peak_v: float = 20e-3
    synapse_s: float = 5e-3
    """Decay of the current that an event adds."""
    full_weight_a: float = 4.6e-9
    """Current that an event of weight code 255 adds."""


@dataclass(frozen=True, slots=True)
class _State:
    time_s: float
    membrane_v: float
    adaptation_a: float
    synapse_a: float


class AdexNeuron:
    """One neuron. Time is given by the caller and never runs backwards; it is at rest at first.

    With the default parameters and 10 events a second, weight codes up to 130 never fire it, and
    from 160 on each event makes one spike within 10 ms. At 30 a second adaptation asks for 210.
    """

    def __init__(self, parameters: AdexParameters | None = None) -> None:
        self.parameters = parameters or AdexParameters()
        self._state = _State(0.0, self.parameters.rest_v, 0.0, 0.0)

    @property
    def membrane_v(self) -> float:
        """Get the membrane potential at the time reached."""
        return self._state.membrane_v

    def inject(self, weight_code: int, at_s: float) -> list[float]:
        """Add an event's current at a time; return the spikes that came before it."""
        spikes = self.advance(at_s)
        added_a = self.parameters.full_weight_a * weight_code / 255
        self._state = replace(self._state, synapse_a=self._state.synapse_a + added_a)
        return spikes

    def advance(self, until_s: float) -> list[float]:
        """Let time pass; return the times of the spikes."""
        spikes, self._state = self._simulate(until_s, is_first_only=False)
        return spikes

    def next_spike_s(self, until_s: float) -> float | None:
        """Return when it will fire first if nothing else comes before `until_s`."""
        spikes, _ = self._simulate(until_s, is_first_only=True)
        return spikes[0] if spikes else None

    def _simulate(self, until_s: float, *, is_first_only: bool) -> tuple[list[float], _State]:
        p, s = self.parameters, self._state
        v, w, i, t = s.membrane_v, s.adaptation_a, s.synapse_a, s.time_s
        decay = math.exp(-STEP_S / p.synapse_s)
        spikes: list[float] = []
        while t + STEP_S <= until_s:
            if abs(v - p.rest_v) < _REST_V and abs(w) < _REST_A and i < _REST_A:
                return spikes, _State(until_s, p.rest_v, 0.0, 0.0)
            upswing_v = p.slope_v * math.exp(min(50.0, (v - p.threshold_v) / p.slope_v))
            flow_a = p.leak_siemens * (p.rest_v - v + upswing_v) - w + i
            w += STEP_S * (p.adaptation_siemens * (v - p.rest_v) - w) / p.adaptation_s
            v += STEP_S * flow_a / p.capacitance_f
            i *= decay
            t += STEP_S
            if v >= p.peak_v:
                v = p.reset_v
                w += p.adaptation_step_a
                spikes.append(t)
                if is_first_only:
                    break
        return spikes, _State(t, v, w, i)
