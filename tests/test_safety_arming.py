"""Who may let things move, since when, and what ends it: each edge of the state machine."""

import math

import pytest

from app.core.spikes import Provenance
from app.safety.gate import Gate
from app.safety.leases import Lease, LeaseNeed, LeaseWatch
from app.safety.profiles import PlaybackProfile
from app.safety.requests import Refusal, RefusalReason
from drivers.errors import SafetyLimitError
from drivers.permit import PERMIT_LIFE_NS, DriveNeuron, Permit
from tests.test_gate_rig import LEASES, MS, SECOND, Rig, armed_rig, chip

WEEK = 7 * 24 * 3600 * SECOND


def disarmed_rig(*profiles, **words) -> Rig:
    rig = Rig(*profiles, **words)
    assert rig.gate.boot_done(rig.now_ns) is None
    return rig


def tripped_rig() -> Rig:
    rig = armed_rig()
    rig.gate.trip("test", rig.now_ns)
    return rig


def reason_of(refusal: Refusal | None) -> RefusalReason | None:
    return None if refusal is None else refusal.reason


# --- from state to state ------------------------------------------------------------------


def test_boot_ends_once_and_before_that_nobody_arms():
    rig = Rig()
    assert rig.state == "boot"
    assert rig.arm().reason is RefusalReason.WRONG_STATE
    assert rig.reason(DriveNeuron(7, 1)) is RefusalReason.BOOT
    assert rig.gate.boot_done(rig.now_ns) is None
    assert rig.state == "disarmed"
    assert rig.gate.boot_done(rig.now_ns).reason is RefusalReason.WRONG_STATE
    assert rig.state == "disarmed"


def test_arming_is_possible_from_disarmed_only():
    rig = armed_rig()
    assert rig.state == "armed"
    assert rig.arm().reason is RefusalReason.WRONG_STATE
    assert rig.state == "armed"
    assert tripped_rig().arm().reason is RefusalReason.WRONG_STATE


def test_a_snapshot_says_who_armed_and_until_when():
    rig = armed_rig()
    seen = rig.gate.snapshot()
    assert (seen.state, seen.who, seen.reason) == ("armed", "ada", "test")
    assert seen.expires_ns == rig.now_ns + 3600 * SECOND
    assert seen.since_ns == rig.now_ns
    assert not seen.is_by_program
    assert {(view.name, view.is_fresh, view.is_needed) for view in seen.leases} == {
        ("console", True, True),
        ("amplifier data", True, True),
        ("link:zurich", True, False),
    }


@pytest.mark.parametrize("who", ["bob", "ada"])
def test_anybody_disarms(who):
    rig = armed_rig()
    rig.gate.disarm(who, "enough", rig.now_ns)
    assert rig.state == "disarmed"
    assert not rig.gate.is_armed
    assert rig.reason(DriveNeuron(7, 1)) is RefusalReason.DISARMED
    assert rig.trips == []


def test_disarming_changes_nothing_where_nothing_is_armed():
    for rig in (Rig(), tripped_rig()):
        was = rig.state
        rig.gate.disarm("bob", "enough", rig.now_ns)
        assert rig.state == was


@pytest.mark.parametrize("how", ["trip", "emergency stop"])
def test_a_trip_is_latched_and_only_a_person_leads_out_of_it_to_disarmed(how):
    rig = armed_rig()
    if how == "trip":
        rig.gate.trip("test", rig.now_ns)
    else:
        rig.gate.emergency_stop("bob", rig.now_ns)
    assert rig.state == "tripped"
    assert rig.trips == ["test" if how == "trip" else "emergency stop"]
    assert rig.gate.snapshot().stop_epoch == (how == "emergency stop")
    rig.pass_time(10 * SECOND)
    assert rig.state == "tripped"
    assert rig.reason(DriveNeuron(7, 1)) is RefusalReason.TRIPPED
    for nobody in ("", "  "):
        assert rig.gate.acknowledge_trip(nobody, rig.now_ns).reason is RefusalReason.NO_NAME
    assert rig.gate.acknowledge_trip("bob", rig.now_ns) is None
    assert rig.state == "disarmed"
    assert rig.gate.acknowledge_trip("bob", rig.now_ns).reason is RefusalReason.WRONG_STATE
    assert rig.gate.snapshot().who == "bob"


