"""Everything the Gate decides on, as records: what a session keeps and a replay feeds in again.

A request is turned into its record before it is judged, so that the verdict depends on nothing
that was not written down. Numbers that are none (NaN, infinity, foreign types) become text in the
record, which every JSON writer keeps and every judge refuses.
"""

import math
from collections.abc import Mapping

import msgspec

from app.core.spikes import Provenance
from app.safety.requests import Cause, CauseKind, Refusal, RefusalReason, Request
from drivers.permit import Action, DriveNeuron, PulseDevice, Stimulate

Whole = int | str
Real = float | str
_MAX_TEXT = 500


class _Input(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    pass


class BootDone(_Input, frozen=True, kw_only=True, tag="boot done"):
    """Outputs were read, logged and switched off."""


class Arm(_Input, frozen=True, kw_only=True, tag="arm"):
    """Somebody asks to arm."""

    who: str
    reason: str
    expires_ns: int | None
    """None: what was given was no whole number."""
    by_program: bool
    is_operator: bool


class Disarm(_Input, frozen=True, kw_only=True, tag="disarm"):
    """Somebody disarms."""

    who: str
    reason: str


class Trip(_Input, frozen=True, kw_only=True, tag="trip"):
    """Something is wrong."""

    reason: str


class EmergencyStop(_Input, frozen=True, kw_only=True, tag="emergency stop"):
    """A person here pressed stop: a trip that every site hears of."""

    who: str


class AcknowledgeTrip(_Input, frozen=True, kw_only=True, tag="acknowledge trip"):
    """A person has looked at what tripped."""

    who: str


class LeaseChange(_Input, frozen=True, kw_only=True, tag="lease"):
    """A lease became fresh or stale; renewals in between change nothing."""

    name: str
    is_fresh: bool
    why: str


class Block(_Input, frozen=True, kw_only=True, tag="block"):
    """A condition forbids arming, or (None) no longer does."""

    name: str
    sentence: str | None


class Tick(_Input, frozen=True, kw_only=True, tag="tick"):
    """Time alone changed something."""


class ReadingNoted(_Input, frozen=True, kw_only=True, tag="reading"):
    """A device was read."""

    instrument: str
    wordline: int
    bitline: int
    resistance_ohm: float | None
    """None: not believable (NaN, infinite, zero or negative)."""


class Freeze(_Input, frozen=True, kw_only=True, tag="freeze"):
    """A device did not move, or moved the wrong way."""

    instrument: str
    wordline: int
    bitline: int
    direction: int
    reason: str


class Unfreeze(_Input, frozen=True, kw_only=True, tag="unfreeze"):
    """A person has looked at a frozen device."""

    instrument: str
    wordline: int
    bitline: int
    direction: int
    who: str


class ArmForming(_Input, frozen=True, kw_only=True, tag="arm forming"):
    """Somebody asks for leave to form one device."""

    who: str
    reason: str
    instrument: str
    wordline: int
    bitline: int
    expires_ns: int | None
    is_operator: bool


class PastDose(_Input, frozen=True, kw_only=True, tag="past dose"):
    """What a target received in earlier sessions, up to `time_ns` of this session's clock."""

    instrument: str
    target: str
    time_ns: int
    n_pulses: int
    charge_fc: int


class LimitsUntil(_Input, frozen=True, kw_only=True, tag="limits until"):
    """The limits in force are signed up to this time; no arming goes beyond it."""

    until_ns: int


class StimulateBody(_Input, frozen=True, kw_only=True, tag="stimulate"):
    """`drivers.permit.Stimulate` as recorded."""

    pattern_id: Whole


class PulseBody(_Input, frozen=True, kw_only=True, tag="pulse"):
    """`drivers.permit.PulseDevice` as recorded."""

    wordline: Whole
    bitline: Whole
    amplitude_v: Real
    width_s: Real
    is_forming: bool | str = False


class DriveBody(_Input, frozen=True, kw_only=True, tag="drive"):
    """`drivers.permit.DriveNeuron` as recorded."""

    neuron: Whole
    weight_code: Whole


class OddBody(_Input, frozen=True, kw_only=True, tag="odd"):
    """Something that is no action."""

    text: str


class RequestMade(_Input, frozen=True, kw_only=True, tag="request"):
    """A `Request` as recorded."""

    instrument: str
    action: StimulateBody | PulseBody | DriveBody | OddBody
    cause_kind: str
    cause_site: str
    synapse: Whole | None
    provenance: str
    detail: str
    made_ns: Whole
    age_bound_ns: Whole | None
    deadline_ns: Whole | None
    queue_length: Whole


class PatternBody(_Input, frozen=True, kw_only=True, tag="upload pattern"):
    """`drivers.permit.UploadPattern` as recorded."""

    pattern_id: Whole
    channels: tuple[str, ...]
    first_amplitude_a: Real
    first_duration_s: Real
    second_amplitude_a: Real
    second_duration_s: Real
    interphase_s: Real
    is_negative_first: bool
    n_pulses: Whole
    period_s: Real


class ImpedanceBody(_Input, frozen=True, kw_only=True, tag="measure impedance"):
    """`drivers.permit.MeasureImpedance` as recorded."""

    frequency_hz: Real


class UpkeepAsked(_Input, frozen=True, kw_only=True, tag="upkeep"):
    """A person wants something done to a stopped amplifier."""

    instrument: str
    deed: PatternBody | ImpedanceBody
    who: str
    reason: str


class DeliveryReported(_Input, frozen=True, kw_only=True, tag="delivery"):
    """What became of a permit."""

    number: int
    outcome: str
    detail: str


StateInput = (
    BootDone
    | Arm
    | Disarm
    | Trip
    | EmergencyStop
    | AcknowledgeTrip
    | LeaseChange
    | Block
    | LimitsUntil
    | Tick
)
"""What changes the state or what it may become."""
DeviceInput = ReadingNoted | Freeze | Unfreeze
GateInput = (
    StateInput | DeviceInput | ArmForming | PastDose | RequestMade | DeliveryReported | UpkeepAsked
)


def to_record(event: GateInput) -> tuple[str, dict[str, object]]:
    """Return the kind and the body of an input: plain values that JSON keeps exactly."""
    body: dict[str, object] = msgspec.to_builtins(event)
    return str(body.pop("kind")), body


def from_record(kind: str, body: Mapping[str, object]) -> GateInput:
    """Return the input that `to_record` made. Raises `msgspec.ValidationError` for any other."""
    event: GateInput = msgspec.convert({"kind": kind, **body}, GateInput)
    return event


def whole(value: object) -> Whole:
    """Return a plain int of at most 64 bits, or a text that says what came instead."""
    if type(value) is not int:
        return text(repr(value))
    if not (-(2**63) <= value < 2**63):
        return f"a number of {value.bit_length()} bits"
    return value


def real(value: object) -> Real:
    """Return a finite plain float, or a text that says what came instead."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text(repr(value))
    try:
        number = float(value)
    except OverflowError:
        return "a number beyond all floats"
    return number if math.isfinite(number) else repr(number)


def text(value: object) -> str:
    """Return a text that every writer accepts: valid Unicode, bounded length."""
    cut = value[:_MAX_TEXT] if isinstance(value, str) else repr(value)[:_MAX_TEXT]
    return cut.encode("utf-8", "backslashreplace").decode("utf-8")


def record_request(request: Request, queue_length: int) -> RequestMade:
    """Return the record of a request, whatever is in it."""
    cause = request.cause
    return RequestMade(
        instrument=text(request.instrument),
        action=_record_action(request.action),
        cause_kind=text(cause.kind),
        cause_site=text(cause.site),
        synapse=_whole_or_none(cause.synapse),
        provenance=text(cause.provenance),
        detail=text(cause.detail),
        made_ns=whole(request.made_ns),
        age_bound_ns=_whole_or_none(request.age_bound_ns),
        deadline_ns=_whole_or_none(request.deadline_ns),
        queue_length=whole(queue_length),
    )


def read_request(made: RequestMade) -> tuple[Request, int] | Refusal:
    """Return the request and its queue length, or the refusal of one with a field that is none."""
    if isinstance(made.action, OddBody):
        return _malformed(made.instrument, "action", made.action.text)
    odd = _odd_field(made)
    if odd is not None:
        return _malformed(made.instrument, *odd)
    if made.cause_kind not in _CAUSE_KINDS:
        return _malformed(made.instrument, "cause.kind", made.cause_kind)
    if made.provenance not in _PROVENANCES:
        return _malformed(made.instrument, "cause.provenance", made.provenance)
    cause = Cause(
        kind=CauseKind(made.cause_kind),
        site=made.cause_site,
        synapse=_int_or_none(made.synapse),
        provenance=Provenance(made.provenance),
        detail=made.detail,
    )
    request = Request(
        instrument=made.instrument,
        action=_read_action(made.action),
        cause=cause,
        made_ns=int(made.made_ns),
        age_bound_ns=_int_or_none(made.age_bound_ns),
        deadline_ns=_int_or_none(made.deadline_ns),
    )
    return request, int(made.queue_length)


_CAUSE_KINDS = frozenset(CauseKind)
_PROVENANCES = frozenset(Provenance)
_NUMBERS = ("synapse", "made_ns", "age_bound_ns", "deadline_ns", "queue_length")


def _odd_field(made: RequestMade) -> tuple[str, str] | None:
    for field in made.action.__struct_fields__:
        value = getattr(made.action, field)
        if isinstance(value, str):
            return f"action.{field}", value
    for field in _NUMBERS:
        value = getattr(made, field)
        if isinstance(value, str):
            return field, value
    return None


def _malformed(instrument: str, field: str, found: str) -> Refusal:
    return Refusal(
        RefusalReason.MALFORMED,
        f"{instrument}: {field} is {found}, allowed are finite plain numbers and known words; "
        "correct the caller",
    )


def _record_action(action: object) -> StimulateBody | PulseBody | DriveBody | OddBody:
    if isinstance(action, Stimulate):
        return StimulateBody(pattern_id=whole(action.pattern_id))
    if isinstance(action, PulseDevice):
        return PulseBody(
            wordline=whole(action.wordline),
            bitline=whole(action.bitline),
            amplitude_v=real(action.amplitude_v),
            width_s=real(action.width_s),
            is_forming=_truth(action.is_forming),
        )
    if isinstance(action, DriveNeuron):
        return DriveBody(neuron=whole(action.neuron), weight_code=whole(action.weight_code))
    return OddBody(text=text(repr(action)))


def _read_action(body: StimulateBody | PulseBody | DriveBody) -> Action:
    if isinstance(body, StimulateBody):
        return Stimulate(int(body.pattern_id))
    if isinstance(body, PulseBody):
        return PulseDevice(
            wordline=int(body.wordline),
            bitline=int(body.bitline),
            amplitude_v=float(body.amplitude_v),
            width_s=float(body.width_s),
            is_forming=body.is_forming is True,
        )
    return DriveNeuron(int(body.neuron), int(body.weight_code))


def _truth(value: object) -> bool | str:
    return value if isinstance(value, bool) else text(repr(value))


def _whole_or_none(value: object) -> Whole | None:
    return None if value is None else whole(value)


def _int_or_none(value: Whole | None) -> int | None:
    return None if value is None else int(value)
