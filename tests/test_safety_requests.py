"""Whether a request may be judged at all: its form, its cause, its age, its instrument."""

import math

import msgspec
import pytest

from app.config.limits import StimulationLimits
from app.core.spikes import Provenance
from app.safety.audit import DeliveryOutcome, first_difference, verify_chain
from app.safety.deliveries import MAX_UNREPORTED
from app.safety.inputs import from_record, real, text, to_record, whole
from app.safety.replay import replay
from app.safety.requests import Cause, CauseKind, RefusalReason, Request
from drivers.permit import DriveNeuron, Permit, Stimulate
from tests.test_gate_rig import DEVICE, MS, SECOND, armed_rig, chip, stimulator

EVENT = DriveNeuron(7, 1)


def test_unknown_instruments_and_targets():
    rig = armed_rig()
    assert rig.reason(EVENT, instrument="nothing") is RefusalReason.UNKNOWN_INSTRUMENT
    assert rig.reason(Stimulate(9)) is RefusalReason.UNKNOWN_TARGET
    assert rig.reason(EVENT, instrument="mea") is RefusalReason.UNKNOWN_TARGET
    assert rig.reason(Stimulate(1), instrument="smu") is RefusalReason.UNKNOWN_TARGET
    assert rig.reason(Stimulate(1), instrument="chip") is RefusalReason.UNKNOWN_TARGET


@pytest.mark.parametrize(
    ("age_ns", "deadline_ns", "expected"),
    [
        (0, 200 * MS, None),
        (200 * MS, 200 * MS, None),
        (200 * MS + 1, 200 * MS, RefusalReason.LATE),
        (-1, 200 * MS, RefusalReason.LATE),
        (None, 200 * MS, RefusalReason.LATE),
        (0, None, RefusalReason.LATE),
        (math.nan, 200 * MS, RefusalReason.MALFORMED),
        (0, math.nan, RefusalReason.MALFORMED),
    ],
)
def test_the_age_of_a_psp(age_ns, deadline_ns, expected):
    rig = armed_rig()
    assert rig.reason(EVENT, age_bound_ns=age_ns, deadline_ns=deadline_ns) is expected


def test_waiting_here_counts_to_the_age():
    rig = armed_rig()
    made_ns = rig.now_ns
    rig.now_ns += 100 * MS
    rig.renew()
    words = {"made_ns": made_ns, "deadline_ns": 200 * MS}
    assert rig.reason(EVENT, age_bound_ns=100 * MS, **words) is None
    assert rig.reason(EVENT, age_bound_ns=100 * MS + 1, **words) is RefusalReason.LATE
    assert rig.reason(EVENT, made_ns=rig.now_ns, age_bound_ns=0) is None
    assert rig.reason(EVENT, made_ns=rig.now_ns + 1, age_bound_ns=0) is RefusalReason.LATE


@pytest.mark.parametrize("kind", [CauseKind.RULE, CauseKind.PROTOCOL, CauseKind.OPERATOR])
def test_what_is_no_psp_needs_no_deadline_and_keeps_one_it_has(kind):
    rig = armed_rig()
    assert rig.reason(EVENT, kind=kind, age_bound_ns=None, deadline_ns=None) is None
    late = {"age_bound_ns": 2, "deadline_ns": 1}
    assert rig.reason(EVENT, kind=kind, **late) is RefusalReason.LATE


def test_a_stale_link_refuses_its_site_alone():
    rig = armed_rig()
    assert rig.reason(EVENT, site="zurich") is None
    rig.gate.lease_lost("link:zurich", "cut", rig.now_ns)
    refusal = rig.ask(EVENT, site="zurich")
    assert refusal.reason is RefusalReason.LINK_STALE
    assert "500 ms" in refusal.sentence
    assert rig.reason(EVENT) is None
    unknown = rig.ask(EVENT, site="nowhere")
    assert unknown.reason is RefusalReason.LINK_STALE
    assert "sites with a link" in unknown.sentence


