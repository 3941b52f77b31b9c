"""What the configuration says about who is joined to what, as the engine's parts take it."""

from collections.abc import Mapping, Sequence

from app.config.experiment import Experiment
from app.config.site import Amplifier, Site
from app.core.acquisition import ElectrodeUse
from app.core.detector import DetectorSettings
from app.core.spikes import Provenance
from app.synapse.device_worker import SynapseDevice
from app.synapse.network import SynapseNetwork
from app.synapse.weights import Target


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


def detector_settings(amplifier: Amplifier) -> DetectorSettings:
    """Return how spikes are found on an amplifier."""
    detection = amplifier.detection
    return DetectorSettings(
        band_hz=(detection.band_low_hz, detection.band_high_hz),
        threshold_sigma=detection.threshold_sigma,
        polarity=detection.polarity,
        dead_time_s=detection.dead_time_s,
        blank_after_s=detection.blank_after_s,
        blank_after_stimulated_s=detection.blank_after_stimulated_s,
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
