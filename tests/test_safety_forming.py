"""A new device is formed by a named person, under an arm for this one device, or not at all."""

import math

import pytest

from app.config.limits import DeviceLimits
from app.safety.requests import CauseKind, RefusalReason
from drivers.permit import Permit, PulseDevice
from drivers.smu.protocol import DeviceAddress
from tests.test_gate_rig import DEVICE, SECOND, Rig, armed_rig

BY_HAND = {"kind": CauseKind.OPERATOR, "age_bound_ns": None, "deadline_ns": None}
OTHER = DeviceAddress(1, 1)


def forming(amplitude_v=3.5, width_s=1e-3, device=DEVICE, is_forming=True):
    return PulseDevice(device.wordline, device.bitline, amplitude_v, width_s, is_forming)


def arm_forming(rig: Rig, **changes):
    words = {
        "who": "ada",
        "reason": "new chip",
        "instrument": "smu",
        "device": DEVICE,
        "now_ns": rig.now_ns,
        "expires_ns": rig.now_ns + 60 * SECOND,
        "is_operator": True,
    }
    return rig.gate.arm_forming(**{**words, **changes})


def forming_rig() -> Rig:
    rig = armed_rig()
    assert arm_forming(rig) is None
    return rig


def test_a_forming_pulse_needs_its_own_arm_and_then_no_reading():
    rig = armed_rig()
    assert rig.reason(forming(), **BY_HAND) is RefusalReason.FORMING
    assert arm_forming(rig) is None
    rig.read(math.nan)
    permit = rig.ask(forming(), **BY_HAND)
    assert isinstance(permit, Permit)
    assert permit.action.is_forming
    assert rig.rows[-1].action.startswith("forming pulse on m1 (3, 4): 3.5 V")
    assert [d.target for d in rig.doses[-1][2]] == ["m1"]


def test_the_arm_names_one_device():
    rig = forming_rig()
    assert rig.reason(forming(device=OTHER), **BY_HAND) is RefusalReason.FORMING
    assert arm_forming(rig, device=OTHER) is None
    assert rig.reason(forming(), **BY_HAND) is RefusalReason.FORMING
    assert rig.reason(forming(device=OTHER), **BY_HAND) is None


@pytest.mark.parametrize("amplitude_v", [4.0, -4.0])
def test_up_to_its_limit_and_not_beyond(amplitude_v):
    assert forming_rig().reason(forming(amplitude_v), **BY_HAND) is None
    beyond = math.nextafter(amplitude_v, math.copysign(math.inf, amplitude_v))
    assert forming_rig().reason(forming(beyond), **BY_HAND) is RefusalReason.AMPLITUDE
    assert forming_rig().reason(forming(0.0), **BY_HAND) is RefusalReason.AMPLITUDE


def test_width_pace_and_budget_bind_it_too():
    rig = forming_rig()
    assert rig.reason(forming(width_s=0.02), **BY_HAND) is RefusalReason.WIDTH
    assert rig.reason(forming(), **BY_HAND) is None
    assert rig.reason(forming(), **BY_HAND) is RefusalReason.INTERVAL
    spent = Rig()
    spent.gate.note_past("smu", "m1", 0, DeviceLimits().budget_pulses, 0.0)
    spent.gate.boot_done(spent.now_ns)
    assert spent.arm() is None
    assert arm_forming(spent) is None
    assert spent.reason(forming(), **BY_HAND) is RefusalReason.BUDGET


@pytest.mark.parametrize(
    "cause", [{"kind": CauseKind.RULE}, {"kind": CauseKind.PSP}, {"site": "zurich"}]
)
def test_no_spike_and_no_other_site_forms(cause):
    rig = forming_rig()
    words = {**BY_HAND, "age_bound_ns": 0, "deadline_ns": SECOND, **cause}
    assert rig.reason(forming(), **words) is RefusalReason.FORMING


def test_an_ordinary_pulse_stays_within_ordinary_limits_under_a_forming_arm():
    rig = forming_rig()
    assert rig.reason(forming(is_forming=False), **BY_HAND) is RefusalReason.AMPLITUDE
    assert rig.reason(forming(1.5, is_forming=False), **BY_HAND) is None


@pytest.mark.parametrize("bad", [1, "yes", None, math.nan])
def test_neither_forming_nor_not_is_malformed(bad):
    assert forming_rig().reason(forming(is_forming=bad), **BY_HAND) is RefusalReason.MALFORMED


def test_it_ends_by_time():
    rig = armed_rig()
    assert arm_forming(rig, expires_ns=rig.now_ns + 1) is None
    assert rig.reason(forming(), **BY_HAND) is None
    rig.now_ns += 1
    refusal = rig.ask(forming(), **BY_HAND)
    assert refusal.reason is RefusalReason.FORMING
    assert "after the end of the forming arm of ada" in refusal.sentence


@pytest.mark.parametrize("how", ["disarm", "trip", "stop"])
def test_it_ends_with_the_arming(how):
    rig = forming_rig()
    if how == "disarm":
        rig.gate.disarm("bob", "test", rig.now_ns)
    else:
        end = rig.gate.trip if how == "trip" else rig.gate.emergency_stop
        end("test", rig.now_ns)
        assert rig.gate.acknowledge_trip("bob", rig.now_ns) is None
    assert rig.arm() is None
    assert rig.reason(forming(), **BY_HAND) is RefusalReason.FORMING


REFUSED = [
    ({"who": " "}, RefusalReason.NO_NAME),
    ({"reason": ""}, RefusalReason.NO_NAME),
    ({"is_operator": False}, RefusalReason.NOT_ENTITLED),
    ({"device": DeviceAddress(9, 9)}, RefusalReason.UNKNOWN_TARGET),
    ({"instrument": "mea"}, RefusalReason.UNKNOWN_TARGET),
    ({"expires_ns": math.nan}, RefusalReason.EXPIRY),
    ({"expires_ns": 0}, RefusalReason.EXPIRY),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_who_may_not_arm_it(changes, reason):
    rig = armed_rig()
    assert arm_forming(rig, **changes).reason is reason
    assert rig.reason(forming(), **BY_HAND) is RefusalReason.FORMING


def test_it_outlasts_what_does_not_concern_it():
    rig = forming_rig()
    rig.gate.set_block("hash", "they differ", rig.now_ns)
    assert rig.state == "armed"
    assert rig.reason(forming(), **BY_HAND) is None


def test_how_long():
    rig = armed_rig()
    assert arm_forming(rig, expires_ns=rig.now_ns).reason is RefusalReason.EXPIRY
    longest = rig.now_ns + 600 * SECOND
    assert arm_forming(rig, expires_ns=longest + 1).reason is RefusalReason.EXPIRY
    assert arm_forming(rig, expires_ns=longest) is None
    short = Rig()
    short.gate.boot_done(short.now_ns)
    assert short.arm(expires_ns=short.now_ns + 10 * SECOND) is None
    at_end = short.now_ns + 10 * SECOND
    assert arm_forming(short, expires_ns=at_end + 1).reason is RefusalReason.EXPIRY
    assert arm_forming(short, expires_ns=at_end) is None


def test_only_under_an_arming_by_a_person():
    rig = Rig()
    rig.gate.boot_done(rig.now_ns)
    assert arm_forming(rig).reason is RefusalReason.WRONG_STATE
    assert rig.arm(by_program=True, is_operator=False) is None
    assert arm_forming(rig).reason is RefusalReason.WRONG_STATE
