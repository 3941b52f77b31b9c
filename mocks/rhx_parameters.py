"""RHX's parameters: names, values allowed, defaults, and when they may be set.

Source: Intan RHX 3.4, remote TCP control and stimulation parameters.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

_BOOLEAN = ("True", "False")


class WhenSettable(Enum):
    """A parameter's restriction; the value is the text RHX sends after its name."""

    ALWAYS = ""
    NEVER = "cannot be changed once software has started."
    STOPPED = "cannot be set while controller is running."
    NOT_RECORDING = "cannot be set while controller is recording."


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. Without `choices` and `limits` it takes any text."""

    name: str
    default: str
    choices: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    is_integer: bool = False
    when: WhenSettable = WhenSettable.ALWAYS

    def parse(self, text: str) -> str | None:
        """Return the value as RHX will report it, or None if it is not acceptable."""
        if self.choices:
            return next((c for c in self.choices if c.lower() == text.lower()), None)
        if self.limits is None:
            return text
        try:
            value = int(text) if self.is_integer else float(text)
        except ValueError:
            return None
        return f"{value:g}" if self.limits[0] <= value <= self.limits[1] else None

    @property
    def acceptable(self) -> str:
        """Return the list that follows `Acceptable:` in the error text."""
        if self.limits is not None:
            return f"[ {self.limits[0]:g} , {self.limits[1]:g} ]"
        return "".join(f"{choice};" for choice in self.choices)


class ParameterSet:
    """The present values of a group of parameters, by name in any case."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._parameters = {p.name.lower(): p for p in parameters}
        self._values = {name: p.default for name, p in self._parameters.items()}

    def find(self, name: str) -> Parameter | None:
        """Return a parameter's description, or None."""
        return self._parameters.get(name.lower())

    def put(self, name: str, value: str) -> None:
        """Store a value that was parsed before."""
        self._values[name.lower()] = value

    def text(self, name: str) -> str:
        """Return a value as RHX reports it."""
        return self._values[name.lower()]

    def number(self, name: str) -> float:
        """Return a value as a number."""
        return float(self._values[name.lower()])

    def is_true(self, name: str) -> bool:
        """Return whether a boolean is set."""
        return self._values[name.lower()] == "True"


def _boolean(
    name: str, default: bool = False, when: WhenSettable = WhenSettable.ALWAYS
) -> Parameter:
    return Parameter(name, str(default), _BOOLEAN, when=when)


def _number(
    name: str,
    default: str,
    low: float,
    high: float,
    when: WhenSettable = WhenSettable.ALWAYS,
    is_integer: bool = False,
) -> Parameter:
    return Parameter(name, default, limits=(low, high), when=when, is_integer=is_integer)


def global_parameters(sample_rate_hz: float, stim_step: str) -> list[Parameter]:
    """Return the parameters of the whole controller, an RHS stimulation/recording controller."""
    never, stopped, idle = WhenSettable.NEVER, WhenSettable.STOPPED, WhenSettable.NOT_RECORDING
    formats = ("Traditional", "OneFilePerSignalType", "OneFilePerChannel")
    kinds = ("Bessel", "Butterworth")
    latencies = ("Highest", "High", "Medium", "Low", "Lowest")
    return [
        Parameter("Type", "ControllerStimRecord", when=never),
        Parameter("SampleRateHertz", f"{sample_rate_hz:g}", when=never),
        Parameter("StimStepSizeMicroAmps", stim_step, when=never),
        Parameter("Version", "3.4.0", when=never),
        _boolean("Synthetic", when=never),
        _boolean("Playback", when=never),
        _boolean("UploadInProgress", when=never),
        _boolean("HeadstagePresent", default=True, when=never),
        _number("TCPNumberDataBlocksPerWrite", "10", 1, 100, stopped, is_integer=True),
        _boolean("AbsoluteThresholdsEnabled", default=True),
        _number("RmsMultipleThreshold", "4", 3, 20),
        _boolean("ArtifactSuppressionEnabled", default=True),
        _number("ArtifactSuppressionThresholdMicroVolts", "2500", 0, 10_000, is_integer=True),
        _boolean("UseMedianReference", when=stopped),
        Parameter("NotchFilterFreqHertz", "None", ("None", "50", "60"), when=idle),
        Parameter("HighpassFilterType", "Bessel", kinds, when=idle),
        Parameter("LowpassFilterType", "Bessel", kinds, when=idle),
        _number("HighpassFilterOrder", "2", 1, 8, idle, is_integer=True),
        _number("LowpassFilterOrder", "2", 1, 8, idle, is_integer=True),
        _number("HighpassFilterCutoffFreqHertz", "250", 0, 20_000, idle),
        _number("LowpassFilterCutoffFreqHertz", "250", 0, 20_000, idle),
        _number("DesiredLowerBandwidthHertz", "0.1", 0.1, 500, stopped),
        _number("DesiredUpperBandwidthHertz", "7500", 100, 20_000, stopped),
        Parameter("FileFormat", "Traditional", formats, when=stopped),
        Parameter("WriteToDiskLatency", "Highest", latencies, when=stopped),
        _number("NewSaveFilePeriodMinutes", "1", 1, 999, stopped, is_integer=True),
        Parameter("Note1", "", when=idle),
        Parameter("Note2", "", when=idle),
        Parameter("Note3", "", when=idle),
        Parameter("Filename.Path", "", when=stopped),
        Parameter("Filename.BaseFilename", "", when=stopped),
        _number("DesiredImpedanceFreqHertz", "1000", 0, 7500),
        _boolean("ImpedancesHaveBeenMeasured", when=never),
        Parameter("ImpedanceFilename.Path", "", when=stopped),
        Parameter("ImpedanceFilename.BaseFilename", "", when=stopped),
    ]


