"""What of an engine does not change while it runs: instruments, limits, network; for consoles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from app.config.amplifiers import (
    Amplifier,
    IntanRhxAmplifier,
    OpenEphysAmplifier,
    PlaybackAmplifier,
)
from app.config.experiment import Experiment
from app.config.site import Site
from app.core.spikes import Provenance

MAX_DEVICES = 400
"""More would not fit into one frame; the number of all is said."""
NO_IMPEDANCE = {
    OpenEphysAmplifier: "The Open Ephys GUI offers no impedance check over its remote port: use "
    "the panel of the acquisition board there.",
    PlaybackAmplifier: "A recording has no electrodes: there is nothing to measure.",
}
NO_FOLDER = (
    "RHX tells impedances in a file only. Name a folder for it in site.toml: "
    '[amplifiers.impedance] folder = "impedances"'
)


@dataclass(frozen=True, slots=True)
class Described:
    """What a description is made of."""

    site: Site
    experiment: Experiment | None
    provenance: Mapping[str, Provenance]
    """By instrument."""
    n_channels: int
    sample_rate_hz: float
    loop_latency_edges_s: tuple[float, ...]


def describe(parts: Described) -> dict[str, Any]:
    """Return the site and the experiment as plain values."""
    site = parts.site
    described = {
        "site": site.site,
        "operators": [operator.name for operator in site.operators],
        "peers": [peer.site for peer in site.peers],
        "amplifiers": [_amplifier(a, parts) for a in site.amplifiers],
        "smus": _smus(site, parts),
        "chips": [
            {
                "name": chip.name,
                "provenance": parts.provenance[chip.name].value,
                "neurons": list(chip.neurons),
                "max_per_second": chip.limits.max_per_second,
            }
            for chip in site.chips
        ],
        "loop_latency_edges_s": parts.loop_latency_edges_s,
        "experiment": None if parts.experiment is None else _experiment(parts.experiment),
    }
    plain: dict[str, Any] = msgspec.to_builtins(described)
    return plain


def _amplifier(amplifier: Amplifier, parts: Described) -> dict[str, Any]:
    stimulation: dict[str, Any] = {"limits": None, "electrode_area_um2": None}
    impedance: dict[str, Any] = {"why_not": NO_IMPEDANCE.get(type(amplifier), "")}
    if isinstance(amplifier, IntanRhxAmplifier):
        area_um2 = amplifier.electrode_area_um2
        stimulation = {"limits": amplifier.limits, "electrode_area_um2": area_um2}
        if amplifier.impedance is None:
            impedance = {"why_not": NO_FOLDER}
        else:
            limits = amplifier.impedance
            impedance |= {
                "frequency_hz": limits.frequency_hz,
                "min_ohm": limits.min_ohm,
                "max_ohm": limits.max_ohm,
            }
    return {
        "name": amplifier.name,
        "provenance": parts.provenance[amplifier.name].value,
        "n_channels": parts.n_channels,
        "sample_rate_hz": parts.sample_rate_hz,
        "detection": amplifier.detection,
        "neurons": {n.channel: n.neuron for n in amplifier.neurons},
        "patterns": amplifier.patterns,
        **stimulation,
        "impedance": impedance,
    }


def _smus(site: Site, parts: Described) -> list[dict[str, Any]]:
    smus = []
    for smu in site.smus:
        devices = [
            {
                "name": device.name,
                "wordline": device.wordline,
                "bitline": device.bitline,
                "window_ohm": (device.limits.window_min_ohm, device.limits.window_max_ohm),
                "budget_pulses": device.limits.budget_pulses,
            }
            for device in smu.devices[:MAX_DEVICES]
        ]
        smus.append(
            {
                "name": smu.name,
                "provenance": parts.provenance[smu.name].value,
                "n_devices": len(smu.devices),
                "devices": devices,
            }
        )
    return smus


def _experiment(experiment: Experiment) -> dict[str, Any]:
    return {
        "name": experiment.name,
        "neurons": experiment.neurons,
        "synapses": experiment.synapses,
        "protocol": experiment.protocol,
    }
