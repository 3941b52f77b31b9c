"""The stimulator of the simulated RHS controller: uploaded programs, keys, pulses, STIM words.

A program is what an upload took from a channel's parameters. Sample indices count from the start
of the run.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocks.culture_tissue import StimPulse
from mocks.rhx_parameters import ParameterSet
from mocks.rhx_streams import STIM_AMP_SETTLE, STIM_CHARGE_RECOVERY, STIM_NEGATIVE

N_STEPS_MAX = 255


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of a pulse: signed number of current steps, and its length."""

    n_steps: int
    n_samples: int


@dataclass(frozen=True, slots=True)
class StimProgram:
    """One channel's uploaded stimulation; all times in samples."""

    source: str
    is_level: bool
    is_high: bool
    phases: tuple[Phase, ...]
    n_pulses: int
    period: int
    delay: int
    refractory: int
    settle_before: int
    settle_after: int
    is_settle_maintained: bool
    recovery: tuple[int, int]

    @property
    def n_pulse_samples(self) -> int:
        """Return the length of one pulse."""
        return sum(phase.n_samples for phase in self.phases)


@dataclass(frozen=True, slots=True)
class WordSpan:
    """Bits that stand in a channel's STIM word during some samples; `end` is excluded."""

    channel: int
    start: int
    end: int
    bits: int


def program_from(
    parameters: ParameterSet, sample_rate_hz: float, step_a: float
) -> StimProgram | None:
    """Return what an upload makes of a channel's parameters; None if stimulation is off.

    Durations are rounded to samples; amplitudes are rounded to steps and, as by the controller,
    clipped to 255 of them.
    """
    if not parameters.is_true("StimEnabled"):
        return None

    def samples(name: str) -> int:
        return round(parameters.number(name + "Microseconds") * 1e-6 * sample_rate_hz)

    has_settle = parameters.is_true("EnableAmpSettle")
    has_recovery = parameters.is_true("EnableChargeRecovery")
    is_train = parameters.text("PulseOrTrain") == "PulseTrain"
    on, off = samples("PostStimChargeRecovOn"), samples("PostStimChargeRecovOff")
    return StimProgram(
        source=parameters.text("Source").lower(),
        is_level=parameters.text("TriggerEdgeOrLevel") == "Level",
        is_high=parameters.text("TriggerHighOrLow") == "High",
        phases=_phases(
            parameters,
            (samples("FirstPhaseDuration"), samples("InterphaseDelay")),
            samples("SecondPhaseDuration"),
            step_a,
        ),
        n_pulses=int(parameters.number("NumberOfStimPulses")) if is_train else 1,
        period=samples("PulseTrainPeriod"),
        delay=samples("PostTriggerDelay"),
        refractory=samples("RefractoryPeriod"),
        settle_before=samples("PreStimAmpSettle") if has_settle else 0,
        settle_after=samples("PostStimAmpSettle") if has_settle else 0,
        is_settle_maintained=has_settle and parameters.is_true("MaintainAmpSettle"),
        recovery=(on, off) if has_recovery and off > on else (0, 0),
    )


def _phases(
    parameters: ParameterSet, first_and_gap: tuple[int, int], n_second: int, step_a: float
) -> tuple[Phase, ...]:
    n_first, n_gap = first_and_gap
    sign = -1 if parameters.text("Polarity") == "NegativeFirst" else 1

    def steps(name: str) -> int:
        wanted_a = parameters.number(name + "AmplitudeMicroAmps") * 1e-6
        return min(N_STEPS_MAX, round(wanted_a / step_a))

    first = Phase(sign * steps("FirstPhase"), n_first)
    second = Phase(-sign * steps("SecondPhase"), n_second)
    match parameters.text("Shape"):
        case "BiphasicWithInterphaseDelay":
            shape = [first, Phase(0, n_gap), second]
        case "Triphasic":
            shape = [first, second, first]
        case _:
            shape = [first, second]
    return tuple(phase for phase in shape if phase.n_samples)


