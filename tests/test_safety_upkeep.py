"""What may be done to a stopped amplifier: by whom, when, and what is judged by afterwards."""

import math
from dataclasses import replace

import pytest

from app.safety.audit import DeliveryOutcome
from app.safety.decider import Decider
from app.safety.deliveries import MAX_UNREPORTED
from app.safety.inputs import from_record
from app.safety.profiles import PlaybackProfile
from app.safety.requests import RefusalReason
from drivers.errors import SafetyLimitError
from drivers.mea.protocol import Pattern
from drivers.permit import MeasureImpedance, Permit, Stimulate, UploadPattern
from tests.test_gate_rig import LEASES, MS, PULSE, SECOND, Rig, armed_rig, stimulator

IMPEDANCE = MeasureImpedance(1000.0)
WEAKER = replace(PULSE, first_amplitude_a=1e-6, second_amplitude_a=1e-6)


def upload(pattern_id=1, channels=("A-000",), **changes):
    return UploadPattern(Pattern(pattern_id, channels, replace(WEAKER, **changes)))


def disarmed_rig(*profiles) -> Rig:
    rig = Rig(*profiles)
    assert rig.gate.boot_done(rig.now_ns) is None
    return rig


def ask(rig, deed, *, instrument="mea", who="ada", reason="test"):
    return rig.gate.request_upkeep(instrument, deed, who, reason, rig.now_ns)


@pytest.mark.parametrize("deed", [IMPEDANCE, upload()])
def test_permitted_while_disarmed_and_audited_before(deed):
    rig = disarmed_rig()
    permit = ask(rig, deed)
    assert isinstance(permit, Permit)
    (row,) = rig.rows
    assert (row.kind, row.verdict, row.instrument) == ("request", "permit", "mea")
    assert "ada: test" in row.cause
    assert permit.spend("mea") == deed
    rig.gate.record_delivery(permit.number, DeliveryOutcome.DELIVERED, "", rig.now_ns)
    assert rig.rows[-1].action == row.action
    assert rig.gate.snapshot().n_permits == 1


def test_the_audit_says_what_current_and_charge_would_flow():
    rig = disarmed_rig()
    ask(rig, IMPEDANCE)
    assert rig.rows[-1].action == "impedance of every electrode at 1000 Hz"
    ask(rig, upload())
    assert "upload pattern 1 on A-000: 1 x -1 uA 200 us" in rig.rows[-1].action
    ask(rig, upload(), instrument="smu")
    assert "PatternBody" in rig.rows[-1].action


@pytest.mark.parametrize("state", ["boot", "armed", "tripped"])
def test_in_no_other_state(state):
    rig = armed_rig() if state == "armed" else Rig() if state == "boot" else disarmed_rig()
    if state == "tripped":
        rig.gate.trip("a fault", rig.now_ns)
    refusal = ask(rig, IMPEDANCE)
    assert refusal.reason is RefusalReason.WRONG_STATE
    assert "disarm first" in refusal.sentence
    assert rig.rows[-1].verdict == "refusal"
    assert rig.gate.snapshot().last_refusal == refusal.sentence


def test_the_permit_is_void_once_the_site_is_armed_or_tripped():
    rig = disarmed_rig()
    permit = ask(rig, IMPEDANCE)
    assert rig.arm() is None
    with pytest.raises(SafetyLimitError, match="tripped"):
        permit.spend("mea")
    rig = disarmed_rig()
    permit = ask(rig, IMPEDANCE)
    rig.gate.emergency_stop("ada", rig.now_ns)
    with pytest.raises(SafetyLimitError, match="tripped"):
        permit.spend("mea")


def test_the_permit_lives_20_ms():
    rig = disarmed_rig()
    permit = ask(rig, IMPEDANCE)
    assert permit.expires_ns == rig.now_ns + 20 * MS
    rig.now_ns += 20 * MS + 1
    with pytest.raises(SafetyLimitError, match="expired"):
        permit.spend("mea")


