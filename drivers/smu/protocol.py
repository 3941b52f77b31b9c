"""What every source-measure unit can do for a synapse: read a device, pulse a device."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from drivers.permit import Permit
from drivers.safe_state import SafeReport


@dataclass(frozen=True, slots=True, order=True)
class DeviceAddress:
    """A crosspoint of the array; both lines count from 1."""

    wordline: int
    bitline: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One resistance as the instrument measured it, at the read voltage that gives it meaning."""

    device: DeviceAddress
    resistance_ohm: float
    read_voltage_v: float
    time_ns: int
    """Host CLOCK_MONOTONIC when the answer was complete."""
    is_limited: bool | None = None
    """The current was at the compliance; None: this instrument does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an instrument can do honestly; its driver refuses what lies outside."""

    model: str
    min_width_s: float
    max_width_s: float
    width_resolution_s: float
    """Widths are whole multiples of it."""
    width_jitter_s: float
    """By how much a width may differ from what was asked: much, without a clock of its own."""
    max_pulse_v: float
    min_compliance_a: float | None
    """None, with `max_compliance_a`: single pulses have no compliance, nothing limits them."""
    max_compliance_a: float | None
    is_measuring_pulses: bool
    """Voltage and current during a pulse come with its outcome."""
    min_step_s: float | None = None
    """Shortest step of a staircase; None: it returns to 0 V after every level."""
    max_steps: int = 0
    """Of a staircase, to its top."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One level of a staircase, as the instrument measured it."""

    voltage_v: float
    current_a: float
    is_limited: bool


@dataclass(frozen=True, slots=True)
class PulseOutcome:
    """What is known after a pulse was sent.

    `after` is None when no believable answer came: the pulse is *unconfirmed*. It may have
    happened; it is counted, shown and never sent again.
    """

    device: DeviceAddress
    sent_ns: int
    after: Reading | None
    detail: str = ""
    pulse_v: float | None = None
    """The voltage during the pulse as the instrument measured it; None: it does not."""
    pulse_a: float | None = None
    """The current near the end of the pulse; None: not measured."""
    is_limited: bool | None = None
    """The current was at the compliance during the pulse; None: this instrument does not say."""
    steps: tuple[Step, ...] = ()
    """Of a staircase, in order: to the top, or to where the compliance was reached, and back."""

    @property
    def is_confirmed(self) -> bool:
        """Say whether the instrument answered."""
        return self.after is not None


@runtime_checkable
class MeasuresOnDemand(Protocol):
    """A unit whose plain pulses measure nothing, and that has others which do."""

    def pulse_measured(self, permit: Permit) -> PulseOutcome:
        """Apply the permitted pulse with compliance and measure in it; raises as `pulse` does."""


@runtime_checkable
class TracesStaircases(Protocol):
    """A unit that goes from level to level without 0 V in between, by its own clock."""

    def staircase(self, permit: Permit, n_steps: int, *, halts: bool) -> PulseOutcome:
        """Deliver the permitted pulse as a staircase, which is nowhere above its amplitude.

        To the amplitude in `n_steps` and back, each an equal part of its width, as near as the
        instrument's own pace comes to it; `halts` turns back where the compliance is reached.
        Raises as `pulse` does.
        """


class SourceMeasureUnit(Protocol):
    """A source-measure unit behind a driver. One thread owns it and makes every call."""

    name: str

    @property
    def capabilities(self) -> Capabilities:
        """Get what it can do honestly. Any thread."""

    def open(self) -> None:
        """Connect and check the answer. Changes no output."""

    def read(self, device: DeviceAddress) -> Reading:
        """Measure the resistance of one device, in ohms, at the configured read voltage."""

    def read_agreed(self, device: DeviceAddress) -> Reading:
        """Measure until two readings in a row agree: for a value that decides something."""

    def pulse(self, permit: Permit) -> PulseOutcome:
        """Apply the permitted pulse and read the device after it.

        Raises `SafetyLimitError` before a byte leaves, or `InstrumentError` if the instrument
        could not be reached at all and so no pulse happened.
        """

    def make_safe(self) -> SafeReport:
        """Put every output to 0 V and off, say what was achieved; never raises."""

    def close(self) -> None:
        """Make safe and disconnect; idempotent, never raises."""
