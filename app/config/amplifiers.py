"""The `[[amplifiers]]` section of `site.toml`: which one, its neurons, detection and patterns."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.config.about import Culture
from app.config.limits import StimulationLimits
from app.config.units import (
    Count,
    Name,
    NeuronId,
    NotNegative,
    PatternId,
    Port,
    Positive,
    Text,
)


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Detection(_Section, frozen=True, kw_only=True):
    """How spikes are found in the amplifier's samples."""

    band_low_hz: Positive = 300.0
    band_high_hz: Positive = 6000.0
    n_poles_per_edge: Annotated[int, Meta(ge=1, le=4)] = 1
    """More than one rings, and detects a large spike a second time."""
    has_common_reference: bool = False
    """Subtract the median of all channels at work from each sample."""
    threshold_sigma: Positive = 5.0
    threshold_uv: dict[str, Positive] = {}
    """Fixed thresholds by channel, in place of `threshold_sigma`."""
    channel_threshold_sigma: dict[str, Positive] = {}
    """Multiples of the noise by channel, in place of `threshold_sigma`."""
    polarity: Literal["neg", "pos", "both"] = "neg"
    dead_time_s: Positive = 1e-3
    saturation_uv: Positive | None = None
    """Where the amplifier pegs; without it at the ends of the stream's range."""
    max_rate_hz: Positive = 300.0
    """A channel with more events than this is suspended for a second, visibly."""
    coincidence_fraction: Annotated[float, Meta(gt=0, le=1)] = 0.6
    """Events on more of the channels at once are artefacts."""
    blank_after_s: NotNegative = 2e-3
    blank_after_stimulated_s: NotNegative = 5e-3
    stimulated_window_s: Positive = 20e-3
    """A spike within this time after a stimulus of its neuron counts as stimulated."""


class ElectrodeNeuron(_Section, frozen=True, kw_only=True):
    """A neuron of the culture, and the channel on which its spikes are taken as its own."""

    neuron: NeuronId
    channel: str


class StimPattern(_Section, frozen=True, kw_only=True):
    """A prepared stimulation. The patterns of one post neuron stand in order, weakest first."""

    pattern_id: PatternId
    post: NeuronId
    channels: Annotated[tuple[str, ...], Meta(min_length=1)]
    first_amplitude_a: Positive
    first_duration_s: Positive
    second_amplitude_a: Positive
    second_duration_s: Positive
    interphase_s: NotNegative = 0.0
    is_negative_first: bool = True
    n_pulses: Count = 1
    period_s: Positive = 0.01


class ImpedanceLimits(_Section, frozen=True, kw_only=True):
    """Which impedances are well, and where RHX writes those that it measures."""

    folder: Text
    """As RHX's computer names it. A relative one lies beside this file: RHX runs here."""
    folder_here: Text | None = None
    """The same folder as this computer names it, where RHX runs on another one."""
    frequency_hz: Annotated[float, Meta(gt=0, le=7500)] = 1000.0
    min_ohm: Positive = 1e3
    """An electrode below is shorted."""
    max_ohm: Positive = 2e6
    """An electrode above is open, or broken."""


class _Amplifier(_Section, frozen=True, kw_only=True):
    name: Name
    neurons: tuple[ElectrodeNeuron, ...] = ()
    detection: Detection = Detection()
    culture: Culture | None = None
    """What grows on the array; goes into every recording."""
    probe: str | None = None
    """File of the electrode map, in probeinterface's format."""
    bad_channels: tuple[str, ...] = ()
    """Neither searched for spikes nor counted, and of no use to a neuron or a pattern."""


class IntanRhxAmplifier(
    _Amplifier,
    frozen=True,
    kw_only=True,
    tag_field="driver",
    tag="intan_rhx",
):
    """An Intan RHS or RHD controller behind the RHX program."""

    host: str
    command_port: Port = 5000
    waveform_port: Port = 5001
    spike_port: Port = 5002
    channels: Annotated[tuple[str, ...], Meta(min_length=1)]
    electrode_area_um2: Positive
    """Geometric area of one electrode: mandatory, charge density needs it."""
    patterns: tuple[StimPattern, ...] = ()
    limits: StimulationLimits = StimulationLimits()
    accepts_simulated: bool = False
    """Let PSPs caused by mock or playback streams stimulate. False on a live culture."""
    impedance: ImpedanceLimits | None = None
    """Without it there is no impedance check: RHX tells the values in a file only."""
    mock: dict[str, str | int | float | bool] = {}
    """Options of the simulated instrument in mock mode."""


class OpenEphysAmplifier(
    _Amplifier,
    frozen=True,
    kw_only=True,
    tag_field="driver",
    tag="open_ephys",
):
    """Any amplifier behind the Open Ephys GUI, through its Falcon Output. It cannot stimulate."""

    host: str
    http_port: Port = 37497
    falcon_port: Port = 3335
    stream: str = ""
    """Which stream, where several pass through the plugin."""
    channels: Annotated[tuple[str, ...], Meta(min_length=1)]
    """Names for the stream's channels, in its order."""
    sample_rate_hz: Positive
    microvolts_per_count: Positive = 0.195
    """The step of the amplifier: bit_volts in the GUI."""
    patterns: tuple[StimPattern, ...] = ()
    """None is possible; `check` says so."""
    mock: dict[str, str | int | float | bool] = {}


class PlaybackAmplifier(
    _Amplifier,
    frozen=True,
    kw_only=True,
    tag_field="driver",
    tag="playback",
):
    """A recording that stands in for an amplifier. It cannot stimulate."""

    folder: str
    """The recording: a folder or a file."""
    reader: str = ""
    """SpikeInterface's name of its format, where the path does not tell it."""
    stream: str = ""
    """Which of several streams in it, where more than one may hold the electrodes."""
    wav_microvolts_per_count: Positive = 1.0
    is_looping: bool = False
    patterns: tuple[StimPattern, ...] = ()
    """Kept so that requests are understood; each is refused."""


Amplifier = IntanRhxAmplifier | OpenEphysAmplifier | PlaybackAmplifier
