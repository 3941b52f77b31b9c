"""Where sites, neurons and devices stand in the picture of the network. No Qt in here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PlacedNeuron:
    """A neuron; coordinates are 0 to 1 of the picture."""

    neuron: int
    name: str
    site: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class PlacedSynapse:
    """A synapse: from a neuron through a device to a neuron."""

    synapse: int
    name: str
    device: str
    site: str
    pre: int
    post: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class NetworkLayout:
    """Everything placed. `sites` are (name, left edge, right edge)."""

    sites: tuple[tuple[str, float, float], ...]
    neurons: Mapping[int, PlacedNeuron]
    synapses: tuple[PlacedSynapse, ...]


def lay_out(experiment: Mapping[str, Any]) -> NetworkLayout:
    """Place sites as columns side by side; in each its neurons and devices from the top down.

    Sites that host most synapses stand in the middle, so that arrows go outwards and back.
    """
    neurons, synapses = experiment["neurons"], experiment["synapses"]
    names = _ordered_sites(neurons, synapses)
    width = 1.0 / max(1, len(names))
    sites = tuple((name, i * width, (i + 1) * width) for i, name in enumerate(names))
    placed_neurons: dict[int, PlacedNeuron] = {}
    placed_synapses: list[PlacedSynapse] = []
    for name, left, right in sites:
        ours = [n for n in neurons if n["site"] == name]
        hosted = [s for s in synapses if s["site"] == name]
        has_both = bool(ours) and bool(hosted)
        x_neuron = left + (right - left) * (0.28 if has_both else 0.5)
        x_device = left + (right - left) * (0.72 if has_both else 0.5)
        for n, y in zip(ours, _spread(len(ours)), strict=True):
            placed_neurons[n["id"]] = PlacedNeuron(n["id"], n["name"], name, x_neuron, y)
        for s, y in zip(hosted, _spread(len(hosted)), strict=True):
            placed_synapses.append(
                PlacedSynapse(
                    s["id"], s["name"], s["device"], name, s["pre"], s["post"], x_device, y
                )
            )
    return NetworkLayout(sites, placed_neurons, tuple(placed_synapses))


def _ordered_sites(
    neurons: Sequence[Mapping[str, Any]], synapses: Sequence[Mapping[str, Any]]
) -> list[str]:
    names = sorted({n["site"] for n in neurons} | {s["site"] for s in synapses})
    n_hosted = {name: sum(s["site"] == name for s in synapses) for name in names}
    order: list[str] = []
    for index, name in enumerate(sorted(names, key=lambda name: (n_hosted[name], name))):
        order.insert(len(order) // 2 if index else 0, name)
    return order


def _spread(n: int) -> list[float]:
    return [(i + 1) / (n + 1) for i in range(n)]