def test_a_second_trip_counts_and_changes_no_reason():
    rig = tripped_rig()
    rig.gate.trip("another", rig.now_ns + 1)
    seen = rig.gate.snapshot()
    assert (seen.n_trips, seen.reason, seen.since_ns) == (2, "test", rig.now_ns)
    assert rig.trips == ["test"], "told once"


def test_what_tripped_before_the_boot_was_done_waits_for_it():
    rig = Rig()
    rig.gate.trip("test", rig.now_ns)
    assert rig.gate.acknowledge_trip("bob", rig.now_ns).reason is RefusalReason.WRONG_STATE
    assert rig.gate.boot_done(rig.now_ns) is None
    assert rig.state == "tripped", "the end of the boot is no acknowledgement"
    assert rig.gate.acknowledge_trip("bob", rig.now_ns) is None


# --- who arms, and for how long -----------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"who": " "}, RefusalReason.NO_NAME),
        ({"reason": ""}, RefusalReason.NO_NAME),
        ({"is_operator": False}, RefusalReason.NOT_ENTITLED),
        ({"is_operator": False, "by_program": True}, None),
        ({"expires_ns": math.nan}, RefusalReason.EXPIRY),
        ({"expires_ns": "tomorrow"}, RefusalReason.EXPIRY),
        ({"expires_ns": 2**70}, RefusalReason.EXPIRY),
    ],
)
def test_who_may_arm(changes, expected):
    rig = disarmed_rig()
    assert reason_of(rig.arm(**changes)) is expected
    assert rig.state == ("armed" if expected is None else "disarmed")
    assert rig.gate.is_armed == (expected is None)


@pytest.mark.parametrize(
    ("length_ns", "is_allowed"),
    [(1, True), (WEEK, True), (0, False), (-1, False), (WEEK + 1, False)],
)
def test_how_long(length_ns, is_allowed):
    rig = disarmed_rig()
    refusal = rig.arm(expires_ns=rig.now_ns + length_ns)
    assert reason_of(refusal) is (None if is_allowed else RefusalReason.EXPIRY)


def test_the_shorter_of_signature_and_longest_arming_is_named():
    rig = disarmed_rig()
    for signed_ns, is_named in ((WEEK, False), (WEEK - 1, True)):
        rig.gate.set_limits_end(rig.now_ns + signed_ns, rig.now_ns)
        refusal = rig.arm(expires_ns=rig.now_ns + WEEK + 1)
        assert ("limits override" in refusal.sentence) == is_named


def test_the_end_of_an_arming_is_a_trip():
    rig = disarmed_rig()
    assert rig.arm(expires_ns=rig.now_ns + SECOND) is None
    rig.pass_time(SECOND - 1)
    assert rig.state == "armed"
    rig.now_ns += 1
    rig.renew()
    rig.gate.tick(rig.now_ns)
    assert rig.state == "tripped"
    assert rig.trips == ["the arming expired"]


def test_a_request_at_the_end_finds_it_out_by_itself():
    rig = disarmed_rig()
    assert rig.arm(expires_ns=rig.now_ns + 2 * MS) is None
    rig.now_ns += 2 * MS - 1
    permit = rig.ask(DriveNeuron(7, 1))
    assert permit.expires_ns == rig.now_ns + 1, "no permit outlives the arming"
    rig.now_ns += 1
    assert rig.reason(DriveNeuron(7, 1)) is RefusalReason.ARM_EXPIRED
    assert rig.state == "tripped"


def test_a_block_forbids_arming_and_ends_none():
    rig = disarmed_rig()
    rig.gate.set_block("hash", "the experiments differ", rig.now_ns)
    refusal = rig.arm()
    assert refusal.reason is RefusalReason.BLOCKED
    assert "the experiments differ" in refusal.sentence
    assert rig.gate.snapshot().blocks == (("hash", "the experiments differ"),)
    rig.gate.set_block("hash", None, rig.now_ns)
    rig.gate.set_block("hash", None, rig.now_ns)
    assert rig.arm() is None
    rig.gate.set_block("hash", "they differ again", rig.now_ns)
    assert rig.state == "armed"


def test_a_site_of_playbacks_and_mocks_is_armed_by_program_only_without_a_live_one():
    rig = disarmed_rig(PlaybackProfile("mea"), chip(provenance=Provenance.LIVE))
    assert rig.arm(by_program=True).reason is RefusalReason.NOT_ENTITLED


