"""From patterns to RHX's stimulation parameters, with every conflict that RHX keeps to itself.

RHX shows inconsistent stimulation parameters only as a warning in its window and clips amplitudes
beyond 255 steps, so all of that is refused here, before a byte leaves.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from drivers.errors import InstrumentProtocolError, SafetyLimitError
from drivers.mea.intan_rhx.wire import N_KEYS
from drivers.mea.protocol import CurrentPulse, Pattern

MAX_STEPS = 255
MAX_PHASE_S = 5000e-6
MAX_PERIOD_S = 1.0
MAX_PULSES = 256
MAX_IMBALANCE = 0.01
POST_SETTLE_US = 1000.0
REFRACTORY_US = 1000.0
"""Both RHX's defaults; the refractory period must not be shorter than the settling."""
_SMALL = 1e-9


def keys_of(patterns: Sequence[Pattern], stim_channels: Sequence[str]) -> dict[int, str]:
    """Return, by pattern id, the key that triggers it.

    Raises
    ------
    SafetyLimitError
        More than eight patterns, an electrode on two of them, or one that is not watched.
    """
    if len(patterns) > N_KEYS:
        raise SafetyLimitError(
            f"RHX: {len(patterns)} patterns, at most {N_KEYS} keys (F1 to F8); leave some out"
        )
    ids = Counter(p.pattern_id for p in patterns)
    uses = Counter(c for p in patterns for c in p.channels)
    twice = [f"pattern {i}" for i, n in ids.items() if n > 1]
    twice += [f"channel {c}" for c, n in uses.items() if n > 1]
    if twice:
        raise SafetyLimitError(
            f"RHX: {', '.join(twice)} given twice; an electrode has one parameter set and one key"
        )
    strange = sorted(set(uses) - set(stim_channels))
    if strange:
        raise SafetyLimitError(
            f"RHX: {', '.join(strange)}: not among the stimulation channels that are watched"
        )
    if any(not p.channels for p in patterns):
        raise SafetyLimitError("RHX: a pattern without channels")
    return {p.pattern_id: f"F{i + 1}" for i, p in enumerate(patterns)}


def parameters_of(pulse: CurrentPulse, key: str, step_a: float) -> dict[str, str]:
    """Return the parameters of a channel, in RHX's names and units.

    Raises
    ------
    SafetyLimitError
        A value is not one that RHX carries out exactly, or the phases do not cancel to 1 %.
    """
    _check(pulse)
    has_delay = pulse.interphase_s > 0
    return {
        "StimEnabled": "True",
        "Source": f"KeyPress{key}",
        "TriggerEdgeOrLevel": "Edge",
        "TriggerHighOrLow": "High",
        "Shape": "BiphasicWithInterphaseDelay" if has_delay else "Biphasic",
        "Polarity": "NegativeFirst" if pulse.is_negative_first else "PositiveFirst",
        "PulseOrTrain": "PulseTrain" if pulse.n_pulses > 1 else "SinglePulse",
        "NumberOfStimPulses": str(max(2, pulse.n_pulses)),
        "PulseTrainPeriodMicroseconds": _us(pulse.period_s),
        "FirstPhaseDurationMicroseconds": _us(pulse.first_duration_s),
        "SecondPhaseDurationMicroseconds": _us(pulse.second_duration_s),
        "InterphaseDelayMicroseconds": _us(pulse.interphase_s),
        "FirstPhaseAmplitudeMicroAmps": _ua(pulse.first_amplitude_a, step_a),
        "SecondPhaseAmplitudeMicroAmps": _ua(pulse.second_amplitude_a, step_a),
        "PostTriggerDelayMicroseconds": "0",
        "RefractoryPeriodMicroseconds": f"{REFRACTORY_US:g}",
        "EnableAmpSettle": "True",
        "MaintainAmpSettle": "False",
        "PreStimAmpSettleMicroseconds": "0",
        "PostStimAmpSettleMicroseconds": f"{POST_SETTLE_US:g}",
        "EnableChargeRecovery": "False",
        "PostStimChargeRecovOnMicroseconds": "0",
        "PostStimChargeRecovOffMicroseconds": "0",
    }


