"""`experiment.toml`: the network that all sites share, and its hash."""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.config.units import Name, NeuronId, NotNegative, Positive, SynapseId, Text


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Neuron(_Section, frozen=True, kw_only=True):
    """A named source of spikes at a site."""

    id: NeuronId
    name: Name
    site: Name


class WeightMap(_Section, frozen=True, kw_only=True):
    """Resistance to weight: linear from 0 to 1 over the window."""

    r_min_ohm: Positive
    r_max_ohm: Positive
    is_rising: bool = True
    """The weight rises with resistance (as in 2020), or falls."""


class RateRule(_Section, frozen=True, kw_only=True, tag_field="name", tag="rate"):
    """The rule of 2020: count the pre spikes in the window at each post event.

    More than `ltp_above` LTP, fewer than `ltd_below` LTD. The window is closed at both ends.
    """

    window_s: Positive = 1.0
    ltp_above: Annotated[int, Meta(ge=0)] = 20
    ltd_below: Annotated[int, Meta(ge=0)] = 5


class PairStdpRule(
    _Section,
    frozen=True,
    kw_only=True,
    tag_field="name",
    tag="pair_stdp",
):
    """Nearest-neighbour pairs.

    Pre before post within `ltp_window_s`: LTP. Post before pre within `ltd_window_s`: LTD.
    """

    ltp_window_s: Positive = 0.025
    ltd_window_s: Positive = 0.025


Rule = RateRule | PairStdpRule


class PulsePair(_Section, frozen=True, kw_only=True):
    """The pulses that the rule may ask for. The rule chooses the sign, the device the size."""

    ltp_amplitude_v: float
    ltp_width_s: Positive
    ltd_amplitude_v: float
    ltd_width_s: Positive


class Synapse(_Section, frozen=True, kw_only=True):
    """Pre neuron, memristor device at a site, post neuron."""

    id: SynapseId
    name: Name
    pre: NeuronId
    post: NeuronId
    site: Name
    device: Name
    deadline_s: Positive = 0.2
    """A PSP older than this never stimulates."""
    weight: WeightMap
    rule: Rule
    pulse: PulsePair


class Phase(_Section, frozen=True, kw_only=True):
    """One stretch of the protocol: a regular train, its first spike at the phase's start."""

    name: Text
    rate_hz: NotNegative
    duration_s: Positive


class Protocol(_Section, frozen=True, kw_only=True):
    """Drive one chip neuron through phases; owned by the neuron's site."""

    neuron: NeuronId
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)]


class Experiment(_Section, frozen=True, kw_only=True):
    """The whole of `experiment.toml`."""

    schema_version: Literal[1]
    name: Text
    neurons: Annotated[tuple[Neuron, ...], Meta(min_length=1)]
    synapses: tuple[Synapse, ...] = ()
    protocol: Protocol | None = None

    def neuron(self, neuron_id: int) -> Neuron:
        """Return the neuron with this id. Raises KeyError if there is none."""
        for neuron in self.neurons:
            if neuron.id == neuron_id:
                return neuron
        raise KeyError(neuron_id)


def experiment_hash(experiment: Experiment) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of the parsed experiment.

    Defaults are filled in and keys sorted, so the hash does not depend on how the file was laid
    out: equal hashes mean equal experiments.
    """
    canonical = msgspec.json.encode(experiment, order="sorted")
    return hashlib.sha256(canonical).hexdigest()