def test_a_live_culture_refuses_what_is_simulated_unless_its_owner_says_otherwise():
    live = armed_rig(stimulator(provenance=Provenance.LIVE))
    assert live.reason(Stimulate(1), provenance=Provenance.LIVE) is None
    assert live.reason(Stimulate(2), provenance=Provenance.MOCK) is RefusalReason.PROVENANCE
    open_one = armed_rig(stimulator(provenance=Provenance.LIVE, accepts_simulated=True))
    assert open_one.reason(Stimulate(1), provenance=Provenance.MOCK) is None


@pytest.mark.parametrize("bad", ["word", 7, None])
def test_words_that_are_none(bad):
    rig = armed_rig()
    assert rig.reason(EVENT, kind=bad) is RefusalReason.MALFORMED
    assert rig.reason(EVENT, provenance=bad) is RefusalReason.MALFORMED


@pytest.mark.parametrize("bad", [math.nan, 1.5, "5", True, 2**64])
@pytest.mark.parametrize("field", ["synapse", "made_ns", "age_bound_ns", "deadline_ns"])
def test_numbers_that_are_none(field, bad):
    assert armed_rig().reason(EVENT, **{field: bad}) is RefusalReason.MALFORMED


def test_a_queue_length_that_is_none():
    assert armed_rig().reason(EVENT, queue_length=math.nan) is RefusalReason.MALFORMED


@pytest.mark.parametrize("action", ["stimulate", None, 3, object()])
def test_what_is_no_action(action):
    rig = armed_rig()
    assert rig.reason(action, instrument="chip") is RefusalReason.MALFORMED
    assert rig.rows[-1].verdict == "refusal"


def test_every_request_has_a_row_that_says_who_why_and_what():
    rig = armed_rig()
    rig.ask(Stimulate(1), detail="spike 17", site="zurich")
    rig.ask(Stimulate(9))
    permitted, refused = rig.rows
    assert permitted.kind == "request"
    assert (permitted.number, permitted.instrument, permitted.synapse) == (1, "mea", 5)
    assert permitted.cause == "psp from zurich (mock): spike 17"
    assert permitted.action.startswith("pattern 1 on A-000: 1 x -2 uA 200 us, then 2 uA 200 us; ")
    assert permitted.action.endswith("400 pC per phase, 0.5658 C/m2")
    assert (permitted.verdict, permitted.reason, permitted.sentence) == ("permit", "", "")
    assert (refused.number, refused.verdict, refused.reason) == (2, "refusal", "unknown target")
    assert refused.sentence
    assert refused.previous == permitted.chain
    assert permitted.limits_version == rig.gate.snapshot().limits_version


def test_what_became_of_a_permit_is_a_row_of_its_own():
    rig = armed_rig()
    permit = rig.ask(EVENT)
    rig.gate.record_delivery(permit.number, DeliveryOutcome.UNCONFIRMED, "no reply", rig.now_ns)
    rig.gate.record_delivery(99, DeliveryOutcome.DELIVERED, "", rig.now_ns)
    row, stray = rig.rows[1:]
    assert (row.kind, row.number, row.instrument, row.verdict) == (
        "delivery",
        1,
        "chip",
        "unconfirmed",
    )
    assert row.sentence == "no reply"
    assert (stray.reason, stray.instrument, stray.action) == ("unknown permit", "", "")
    assert rig.gate.snapshot().n_unreported == 0


def test_permits_that_nobody_reports_are_given_up_after_a_thousand():
    limits = msgspec.structs.replace(chip().limits, max_per_second=10_000, reason="r",
                                     confirmed_by="c")  # fmt: skip
    rig = armed_rig(chip(limits=limits))
    for _ in range(MAX_UNREPORTED):
        assert isinstance(rig.ask(EVENT), Permit)
    seen = rig.gate.snapshot()
    assert (seen.n_unreported, seen.n_given_up) == (MAX_UNREPORTED, 0)
    rig.ask(EVENT)
    seen = rig.gate.snapshot()
    assert (seen.n_unreported, seen.n_given_up) == (MAX_UNREPORTED, 1)


def some_rows():
    rig = armed_rig()
    for n in range(5):
        rig.ask(DriveNeuron(7, n))
        rig.ask(DriveNeuron(9, n))
    return rig