# --- leases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["console", "amplifier data", "link:zurich"])
@pytest.mark.parametrize("by_program", [False, True])
def test_which_stale_lease_forbids_arming(name, by_program):
    rig = disarmed_rig()
    rig.renew()
    rig.gate.lease_lost(name, "test", rig.now_ns)
    words = {"by_program": by_program, "is_operator": not by_program}
    end_ns = rig.now_ns + SECOND
    refusal = rig.gate.arm("ada", "test", rig.now_ns, end_ns, **words)
    is_needed = name == "amplifier data" or (name == "console" and not by_program)
    assert reason_of(refusal) is (RefusalReason.LEASE_STALE if is_needed else None)
    assert not is_needed or f"{name} is stale" in refusal.sentence


@pytest.mark.parametrize("name", ["console", "amplifier data", "link:zurich"])
@pytest.mark.parametrize("by_program", [False, True])
@pytest.mark.parametrize("how", ["lapse", "loss"])
def test_which_lease_ends_an_arming(name, by_program, how):
    rig = disarmed_rig()
    assert rig.arm(by_program=by_program, is_operator=not by_program) is None
    if how == "loss":
        rig.gate.lease_lost(name, "the window is gone", rig.now_ns)
    else:
        for _ in range(12):
            rig.now_ns += 200 * MS
            for lease in LEASES:
                if lease.name != name:
                    rig.gate.lease_renewed(lease.name, rig.now_ns)
            rig.gate.tick(rig.now_ns)
    is_needed = name == "amplifier data" or (name == "console" and not by_program)
    assert rig.state == ("tripped" if is_needed else "armed")
    if is_needed:
        assert rig.trips[0].startswith(f"{name}: ")


@pytest.mark.parametrize(("lease", "limit_ns"), [(lease.name, lease.limit_ns) for lease in LEASES])
def test_a_lease_lasts_exactly_its_limit(lease, limit_ns):
    rig = armed_rig()
    others = [other for other in LEASES if other.name != lease]
    for at_ns, is_fresh in ((limit_ns, True), (limit_ns + 1, False)):
        now_ns = rig.now_ns + at_ns
        for other in others:
            rig.gate.lease_renewed(other.name, now_ns)
        rig.gate.tick(now_ns)
        fresh = {view.name for view in rig.gate.snapshot().leases if view.is_fresh}
        assert (lease in fresh) == is_fresh


def test_an_older_renewal_that_comes_late_takes_nothing_away():
    watch = LeaseWatch([Lease("console", 10, LeaseNeed.ARMED)])
    assert watch.renew("console", 100)
    assert not watch.renew("console", 95)
    assert watch.lapsed(110) == []
    assert [lease.name for lease in watch.lapsed(111)] == ["console"]
    assert watch.lapsed(200) == [], "told once"
    assert not watch.lose("console")
    assert watch.renew("console", 300)
    assert watch.lose("console")


@pytest.mark.parametrize("call", ["lease_renewed", "lease_lost"])
def test_a_lease_that_is_none(call):
    rig = Rig()
    arguments = ("nothing", rig.now_ns) if call == "lease_renewed" else ("nothing", "x", rig.now_ns)
    with pytest.raises(ValueError, match="lease nothing: not known"):
        getattr(rig.gate, call)(*arguments)


def test_a_console_that_comes_back_does_not_arm():
    rig = armed_rig()
    rig.now_ns += 2001 * MS
    rig.gate.tick(rig.now_ns)
    assert rig.state == "tripped"
    rig.pass_time(SECOND)
    assert rig.state == "tripped"


# --- time -----------------------------------------------------------------------------------


def test_time_does_not_run_backwards():
    rig = armed_rig()
    late_ns = rig.now_ns + 100 * MS
    rig.gate.tick(late_ns)
    rig.gate.trip("test", rig.now_ns)
    assert rig.gate.snapshot().since_ns in (rig.now_ns, late_ns)
    times = [time_ns for _, _, time_ns in rig.inputs]
    assert times == sorted(times)


def test_a_tick_that_changes_nothing_is_not_recorded():
    rig = armed_rig()
    n_inputs = len(rig.inputs)
    rig.gate.tick(rig.now_ns + 1)
    assert len(rig.inputs) == n_inputs


# --- what cannot be recorded ------------------------------------------------------------------


class FullError(Exception):
    pass


