"""Conflicts inside the amplifiers of a site: patterns, neurons, channels and detection."""

from collections import Counter
from collections.abc import Iterable, Iterator

from app.config.amplifiers import (
    Amplifier,
    IntanRhxAmplifier,
    OpenEphysAmplifier,
    PlaybackAmplifier,
)
from app.config.site import Site


def amplifier_conflicts(site: Site) -> list[str]:
    """Return what cannot be in a site's amplifiers."""
    return [
        f"site {site.site}, amplifier {amplifier.name}: {sentence}"
        for amplifier in site.amplifiers
        for sentence in (
            *_pattern_conflicts(amplifier),
            *_detection_conflicts(amplifier),
            *_channel_conflicts(amplifier),
            *_impedance_conflicts(amplifier),
        )
    ]


def double(sentence: str, names: Iterable[object]) -> list[str]:
    """Return the sentence with each name that comes twice."""
    return [f"{sentence} {name}" for name, n in Counter(names).items() if n > 1]


def _pattern_conflicts(amplifier: Amplifier) -> Iterator[str]:
    yield from double("two patterns have id", [p.pattern_id for p in amplifier.patterns])
    uses = Counter(channel for pattern in amplifier.patterns for channel in pattern.channels)
    for channel, n in uses.items():
        if n > 1:
            yield (
                f"channel {channel} is on two patterns; an electrode has one parameter set and "
                "one key, give each pattern its own electrodes"
            )
    if isinstance(amplifier, OpenEphysAmplifier) and amplifier.patterns:
        yield "the Open Ephys GUI takes no stimuli from us; take the patterns out"


def _detection_conflicts(amplifier: Amplifier) -> Iterator[str]:
    low_hz, high_hz = amplifier.detection.band_low_hz, amplifier.detection.band_high_hz
    if not low_hz < high_hz:
        yield f"band {low_hz:g} to {high_hz:g} Hz, its edges must rise"


def _impedance_conflicts(amplifier: Amplifier) -> Iterator[str]:
    if not isinstance(amplifier, IntanRhxAmplifier) or amplifier.impedance is None:
        return
    limits = amplifier.impedance
    if not limits.min_ohm < limits.max_ohm:
        yield f"impedance {limits.min_ohm:g} to {limits.max_ohm:g} ohm, its limits must rise"


def _channel_conflicts(amplifier: Amplifier) -> Iterator[str]:
    """Nothing may rest on a channel that is excluded, or not there."""
    yield from double("two neurons are on channel", [n.channel for n in amplifier.neurons])
    yield from double("listed twice in bad_channels:", amplifier.bad_channels)
    detection = amplifier.detection
    for channel in sorted(set(detection.threshold_uv) & set(detection.channel_threshold_sigma)):
        yield f"channel {channel} has a threshold in uV and one in sigma"
    for use, channel in _channel_uses(amplifier):
        if channel in amplifier.bad_channels:
            yield f"{use} channel {channel}, which is in bad_channels"
    if isinstance(amplifier, PlaybackAmplifier):
        return  # its recording tells the channels
    yield from double("listed twice:", amplifier.channels)
    bad = [("bad_channels names", channel) for channel in amplifier.bad_channels]
    for use, channel in (*_channel_uses(amplifier), *bad):
        if channel not in amplifier.channels:
            yield f"{use} channel {channel}, which is not in channels"


def _channel_uses(amplifier: Amplifier) -> Iterator[tuple[str, str]]:
    """Yield the beginning of a sentence on each use of a channel, and the channel."""
    for neuron in amplifier.neurons:
        yield f"neuron {neuron.neuron} is on", neuron.channel
    for pattern in amplifier.patterns:
        for channel in pattern.channels:
            yield f"pattern {pattern.pattern_id} uses", channel
    for channel in amplifier.detection.threshold_uv:
        yield "a fixed threshold is set for", channel
    for channel in amplifier.detection.channel_threshold_sigma:
        yield "a threshold in sigma is set for", channel
