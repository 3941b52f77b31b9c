"""What may be done to a stopped amplifier: another waveform, an impedance check. Pure.

Both are asked of the Gate, and both only while nothing may move. A waveform must be one that every
later trigger would be permitted; a measurement passes current through tissue, if little.
"""

from dataclasses import asdict

from app.safety.inputs import ImpedanceBody, PatternBody, UpkeepAsked, real, text, whole
from app.safety.profiles import ActuatorProfile, StimulatorProfile
from app.safety.quantity import amount
from app.safety.requests import Refusal, RefusalReason
from app.safety.state import Arming, GateState
from app.safety.stimulation_limits import describe_pattern, judge_pattern
from drivers.mea.protocol import CurrentPulse, Pattern
from drivers.permit import MeasureImpedance, Upkeep, UploadPattern

MAX_FREQUENCY_HZ = 10_000.0


def record_upkeep(instrument: str, deed: Upkeep, who: str, reason: str) -> UpkeepAsked:
    """Return the record of what is asked, whatever is in it."""
    body: PatternBody | ImpedanceBody
    if isinstance(deed, MeasureImpedance):
        body = ImpedanceBody(frequency_hz=real(deed.frequency_hz))
    else:
        pulse = asdict(deed.pattern.pulse)
        is_negative_first = pulse.pop("is_negative_first") is True
        n_pulses = whole(pulse.pop("n_pulses"))
        body = PatternBody(
            pattern_id=whole(deed.pattern.pattern_id),
            channels=tuple(map(text, deed.pattern.channels)),
            is_negative_first=is_negative_first,
            n_pulses=n_pulses,
            **{name: real(value) for name, value in pulse.items()},
        )
    return UpkeepAsked(instrument=text(instrument), deed=body, who=text(who), reason=text(reason))


def read_upkeep(asked: UpkeepAsked) -> Upkeep | Refusal:
    """Return what was asked, or the refusal of one with a number that is none."""
    body = asked.deed
    for field in body.__struct_fields__:
        value = getattr(body, field)
        if isinstance(value, str):
            return Refusal(
                RefusalReason.MALFORMED,
                f"{asked.instrument}: {field} is {value}, allowed are finite plain numbers; "
                "correct the caller",
            )
    if isinstance(body, ImpedanceBody):
        return MeasureImpedance(float(body.frequency_hz))
    pulse = CurrentPulse(
        first_amplitude_a=float(body.first_amplitude_a),
        first_duration_s=float(body.first_duration_s),
        second_amplitude_a=float(body.second_amplitude_a),
        second_duration_s=float(body.second_duration_s),
        interphase_s=float(body.interphase_s),
        is_negative_first=body.is_negative_first,
        n_pulses=int(body.n_pulses),
        period_s=float(body.period_s),
    )
    return UploadPattern(Pattern(int(body.pattern_id), body.channels, pulse))


def describe_upkeep(asked: UpkeepAsked, profile: ActuatorProfile | None) -> str:
    """Return what would be done, in words, for the audit."""
    deed = read_upkeep(asked)
    if isinstance(deed, MeasureImpedance):
        return f"impedance of every electrode at {deed.frequency_hz:g} Hz"
    if isinstance(deed, UploadPattern) and isinstance(profile, StimulatorProfile):
        return f"upload {describe_pattern(deed.pattern, profile.electrode_area_um2)}"
    return repr(asked.deed)


def rule_upkeep(
    asked: UpkeepAsked, profile: ActuatorProfile | None, arming: Arming
) -> Upkeep | Refusal:
    """Return what may be done to an amplifier now, or why not.

    Anybody who armed before did not know of it, so it is done while disarmed only.
    """
    if arming.state is not GateState.DISARMED:
        return Refusal(
            RefusalReason.WRONG_STATE,
            f"{asked.instrument}: state {arming.state} ({arming.reason}), allowed while disarmed; "
            "disarm first",
        )
    if not isinstance(profile, StimulatorProfile):
        return Refusal(
            RefusalReason.UNKNOWN_INSTRUMENT,
            f"{asked.instrument}: not an amplifier that reaches tissue, allowed are those that "
            "stimulate; correct the name",
        )
    if not (asked.who.strip() and asked.reason.strip()):
        return Refusal(
            RefusalReason.NO_NAME,
            f"{asked.instrument}: without a name or a reason, allowed with both; say who and why",
        )
    deed = read_upkeep(asked)
    refusal: Refusal | None = None
    if isinstance(deed, MeasureImpedance):
        refusal = _refuse_frequency(asked.instrument, deed.frequency_hz)
    elif isinstance(deed, UploadPattern):
        refusal = _refuse_pattern(asked.instrument, deed.pattern, profile)
    return refusal or deed


def _refuse_pattern(who: str, pattern: Pattern, profile: StimulatorProfile) -> Refusal | None:
    prepared = profile.patterns.get(pattern.pattern_id)
    if prepared is not None and prepared.channels == pattern.channels:
        return judge_pattern(who, pattern, profile.limits, profile.electrode_area_um2)
    listed = {number: " ".join(p.channels) for number, p in sorted(profile.patterns.items())}
    return Refusal(
        RefusalReason.UNKNOWN_TARGET,
        f"{who}: pattern {pattern.pattern_id} on {' '.join(pattern.channels)}, allowed are the "
        f"site file's patterns on their own electrodes {listed}; change the site file for others",
    )


def _refuse_frequency(who: str, frequency_hz: float) -> Refusal | None:
    if 0 < frequency_hz <= MAX_FREQUENCY_HZ:
        return None
    return Refusal(
        RefusalReason.MALFORMED,
        f"{who}: impedance at {amount(frequency_hz, 'Hz')}, allowed above 0 to "
        f"{amount(MAX_FREQUENCY_HZ, 'Hz')}; correct the frequency",
    )