def gate_with(rig: Rig, **broken) -> Gate:
    """A second Gate whose callbacks fail when they are told to."""

    def callback(name):
        def call(*_arguments):
            if broken.get(name, {}).get("fails"):
                raise FullError(name)

        return call

    gate = Gate(
        "padova", rig.profiles, (), lambda: rig.now_ns,
        callback("audit"), callback("input"), callback("dose"), rig.trips.append,
    )  # fmt: skip
    gate.boot_done(rig.now_ns)
    end_ns = rig.now_ns + SECOND
    words = {"by_program": False, "is_operator": True}
    assert gate.arm("ada", "test", rig.now_ns, end_ns, **words) is None
    return gate


@pytest.mark.parametrize("name", ["audit", "input", "dose"])
def test_what_cannot_be_recorded_permits_nothing_and_trips(name):
    from app.safety.requests import Cause, CauseKind, Request
    from drivers.permit import Stimulate

    rig = Rig()
    switch = {"fails": False}
    gate = gate_with(rig, **{name: switch})
    cause = Cause(CauseKind.OPERATOR, "padova", None, Provenance.MOCK, "ada")
    request = Request("mea", Stimulate(1), cause, rig.now_ns, None, None)
    permit = gate.request(request, rig.now_ns)
    assert isinstance(permit, Permit)
    switch["fails"] = True
    rig.now_ns += 10 * MS
    with pytest.raises(FullError):
        gate.request(request, rig.now_ns)
    assert gate.snapshot().state == "tripped"
    assert gate.snapshot().reason == "record not writable"
    assert rig.trips == ["record not writable"]
    with pytest.raises(SafetyLimitError, match="tripped"):
        permit.spend("mea")


def test_a_stop_holds_even_if_it_cannot_be_recorded():
    rig = Rig()
    switch = {"fails": False}
    gate = gate_with(rig, input=switch)
    switch["fails"] = True
    with pytest.raises(FullError):
        gate.emergency_stop("bob", rig.now_ns)
    seen = gate.snapshot()
    assert (seen.state, seen.stop_epoch) == ("tripped", 1)
    assert not gate.is_armed


# --- the permit -------------------------------------------------------------------------------


def permit_of(**changes) -> Permit:
    words = {
        "instrument": "chip",
        "action": DriveNeuron(7, 1),
        "number": 1,
        "expires_ns": 100,
        "is_tripped": lambda: False,
        "clock_ns": lambda: 100,
    }
    return Permit(**{**words, **changes})


def test_a_permit_serves_once_and_up_to_its_last_nanosecond():
    permit = permit_of()
    assert permit.spend("chip") == DriveNeuron(7, 1)
    with pytest.raises(SafetyLimitError, match="already spent"):
        permit.spend("chip")


@pytest.mark.parametrize(
    ("changes", "instrument", "says"),
    [
        ({}, "mea", "is for chip, not for this one"),
        ({"is_tripped": lambda: True}, "chip", "the Gate tripped"),
        ({"clock_ns": lambda: 101}, "chip", "expired"),
        ({"clock_ns": lambda: math.nan}, "chip", "expired"),
    ],
)
def test_a_permit_that_was_refused_once_gets_no_second_try(changes, instrument, says):
    permit = permit_of(**changes)
    with pytest.raises(SafetyLimitError, match=says):
        permit.spend(instrument)
    with pytest.raises(SafetyLimitError, match="already spent"):
        permit.spend("chip")


def test_a_spent_permit_can_be_looked_at_again():
    """For a delivery of several messages: nothing moves if the Gate trips between them."""
    rig = armed_rig()
    permit = rig.ask(DriveNeuron(7, 1))
    permit.spend("chip")
    permit.refuse_if_tripped("chip")
    rig.gate.trip("test", rig.now_ns)
    with pytest.raises(SafetyLimitError, match="tripped"):
        permit.refuse_if_tripped("chip")


@pytest.mark.parametrize("end", ["disarm", "trip", "emergency_stop"])
def test_a_young_permit_dies_with_its_arming(end):
    rig = armed_rig()
    permit = rig.ask(DriveNeuron(7, 1))
    assert permit.expires_ns - rig.now_ns == PERMIT_LIFE_NS
    arguments = ("bob", "x", rig.now_ns) if end == "disarm" else ("bob", rig.now_ns)
    getattr(rig.gate, end)(*arguments)
    if end != "disarm":
        rig.gate.acknowledge_trip("bob", rig.now_ns)
    assert rig.arm() is None, "a new arming does not wake it"
    with pytest.raises(SafetyLimitError, match="tripped"):
        permit.spend("chip")