def step_a(text: str) -> float:
    """Return the current of one step in amperes from RHX's `StimStepSizeMicroAmps`.

    Raises
    ------
    InstrumentProtocolError
        It is not a number: at "Min" and "Max" a step is not known well enough to stimulate with.
    """
    digits = text.lower().removesuffix("ua").strip()
    try:
        value_ua = float(digits)
    except ValueError:
        value_ua = math.nan
    if not (0 < value_ua <= 10):
        raise InstrumentProtocolError(
            f"RHX: stimulation step {text!r}; choose 0.01 to 10 uA in RHX's start dialog"
        )
    return value_ua * 1e-6


def differences(wanted: Mapping[str, str], told: Mapping[str, str]) -> list[str]:
    """Return where what RHX holds is not what was set; numbers are compared as numbers."""
    return [
        f"{name} is {told.get(name)!r} instead of {value}"
        for name, value in wanted.items()
        if not _is_same(value, told.get(name, ""))
    ]


def _check(pulse: CurrentPulse) -> None:
    in_phase = f"allowed above 0 to {MAX_PHASE_S * 1e6:g} us"
    for what, value_s in (("first", pulse.first_duration_s), ("second", pulse.second_duration_s)):
        if not (0 < value_s <= MAX_PHASE_S):
            raise SafetyLimitError(f"RHX: {what} phase {value_s * 1e6:g} us, {in_phase}")
    if not (0 <= pulse.interphase_s <= MAX_PHASE_S):
        raise SafetyLimitError(f"RHX: interphase {pulse.interphase_s * 1e6:g} us, {in_phase}")
    if not (1 <= pulse.n_pulses <= MAX_PULSES):
        raise SafetyLimitError(f"RHX: {pulse.n_pulses} pulses, allowed 1 to {MAX_PULSES}")
    one_s = pulse.first_duration_s + pulse.interphase_s + pulse.second_duration_s
    if not (one_s <= pulse.period_s <= MAX_PERIOD_S):
        raise SafetyLimitError(
            f"RHX: period {pulse.period_s * 1e6:g} us, allowed {one_s * 1e6:g} us to 1 s"
        )
    first_c, second_c = pulse.first_charge_c, pulse.second_charge_c
    if not (abs(first_c - second_c) <= MAX_IMBALANCE * max(first_c, second_c)):
        raise SafetyLimitError(
            f"RHX: phases of {first_c * 1e9:g} and {second_c * 1e9:g} nC do not cancel to "
            f"{MAX_IMBALANCE:.0%}; RHX does not balance them"
        )


def _us(duration_s: float) -> str:
    """Return whole microseconds; RHX has no finer time."""
    value = duration_s * 1e6
    if not (abs(value - round(value)) < 1e-3):
        raise SafetyLimitError(f"RHX: {value!r} us, allowed whole microseconds")
    return str(round(value))


def _ua(amplitude_a: float, one_step_a: float) -> str:
    n_steps = amplitude_a / one_step_a
    if not (abs(n_steps - round(n_steps)) < 1e-3 and 1 <= round(n_steps) <= MAX_STEPS):
        raise SafetyLimitError(
            f"RHX: {amplitude_a * 1e6:g} uA is {n_steps:g} steps of {one_step_a * 1e6:g} uA, "
            f"allowed whole steps from 1 to {MAX_STEPS}; choose another step size in RHX"
        )
    return f"{round(n_steps) * one_step_a * 1e6:.6g}"


def _is_same(wanted: str, told: str) -> bool:
    try:
        return math.isclose(float(wanted), float(told), rel_tol=1e-6, abs_tol=_SMALL)
    except ValueError:
        return wanted.lower() == told.lower()
