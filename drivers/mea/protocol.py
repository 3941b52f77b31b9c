"""What MEA amplifiers can do for us: deliver samples, trigger prepared patterns, measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from drivers.permit import Permit
from drivers.safe_state import SafeReport


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """What the columns of a block mean; constant from `open()` to `close()`.

    `channel_names` are the amplifier's own ("A-010"), in column order.
    """

    channel_names: tuple[str, ...]
    sample_rate_hz: float
    microvolts_per_count: float

    @property
    def n_channels(self) -> int:
        """Get the number of columns of a block."""
        return len(self.channel_names)


@dataclass(frozen=True, slots=True)
class StimMark:
    """Our own stimulus as the amplifier's stream shows it: current began to flow here."""

    sample_index: int
    channel: int
    amplitude_a: float
    """Signed current of the first phase, as the stream reports it; nan where it does not."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """Gapless samples from one read.

    `samples` is int16, `(n_samples, n_channels)`, read-only, so threads may share it.
    `first_sample` counts samples since acquisition start (64 bit, never wraps); `n_lost` samples
    are missing between the end of the previous block and this one; -1 says that the counter went
    backwards or restarted, so that the number is not known.
    """

    samples: npt.NDArray[np.int16]
    first_sample: int
    n_lost: int
    received_ns: int
    """Host CLOCK_MONOTONIC when the last byte of the block was read."""
    stimuli: tuple[StimMark, ...] = ()
    repeats: tuple[StimMark, ...] = ()
    """Where current changed later in a stimulus that was told: the later pulses of a train, a phase
    after a pause, the end of a long phase. An artefact each, and no further stimulus."""

    @property
    def end_sample(self) -> int:
        """Get the index of the sample after the last one."""
        return self.first_sample + len(self.samples)


@dataclass(frozen=True, slots=True)
class CurrentPulse:
    """A charge-balanced, biphasic current pulse, or a finite train of them.

    Amplitudes are magnitudes in amperes; the second phase has the opposite sign of the first.
    """

    first_amplitude_a: float
    first_duration_s: float
    second_amplitude_a: float
    second_duration_s: float
    interphase_s: float = 0.0
    is_negative_first: bool = True
    n_pulses: int = 1
    period_s: float = 0.01
    """From pulse to pulse of the train; without meaning for a single pulse."""

    @property
    def first_charge_c(self) -> float:
        """Get the charge of the first phase in coulombs (magnitude)."""
        return self.first_amplitude_a * self.first_duration_s

    @property
    def second_charge_c(self) -> float:
        """Get the charge of the second phase in coulombs (magnitude)."""
        return self.second_amplitude_a * self.second_duration_s

    @property
    def duration_s(self) -> float:
        """Get the length of the whole train in seconds."""
        one_s = self.first_duration_s + self.interphase_s + self.second_duration_s
        return (self.n_pulses - 1) * self.period_s + one_s


@dataclass(frozen=True, slots=True)
class Pattern:
    """A stimulation prepared at the amplifier: the same pulse on several channels at once.

    `channels` are the amplifier's names. A channel belongs to at most one pattern.
    """

    pattern_id: int
    channels: tuple[str, ...]
    pulse: CurrentPulse


class MeaAmplifier(Protocol):
    """An amplifier behind a driver.

    One thread calls `read_block`; one other thread calls everything else. Constructors touch no
    hardware. `open` and `close` change no output except that `close` makes safe first.
    """

    name: str

    @property
    def stream_format(self) -> StreamFormat:
        """Get the format of the blocks; valid after `open`."""

    def open(self) -> None:
        """Connect and learn what the instrument is. Changes no output."""

    def prepare(self, patterns: Sequence[Pattern]) -> None:
        """Upload the patterns, replacing all earlier ones; only while stopped."""

    def start(self) -> None:
        """Start acquisition; blocks follow."""

    def read_block(self, timeout_s: float) -> SampleBlock | None:
        """Return the next block, or None if none came in time (nothing is lost by that)."""

    def stimulate(self, permit: Permit) -> int:
        """Trigger the permitted pattern; return the host time in ns at which its bytes left."""

    def stop(self) -> None:
        """Stop acquisition."""

    def make_safe(self) -> SafeReport:
        """Stop every output, say what was achieved; never raises."""

    def close(self) -> None:
        """Make safe and disconnect; idempotent, never raises."""


@dataclass(frozen=True, slots=True)
class ElectrodeImpedance:
    """One electrode's impedance, as the amplifier states it."""

    channel: str
    magnitude_ohm: float
    phase_deg: float


@dataclass(frozen=True, slots=True)
class ImpedanceCheck:
    """One measurement of all channels that are read; what was not told is not in it."""

    frequency_hz: float
    """At which it was really measured."""
    electrodes: tuple[ElectrodeImpedance, ...]


@runtime_checkable
class MeasuresImpedance(Protocol):
    """An amplifier that can measure its electrodes, while stopped."""

    def prepare_impedance(self, frequency_hz: float) -> float:
        """Make ready to measure at a frequency; return at which it would be. No current flows.

        Raises
        ------
        SafetyLimitError
            Not possible here, or not at this frequency.
        InstrumentError
            The amplifier does not answer as it should.
        """

    def measure_impedance(self, permit: Permit) -> ImpedanceCheck:
        """Measure every electrode at the frequency made ready; it cannot be interrupted.

        Raises
        ------
        SafetyLimitError
            Not made ready, or no valid permit; no current flowed.
        InstrumentError
            Whether all was measured is not known.
        """