def port_parameters(n_amplifier_channels: int) -> list[Parameter]:
    """Return the parameters of one port, all of them for reading."""
    text, never = str(n_amplifier_channels), WhenSettable.NEVER
    return [
        Parameter("NumberAmplifierChannels", text, when=never),
        Parameter("NumberChannels", text, when=never),
    ]


def channel_parameters(native_name: str) -> list[Parameter]:
    """Return the parameters of one amplifier channel, outputs and stimulation."""
    return [
        Parameter("NativeChannelName", native_name, when=WhenSettable.NEVER),
        Parameter("CustomChannelName", native_name),
        _boolean("Enabled", default=True),
        _boolean("TCPDataOutputEnabled"),
        _boolean("TCPDataOutputEnabledLow"),
        _boolean("TCPDataOutputEnabledHigh"),
        _boolean("TCPDataOutputEnabledSpike"),
        _boolean("TCPDataOutputEnabledDC"),
        _boolean("TCPDataOutputEnabledStim"),
        _number("SpikeThresholdMicroVolts", "-70", -5000, 5000, is_integer=True),
        *_stim_parameters(),
    ]


def _stim_parameters() -> list[Parameter]:
    sources = (
        *(f"DigitalIn{i:02d}" for i in range(1, 17)),
        *(f"AnalogIn{i:02d}" for i in range(1, 9)),
        *(f"KeyPressF{i}" for i in range(1, 9)),
    )
    shapes = ("Biphasic", "BiphasicWithInterphaseDelay", "Triphasic")
    return [
        _boolean("StimEnabled"),
        Parameter("Shape", "Biphasic", shapes),
        Parameter("Polarity", "NegativeFirst", ("NegativeFirst", "PositiveFirst")),
        Parameter("Source", "DigitalIn01", sources),
        Parameter("TriggerEdgeOrLevel", "Edge", ("Edge", "Level")),
        Parameter("TriggerHighOrLow", "High", ("High", "Low")),
        Parameter("PulseOrTrain", "SinglePulse", ("SinglePulse", "PulseTrain")),
        _number("NumberOfStimPulses", "2", 0, 256, is_integer=True),
        _number("FirstPhaseDurationMicroseconds", "100", 0, 5000),
        _number("SecondPhaseDurationMicroseconds", "100", 0, 5000),
        _number("InterphaseDelayMicroseconds", "100", 0, 5000),
        _number("FirstPhaseAmplitudeMicroAmps", "0", 0, 2550),
        _number("SecondPhaseAmplitudeMicroAmps", "0", 0, 2550),
        _number("PostTriggerDelayMicroseconds", "0", 0, 500_000),
        _number("PulseTrainPeriodMicroseconds", "10000", 0, 1_000_000),
        _number("RefractoryPeriodMicroseconds", "1000", 0, 1_000_000),
        _boolean("EnableAmpSettle", default=True),
        _boolean("MaintainAmpSettle"),
        _number("PreStimAmpSettleMicroseconds", "0", 0, 500_000),
        _number("PostStimAmpSettleMicroseconds", "1000", 0, 500_000),
        _boolean("EnableChargeRecovery"),
        _number("PostStimChargeRecovOnMicroseconds", "0", 0, 1_000_000),
        _number("PostStimChargeRecovOffMicroseconds", "0", 0, 1_000_000),
    ]
