"""Simulated silicon neurons: adaptive exponential integrate-and-fire, driven by weighted events.

Equations and parameters: Brette and Gerstner, "Adaptive exponential integrate-and-fire model as an
effective description of neuronal activity", J Neurophysiol 94:3637 (2005), table 1:

    C dV/dt = -gL (V - EL) + gL DT exp((V - VT) / DT) - w + I
    tau_w dw/dt = a (V - EL) - w;  at V > 20 mV: V = EL, w = w + b

A weighted event adds an exponentially decaying current to I, whose size and time constant are our
choice, as is how much two neurons of one chip differ.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

STEP_S = 0.1e-3
"""Forward Euler; halving it moves a spike by less than 0.25 ms."""
MISMATCH = 0.02
"""Standard deviation, relative, of the synaptic gain from neuron to neuron of a chip."""

_QUIET_A = 0.2e-9
_QUIET_SLOPES = 5.0


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
    peak_v: float = 20e-3
    synapse_s: float = 5e-3
    """Decay of the current that an event adds."""
    full_weight_a: float = 4.6e-9
    """Current that an event of weight code 255 adds."""


def mismatched(seed: int, neuron: int) -> AdexParameters:
    """Return the parameters of a chip's neuron: always the same for the same seed and neuron."""
    gain = 1.0 + MISMATCH * np.random.default_rng([seed, neuron]).standard_normal()
    nominal = AdexParameters()
    return replace(nominal, full_weight_a=nominal.full_weight_a * gain)


@dataclass(frozen=True, slots=True)
class _State:
    time_s: float
    above_rest_v: float
    adaptation_a: float
    synapse_a: float


class AdexNeuron:
    """One neuron. Time is given by the caller and never runs backwards; it is at rest at first.

    With the nominal parameters and 10 events a second, weight codes up to 130 never fire it, and
    from 160 to 240 each event makes one spike within 10 ms; above, now and then two. At 30 a second
    adaptation asks for 210.
    """

    def __init__(self, parameters: AdexParameters | None = None, step_s: float = STEP_S) -> None:
        self.parameters = parameters or AdexParameters()
        self._step_s = step_s
        self._state = _State(0.0, 0.0, 0.0, 0.0)
        self._foretold: tuple[list[float], _State] | None = None
        self._quiet_step = _quiet_step(self.parameters, step_s)

    @property
    def membrane_v(self) -> float:
        """Get the membrane potential at the time reached."""
        return self.parameters.rest_v + self._state.above_rest_v

    @property
    def adaptation_a(self) -> float:
        """Get the adaptation current at the time reached."""
        return self._state.adaptation_a

    def inject(self, weight_code: int, at_s: float) -> list[float]:
        """Add an event's current at a time; return the times of the spikes that came before it.

        Raises ValueError unless 0 <= weight_code <= 255 and the time is not before the last one.
        """
        if not (0 <= weight_code <= 255):
            raise ValueError(f"weight code {weight_code} is outside 0 to 255")
        spikes = self.advance(at_s)
        added_a = self.parameters.full_weight_a * weight_code / 255
        self._state = replace(self._state, synapse_a=self._state.synapse_a + added_a)
        self._foretold = None
        return spikes

    def advance(self, until_s: float) -> list[float]:
        """Let time pass; return the times of the spikes. Raises ValueError if it runs backwards.

        However long the time, the work is that of the steps until the neuron is quiet.
        """
        if not (self._state.time_s - self._step_s <= until_s < math.inf):
            raise ValueError(f"time {until_s} s is before {self._state.time_s} s, already reached")
        known: list[float] = []
        if self._foretold is not None and self._foretold[1].time_s <= until_s:
            known, self._state = self._foretold
            self._foretold = None
        spikes, self._state = self._simulate(until_s, is_first_only=False)
        return known + spikes

    def next_spike_s(self) -> float | None:
        """Return when it will fire if nothing else comes; None if it will not."""
        if self._foretold is None:
            self._foretold = self._simulate(math.inf, is_first_only=True)
        spikes, _ = self._foretold
        return spikes[0] if spikes else None

    def _simulate(self, until_s: float, *, is_first_only: bool) -> tuple[list[float], _State]:
        p, s, step_s = self.parameters, self._state, self._step_s
        t, v, w, i = s.time_s, s.above_rest_v, s.adaptation_a, s.synapse_a
        slope_v, threshold_v = p.slope_v, p.threshold_v - p.rest_v
        peak_v, quiet_v = p.peak_v - p.rest_v, threshold_v - _QUIET_SLOPES * p.slope_v
        leak_siemens, adaptation_siemens = p.leak_siemens, p.adaptation_siemens
        v_per_a, w_part = step_s / p.capacitance_f, step_s / p.adaptation_s
        exp, decay = math.exp, math.exp(-step_s / p.synapse_s)
        spikes: list[float] = []
        while t + step_s <= until_s:
            if i < _QUIET_A and v < quiet_v:
                # The leak outweighs this current everywhere below threshold: no spike will come.
                state = _State(t, v, w, i)
                return spikes, state if is_first_only else self._rest_until(until_s, state)
            upswing_v = slope_v * exp((v - threshold_v) / slope_v)
            dv = v_per_a * (leak_siemens * (upswing_v - v) - w + i)
            w += w_part * (adaptation_siemens * v - w)
            v += dv
            i *= decay
            t += step_s
            if v >= peak_v:
                v = 0.0
                w += p.adaptation_step_a
                spikes.append(t)
                if is_first_only:
                    break
        return spikes, _State(t, v, w, i)

    def _rest_until(self, until_s: float, s: _State) -> _State:
        """Take all steps of a quiet neuron at once."""
        n_steps = int((until_s - s.time_s) / self._step_s)
        many = np.linalg.matrix_power(self._quiet_step, n_steps)
        v, w, i = (many @ [s.above_rest_v, s.adaptation_a, s.synapse_a]).tolist()
        return _State(s.time_s + n_steps * self._step_s, v, w, i)


def _quiet_step(p: AdexParameters, step_s: float) -> npt.NDArray[np.float64]:
    """Return one Euler step of (V - EL, w, I) without the upswing, below 1 pA in a quiet neuron."""
    v_per_a, w_part = step_s / p.capacitance_f, step_s / p.adaptation_s
    return np.array(
        [
            [1.0 - v_per_a * p.leak_siemens, -v_per_a, v_per_a],
            [w_part * p.adaptation_siemens, 1.0 - w_part, 0.0],
            [0.0, 0.0, math.exp(-step_s / p.synapse_s)],
        ]
    )