def test_the_chain_shows_what_was_changed_taken_out_or_put_in():
    rows = some_rows().rows
    assert verify_chain(rows) is None
    assert verify_chain([]) is None
    changed = [*rows[:3], msgspec.structs.replace(rows[3], verdict="permit"), *rows[4:]]
    fault = verify_chain(changed)
    assert (fault.index, fault.number) == (3, 4)
    assert "changed after it was written" in fault.sentence
    assert "one is missing" in verify_chain(rows[:2] + rows[3:]).sentence
    assert verify_chain(rows[1:]).index == 0
    assert verify_chain(rows[1:], previous=rows[0].chain) is None


def test_a_replay_comes_to_the_same_or_says_where_not():
    rig = some_rows()
    again = replay(rig.inputs, "padova", rig.profiles, rig.leases)
    assert again == rig.rows
    assert first_difference(rig.rows, again) is None
    other = [*again[:2], msgspec.structs.replace(again[2], reason="rate"), *again[3:]]
    assert first_difference(rig.rows, other).startswith("audit row 2, request 3: reason was ''")
    assert "10 audit rows were recorded, 9 came" in first_difference(rig.rows, again[:-1])


def test_counters_say_how_often_and_why():
    rig = armed_rig()
    rig.ask(EVENT)
    rig.ask(DriveNeuron(9, 1))
    seen = rig.gate.snapshot()
    assert (seen.n_requests, seen.n_permits) == (2, 1)
    assert seen.n_refusals == (("unknown target", 1),)
    assert "allowed are its neurons [7, 8]" in seen.last_refusal


def test_records_keep_what_came_and_read_back_what_it_was():
    rig = armed_rig()
    rig.ask(EVENT)
    rig.gate.set_limits_end(rig.now_ns + SECOND, rig.now_ns)
    rig.gate.freeze("smu", DEVICE, 1, "stuck", rig.now_ns)
    rig.gate.arm_forming(
        "ada", "new", "smu", DEVICE, rig.now_ns, rig.now_ns + SECOND, is_operator=True
    )
    for kind, body, _ in rig.inputs:
        event = from_record(kind, body)
        assert to_record(event) == (kind, body)
    with pytest.raises(msgspec.ValidationError):
        from_record("nothing", {})


def test_numbers_and_texts_as_they_are_recorded():
    assert whole(5) == 5
    assert whole(True) == "True"
    assert whole(2**63 - 1) == 2**63 - 1
    assert whole(-(2**63)) == -(2**63)
    assert whole(2**63) == "a number of 64 bits"
    assert real(1) == 1.0
    assert real(math.inf) == "inf"
    assert real(10**400) == "a number beyond all floats"
    assert real("1") == "'1'"
    assert text("a\ud800") == "a\\ud800"
    assert len(text("x" * 1000)) == 500
    assert text(5) == "5"


def test_a_request_without_a_verdict_is_a_no():
    """No path leads there; should one ever, nothing moves."""
    from app.safety.decision import Decision

    rig = armed_rig()
    refusal = rig.gate._verdict(Decision(), lambda: False)
    assert refusal.reason is RefusalReason.DISARMED


def test_limits_of_the_profile_are_those_in_force():
    tight = armed_rig(stimulator(limits=StimulationLimits(max_current_a=1e-6)))
    assert tight.reason(Stimulate(1)) is RefusalReason.CURRENT


def test_an_operator_s_request_of_our_own_is_not_spike_caused():
    rig = armed_rig(stimulator(limits=StimulationLimits(max_remote_per_second=1)))
    for kind in (CauseKind.OPERATOR, CauseKind.PROTOCOL):
        assert rig.reason(Stimulate(1), kind=kind) is None
        rig.now_ns += 10 * MS
    assert rig.reason(Stimulate(1), kind=CauseKind.PSP) is None
    rig.now_ns += 10 * MS
    assert rig.reason(Stimulate(1), kind=CauseKind.PSP) is RefusalReason.REMOTE_RATE


def test_a_request_is_what_its_cause_says():
    cause = Cause(CauseKind.OPERATOR, "padova", None, Provenance.MOCK, "ada")
    rig = armed_rig()
    request = Request("chip", EVENT, cause, rig.now_ns, None, None)
    assert isinstance(rig.gate.request(request, rig.now_ns), Permit)
