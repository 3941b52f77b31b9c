"""From a device's resistance to a synaptic weight, and from a weight to what the post site does."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.config.experiment import WeightMap
from drivers.permit import Action, DriveNeuron, Stimulate


def weight_of(resistance_ohm: float, window: WeightMap) -> float:
    """Return the weight, 0 to 1, of a resistance in ohms.

    Linear over the window and flat outside it, as in the hub of the 2020 experiment (Serb et al.,
    Sci Rep 10:2590): a reading outside the window is a state of the device, not an error.
    """
    span_ohm = window.r_max_ohm - window.r_min_ohm
    rising = min(1.0, max(0.0, (resistance_ohm - window.r_min_ohm) / span_ohm))
    return rising if window.is_rising else 1.0 - rising


@dataclass(frozen=True, slots=True)
class Target:
    """How one post neuron of this site is driven: by an instrument, through its actions.

    `patterns` are the neuron's prepared patterns, weakest first; empty for a chip's neuron.
    """

    instrument: str
    neuron: int
    patterns: Sequence[int] = ()

    def action_for(self, weight: float) -> Action:
        """Return the action for a weight. Raises ValueError unless 0 <= weight <= 1."""
        if not (0.0 <= weight <= 1.0):
            raise ValueError(f"neuron {self.neuron}: weight {weight} is outside 0 to 1")
        if self.patterns:
            n = len(self.patterns)
            return Stimulate(self.patterns[min(int(weight * n), n - 1)])
        return DriveNeuron(self.neuron, round(255 * weight))