@pytest.mark.parametrize(
    ("deed", "words", "reason"),
    [
        (IMPEDANCE, {"instrument": "smu"}, RefusalReason.UNKNOWN_INSTRUMENT),
        (IMPEDANCE, {"instrument": "nobody"}, RefusalReason.UNKNOWN_INSTRUMENT),
        (IMPEDANCE, {"who": " "}, RefusalReason.NO_NAME),
        (IMPEDANCE, {"reason": ""}, RefusalReason.NO_NAME),
        (MeasureImpedance(0.0), {}, RefusalReason.MALFORMED),
        (MeasureImpedance(-1000.0), {}, RefusalReason.MALFORMED),
        (MeasureImpedance(10_001.0), {}, RefusalReason.MALFORMED),
        (MeasureImpedance(math.nan), {}, RefusalReason.MALFORMED),
        (upload(first_amplitude_a=math.nan), {}, RefusalReason.MALFORMED),
        (upload(n_pulses="2"), {}, RefusalReason.MALFORMED),
        (upload(9), {}, RefusalReason.UNKNOWN_TARGET),
        (upload(1, ("A-001",)), {}, RefusalReason.UNKNOWN_TARGET),
        (upload(first_amplitude_a=4e-6, second_amplitude_a=4e-6), {}, RefusalReason.CURRENT),
        (upload(second_amplitude_a=2e-6), {}, RefusalReason.BALANCE),
        (upload(is_negative_first=False), {}, RefusalReason.POLARITY),
    ],
)
def test_refused(deed, words, reason):
    rig = disarmed_rig()
    refusal = ask(rig, deed, **words)
    assert refusal.reason is reason
    assert refusal.sentence
    assert rig.rows[-1].reason == reason


def test_a_recording_is_no_amplifier():
    rig = disarmed_rig(PlaybackProfile("tape"))
    assert ask(rig, IMPEDANCE, instrument="tape").reason is RefusalReason.UNKNOWN_INSTRUMENT


def test_highest_frequency_is_permitted():
    assert isinstance(ask(disarmed_rig(), MeasureImpedance(10_000.0)), Permit)


@pytest.mark.parametrize(
    ("outcome", "is_taken"),
    [
        (DeliveryOutcome.DELIVERED, True),
        (DeliveryOutcome.DRY_RUN, True),
        (DeliveryOutcome.UNCONFIRMED, False),
        (DeliveryOutcome.NOT_DELIVERED, False),
    ],
)
def test_a_waveform_counts_once_it_was_uploaded(outcome, is_taken):
    rig = disarmed_rig()
    before = rig.gate.snapshot().limits_version
    permit = ask(rig, upload())
    assert rig.gate.snapshot().limits_version == before, "not yet"
    rig.gate.record_delivery(permit.number, outcome, "", rig.now_ns)
    assert (rig.gate.snapshot().limits_version != before) is is_taken
    assert rig.arm() is None
    trigger = rig.ask(Stimulate(1))
    assert isinstance(trigger, Permit)
    assert ("1 x -1 uA" in rig.rows[-1].action) is is_taken
    ((_, _, (dose,)),) = rig.doses
    assert dose.charge_c == pytest.approx(200e-12 if is_taken else 400e-12)


def test_an_upload_that_nobody_reports_is_given_up():
    rig = disarmed_rig()
    before = rig.gate.snapshot().limits_version
    first = ask(rig, upload())
    for _ in range(MAX_UNREPORTED):
        ask(rig, IMPEDANCE)
    rig.gate.record_delivery(first.number, DeliveryOutcome.DELIVERED, "", rig.now_ns)
    assert rig.gate.snapshot().limits_version == before
    assert rig.gate.snapshot().n_given_up == 1


def test_deciding_the_recorded_inputs_again_gives_the_same_audit():
    rig = disarmed_rig()
    permit = ask(rig, upload())
    rig.gate.record_delivery(permit.number, DeliveryOutcome.DELIVERED, "", rig.now_ns)
    ask(rig, MeasureImpedance(math.nan))
    rig.arm()
    rig.ask(Stimulate(1))
    again = Decider("padova", rig.profiles, LEASES)
    rows = [again.apply(from_record(kind, body), now_ns).row for kind, body, now_ns in rig.inputs]
    assert [row for row in rows if row is not None] == rig.rows


def test_no_request_of_a_spike_can_ask_for_it():
    rig = armed_rig(stimulator(), leases=LEASES)
    assert rig.reason(IMPEDANCE, instrument="mea") is RefusalReason.MALFORMED
    assert rig.reason(upload(), instrument="mea") is RefusalReason.MALFORMED
    rig.now_ns += SECOND