class Stimulator:
    """Turns keys into pulses and STIM words. One trigger source and one program per channel."""

    def __init__(self, n_channels: int, step_a: float) -> None:
        self.programs: dict[int, StimProgram] = {}
        self._n_channels = n_channels
        self._step_a = step_a
        self._ready_at: dict[int, int] = {}
        self._keys_down: set[str] = set()
        self._pulses: list[StimPulse] = []
        self._spans: list[WordSpan] = []

    def reset(self) -> None:
        """Forget keys and pulses, as when a run ends; uploaded programs stay."""
        self._ready_at.clear()
        self._keys_down.clear()
        self._pulses.clear()
        self._spans.clear()

    def press(self, key: str, sample: int) -> None:
        """Raise a key's line."""
        self._keys_down.add(key)
        self._trigger(key, sample, is_high=True)

    def release(self, key: str, sample: int) -> None:
        """Drop a key's line."""
        self._keys_down.discard(key)
        self._trigger(key, sample, is_high=False)

    def take_pulses(self, first_sample: int, n_samples: int) -> list[StimPulse]:
        """Return the pulses that begin in a block, for all channels; they are then forgotten."""
        self._hold_levels(first_sample, n_samples)
        end = first_sample + n_samples
        due = [p for p in self._pulses if p.first_sample < end]
        self._pulses = [p for p in self._pulses if p.first_sample >= end]
        return due

    def words(self, first_sample: int, n_samples: int) -> NDArray[np.uint16]:
        """Return the STIM words of a block, shape (n_samples, n_channels)."""
        words = np.zeros((n_samples, self._n_channels), dtype=np.uint16)
        for span in self._spans:
            low, high = max(span.start - first_sample, 0), min(span.end - first_sample, n_samples)
            if low < high:
                words[low:high, span.channel] |= np.uint16(span.bits)
        end = first_sample + n_samples
        self._spans = [span for span in self._spans if span.end > end]
        return words

    def _trigger(self, key: str, sample: int, is_high: bool) -> None:
        for channel, program in self.programs.items():
            if program.source == key and program.is_high == is_high:
                self._start(channel, program, sample)

    def _hold_levels(self, first_sample: int, n_samples: int) -> None:
        end = first_sample + n_samples
        for channel, program in self.programs.items():
            is_held = (program.source in self._keys_down) == program.is_high
            if not (program.is_level and is_held and program.source.startswith("keypress")):
                continue
            while (ready := max(self._ready_at.get(channel, first_sample), first_sample)) < end:
                self._start(channel, program, ready)

    def _start(self, channel: int, program: StimProgram, sample: int) -> None:
        """Begin a program, unless the channel is still busy or refractory."""
        if sample < self._ready_at.get(channel, 0):
            return
        first = sample + program.delay
        starts = [first + i * program.period for i in range(program.n_pulses)]
        last_end = (starts[-1] if starts else first) + program.n_pulse_samples
        self._ready_at[channel] = last_end + max(program.refractory, 1)
        for start in starts:
            self._add_pulse(channel, program, start)
        self._add_housekeeping(channel, program, first, last_end)

    def _add_pulse(self, channel: int, program: StimProgram, start: int) -> None:
        phases = tuple((phase.n_steps * self._step_a, phase.n_samples) for phase in program.phases)
        if any(phase.n_steps for phase in program.phases):
            recovers = program.recovery != (0, 0)
            self._pulses.append(StimPulse(start, channel, phases, recovers))
        for phase in program.phases:
            bits = abs(phase.n_steps) | (STIM_NEGATIVE if phase.n_steps < 0 else 0)
            self._spans.append(WordSpan(channel, start, start + phase.n_samples, bits))
            start += phase.n_samples

    def _add_housekeeping(
        self, channel: int, program: StimProgram, first: int, last_end: int
    ) -> None:
        settles = [
            (first - program.settle_before, first),
            (last_end, last_end + program.settle_after),
        ]
        if program.is_settle_maintained:
            settles.append((first, last_end))
        on, off = program.recovery
        self._spans += [WordSpan(channel, a, b, STIM_AMP_SETTLE) for a, b in settles if a < b]
        if on < off:
            span = WordSpan(channel, last_end + on, last_end + off, STIM_CHARGE_RECOVERY)
            self._spans.append(span)


def programs_from(
    channels: Iterable[ParameterSet], sample_rate_hz: float, step_a: float
) -> dict[int, StimProgram]:
    """Return the programs of a full upload, by channel."""
    made = (program_from(p, sample_rate_hz, step_a) for p in channels)
    return {channel: program for channel, program in enumerate(made) if program is not None}
