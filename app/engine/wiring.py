"""What the configuration says about who is joined to what, as the engine's parts take it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from app.config.about import Culture
from app.config.amplifiers import Amplifier
from app.config.electrode_map import amplifier_positions_um
from app.config.experiment import Experiment
from app.config.site import Site
from app.console.feed import FeedFormat
from app.core.batch_maker import ElectrodeUse
from app.core.detector_settings import DetectorSettings
from app.core.spikes import Provenance
from app.synapse.device_worker import SynapseDevice
from app.synapse.network import SynapseNetwork
from app.synapse.weights import Target
from drivers.mea.protocol import StreamFormat

COLUMN_S = 0.5e-3
COARSE_COLUMN_S = 1e-3
N_CHANNELS_COARSE = 257
"""From so many channels on a console gets columns of twice the length: 4 MB a second of them."""


def targets_of(site: Site) -> dict[int, Target]:
    """Return, by neuron, how each neuron of a site that can be driven is driven."""
    targets: dict[int, Target] = {}
    for amplifier in site.amplifiers:
        for post in {pattern.post for pattern in amplifier.patterns}:
            patterns = [p.pattern_id for p in amplifier.patterns if p.post == post]
            targets[post] = Target(amplifier.name, post, patterns)
    for chip in site.chips:
        for neuron in chip.neurons:
            targets[neuron] = Target(chip.name, neuron)
    return targets


def devices_of(experiment: Experiment | None, site: Site, smu: str) -> dict[int, SynapseDevice]:
    """Return, by synapse, the devices of one source-measure unit that are synapses."""
    if experiment is None:
        return {}
    devices = {d.name: d for s in site.smus if s.name == smu for d in s.devices}
    return {
        synapse.id: SynapseDevice(synapse, devices[synapse.device])
        for synapse in experiment.synapses
        if synapse.site == site.site and synapse.device in devices
    }


def network_of(
    experiment: Experiment | None, site: Site, provenance: Mapping[str, Provenance]
) -> SynapseNetwork | None:
    """Return the synapses that a site hosts, as new; None if it hosts none.

    `provenance` is by instrument.
    """
    if experiment is None or not any(s.site == site.site for s in experiment.synapses):
        return None
    return SynapseNetwork(
        experiment,
        site.site,
        {device.name: provenance[smu.name] for smu in site.smus for device in smu.devices},
        max_wait_ns=round(site.synapses.max_wait_s * 1e9),
        max_waiting=site.synapses.max_waiting_events,
    )


def detector_settings(amplifier: Amplifier, n_channels: int) -> DetectorSettings:
    """Return how spikes are found on an amplifier, and how finely it is shown."""
    detection = amplifier.detection
    return DetectorSettings(
        band_hz=(detection.band_low_hz, detection.band_high_hz),
        n_poles_per_edge=detection.n_poles_per_edge,
        has_common_reference=detection.has_common_reference,
        threshold_sigma=detection.threshold_sigma,
        threshold_uv=detection.threshold_uv,
        channel_threshold_sigma=detection.channel_threshold_sigma,
        polarity=detection.polarity,
        dead_time_s=detection.dead_time_s,
        saturation_uv=detection.saturation_uv,
        max_rate_hz=detection.max_rate_hz,
        coincidence_fraction=detection.coincidence_fraction,
        blank_after_s=detection.blank_after_s,
        blank_after_stimulated_s=detection.blank_after_stimulated_s,
        column_s=COLUMN_S if n_channels < N_CHANNELS_COARSE else COARSE_COLUMN_S,
    )


def electrode_use(amplifier: Amplifier, channel_names: Sequence[str]) -> ElectrodeUse:
    """Return what the columns of the stream stand for.

    Raises
    ------
    ValueError
        A neuron is on a channel that the stream does not have.
    """
    column = {name: index for index, name in enumerate(channel_names)}
    missing = [n.channel for n in amplifier.neurons if n.channel not in column]
    if missing:
        raise ValueError(
            f"amplifier {amplifier.name}: neurons on channels {', '.join(missing)}, which the "
            f"stream does not have (it has {', '.join(channel_names)}); correct site.toml"
        )
    return ElectrodeUse(
        neuron_of_channel={column[n.channel]: n.neuron for n in amplifier.neurons},
        post_of_channel={
            column[channel]: pattern.post
            for pattern in amplifier.patterns
            for channel in pattern.channels
            if channel in column
        },
        stimulated_window_s=amplifier.detection.stimulated_window_s,
    )


def site_numbers(site: Site, experiment: Experiment | None) -> dict[str, int]:
    """Return the number of each site in the live feed."""
    named = set() if experiment is None else {neuron.site for neuron in experiment.neurons}
    return {name: number for number, name in enumerate(sorted(named | {site.site}))}


def feed_format(
    site_file: Path,
    site: Site,
    experiment: Experiment | None,
    stream_format: StreamFormat | None,
) -> FeedFormat:
    """Return what the numbers of this engine's live feed mean. Raises `ConfigError`."""
    names = () if stream_format is None else stream_format.channel_names
    rate_hz = 1.0 if stream_format is None else stream_format.sample_rate_hz
    neurons = () if experiment is None else experiment.neurons
    position_um = np.empty((0, 2))
    if names:
        position_um = amplifier_positions_um(site_file, site.amplifiers[0], names)
    return FeedFormat(
        site=site.site,
        channel_names=names,
        sample_rate_hz=rate_hz,
        microvolts_per_count=1.0 if stream_format is None else stream_format.microvolts_per_count,
        samples_per_column=1,  # detection says it, once it exists
        position_um=position_um.astype(np.float32),
        sites=tuple(site_numbers(site, experiment)),
        neurons=tuple((n.id, n.site, n.name) for n in sorted(neurons, key=lambda n: n.id)),
    )


def metadata_of(site: Site, today: dt.date) -> dict[str, Any]:
    """Return what a recording says about laboratory, cultures and devices, as plain values."""
    cultures = {a.name: a.culture for a in site.amplifiers if a.culture is not None}
    devices = {device.name: device for smu in site.smus for device in smu.devices}

    def aged(culture: Culture) -> dict[str, Any]:
        return {
            **msgspec.to_builtins(culture),
            "days_in_vitro": culture.days_in_vitro(today),
        }

    elsewhere = site.about.culture
    return {
        "about": msgspec.to_builtins(site.about),
        "cultures": {name: aged(culture) for name, culture in cultures.items()},
        "culture_elsewhere": None if elsewhere is None else aged(elsewhere),
        "devices": {
            name: {"wafer": d.wafer, "die": d.die, "wordline": d.wordline, "bitline": d.bitline}
            for name, d in devices.items()
        },
    }
