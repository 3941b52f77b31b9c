"""What a memristor and a chip neuron may receive."""

import math

import pytest

from app.config.limits import ChipLimits, DeviceLimits
from app.core.spikes import Provenance
from app.safety.chip_limits import ChipJudge
from app.safety.device_limits import LOWER, RAISE, DeviceArrayJudge, direction_of
from app.safety.requests import CauseKind, RefusalReason
from drivers.permit import DriveNeuron, PulseDevice, Stimulate
from drivers.smu.protocol import DeviceAddress
from tests.test_gate_rig import DEVICE, MS, SECOND, Rig, armed_rig, array, chip

RULE = {"kind": CauseKind.RULE, "age_bound_ns": None, "deadline_ns": None}


def pulse(amplitude_v=1.0, width_s=1e-6, device=DEVICE):
    return PulseDevice(device.wordline, device.bitline, amplitude_v, width_s)


def limited(**limits):
    values = {"reason": "test", "confirmed_by": "nobody", **limits}
    return armed_rig(array(devices={DEVICE: ("m1", DeviceLimits(**values))}))


def up(value):
    return math.nextafter(value, math.inf)


@pytest.mark.parametrize("amplitude_v", [1.5, -1.5, 1e-3])
def test_amplitude_within(amplitude_v):
    assert armed_rig().reason(pulse(amplitude_v), **RULE) is None


@pytest.mark.parametrize("amplitude_v", [up(1.5), -up(1.5), 15.0, 0.0, -0.0])
def test_amplitude_beyond_counts_by_magnitude(amplitude_v):
    assert armed_rig().reason(pulse(amplitude_v), **RULE) is RefusalReason.AMPLITUDE


@pytest.mark.parametrize("width_s", [100e-9, 10e-3])
def test_width_within(width_s):
    assert armed_rig().reason(pulse(width_s=width_s), **RULE) is None


@pytest.mark.parametrize("width_s", [math.nextafter(100e-9, 0), up(10e-3), 0.0, -1e-6])
def test_width_beyond(width_s):
    assert armed_rig().reason(pulse(width_s=width_s), **RULE) is RefusalReason.WIDTH


@pytest.mark.parametrize(
    "bad", [math.nan, math.inf, -math.inf, True, "1.0", None, pytest.param(10**400, id="huge")]
)
def test_a_number_that_is_none_is_malformed(bad):
    rig = armed_rig()
    assert rig.reason(pulse(amplitude_v=bad), **RULE) is RefusalReason.MALFORMED
    assert rig.reason(pulse(width_s=bad), **RULE) is RefusalReason.MALFORMED


def test_interval():
    rig = armed_rig()
    assert rig.reason(pulse(), **RULE) is None
    rig.now_ns += MS - 1
    rig.read()
    assert rig.reason(pulse(), **RULE) is RefusalReason.INTERVAL
    rig.read(device=DeviceAddress(1, 1))
    assert rig.reason(pulse(device=DeviceAddress(1, 1)), **RULE) is None
    rig.now_ns += 1
    assert rig.reason(pulse(), **RULE) is None


def test_rate_in_any_second():
    rig = armed_rig()
    for _ in range(10):
        assert rig.reason(pulse(), **RULE) is None
        rig.now_ns += 50 * MS
        rig.renew()
        rig.read()
    assert rig.reason(pulse(), **RULE) is RefusalReason.RATE
    rig.now_ns += 500 * MS - 1
    rig.renew()
    assert rig.reason(pulse(), **RULE) is RefusalReason.RATE
    rig.now_ns += 1
    assert rig.reason(pulse(), **RULE) is None


@pytest.mark.parametrize("is_positive_raising", [True, False])
def test_window_edges_bind_only_the_way_out(is_positive_raising):
    rig = limited(is_positive_raising=is_positive_raising)
    raising = 1.0 if is_positive_raising else -1.0
    limits = DeviceLimits(is_positive_raising=is_positive_raising)
    assert direction_of(raising, limits) == RAISE
    assert direction_of(-raising, limits) == LOWER
    cases = [
        (1e6, raising, RefusalReason.WINDOW),
        (1e6, -raising, None),
        (math.nextafter(1e6, 0), raising, None),
        (1e3, -raising, RefusalReason.WINDOW),
        (1e3, raising, None),
        (up(1e3), -raising, None),
        (2e6, raising, RefusalReason.WINDOW),
        (10.0, -raising, RefusalReason.WINDOW),
    ]
    for resistance_ohm, amplitude_v, expected in cases:
        rig.pass_time(SECOND)
        rig.read(resistance_ohm)
        assert rig.reason(pulse(amplitude_v), **RULE) is expected, (resistance_ohm, amplitude_v)


def test_nothing_is_not_positive():
    assert direction_of(0.0, DeviceLimits()) == LOWER


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -5.0, None, True])
def test_an_unbelievable_reading_voids_the_last_one(bad):
    rig = armed_rig()
    rig.read(bad)
    assert rig.reason(pulse(), **RULE) is RefusalReason.UNREAD


def test_without_a_reading_no_pulse():
    rig = armed_rig()
    never_read = pulse(device=DeviceAddress(1, 1))
    assert rig.reason(never_read, **RULE) is RefusalReason.UNREAD


def test_a_pulse_voids_the_reading_before_it():
    rig = armed_rig()
    assert rig.reason(pulse(), **RULE) is None
    rig.now_ns += 100 * MS
    assert rig.reason(pulse(), **RULE) is RefusalReason.UNREAD
    rig.read()
    assert rig.reason(pulse(), **RULE) is None


def test_a_refused_pulse_voids_nothing():
    rig = armed_rig()
    assert rig.reason(pulse(9.0), **RULE) is RefusalReason.AMPLITUDE
    assert rig.reason(pulse(), **RULE) is None


def test_a_frozen_direction_waits_for_a_person():
    rig = armed_rig()
    rig.gate.freeze("smu", DEVICE, RAISE, "moved the wrong way", rig.now_ns)
    refusal = rig.ask(pulse(), **RULE)
    assert refusal.reason is RefusalReason.FROZEN
    assert "moved the wrong way" in refusal.sentence
    assert rig.reason(pulse(-1.0), **RULE) is None
    (frozen,) = rig.gate.snapshot().frozen_devices
    assert (frozen.instrument, frozen.device, frozen.direction) == ("smu", "m1", RAISE)
    unfreeze = rig.gate.unfreeze
    assert unfreeze("smu", DEVICE, RAISE, " ", rig.now_ns).reason is RefusalReason.NO_NAME
    assert unfreeze("smu", DEVICE, LOWER, "ada", rig.now_ns).reason is RefusalReason.UNKNOWN_TARGET
    elsewhere = unfreeze("mea", DEVICE, RAISE, "ada", rig.now_ns)
    assert elsewhere.reason is RefusalReason.UNKNOWN_TARGET
    assert unfreeze("smu", DEVICE, RAISE, "ada", rig.now_ns) is None
    assert rig.gate.snapshot().frozen_devices == ()
    rig.now_ns += 100 * MS
    rig.read()
    assert rig.reason(pulse(), **RULE) is None


def test_arming_again_thaws_nothing():
    rig = armed_rig()
    rig.gate.freeze("smu", DEVICE, RAISE, "stuck", rig.now_ns)
    rig.gate.disarm("ada", "look", rig.now_ns)
    assert rig.arm() is None
    assert rig.reason(pulse(), **RULE) is RefusalReason.FROZEN


def test_faulty_callers_are_told():
    rig = armed_rig()
    with pytest.raises(ValueError, match="no device at 9, 9"):
        rig.gate.note_reading("smu", DeviceAddress(9, 9), 1e4, rig.now_ns)
    with pytest.raises(ValueError, match="no device"):
        rig.gate.freeze("mea", DEVICE, RAISE, "x", rig.now_ns)
    with pytest.raises(ValueError, match=r"direction 0, allowed \+1 or -1"):
        rig.gate.freeze("smu", DEVICE, 0, "x", rig.now_ns)


def test_budget_counts_earlier_sessions_and_shows_what_is_spent():
    limits = DeviceLimits(budget_pulses=10)
    rig = Rig(array(devices={DEVICE: ("m1", limits)}))
    rig.gate.note_past("smu", "m1", -5, 8, 0.0)
    rig.gate.note_past("smu", "another", -4, 5, 0.0)
    rig.gate.boot_done(rig.now_ns)
    assert rig.arm() is None
    rig.read()
    for _ in range(2):
        assert rig.reason(pulse(), **RULE) is None
        rig.now_ns += 10 * MS
        rig.read()
    assert rig.reason(pulse(), **RULE) is RefusalReason.BUDGET
    (spent,) = rig.gate.snapshot().spent
    assert (spent.instrument, spent.device, spent.address, spent.n_pulses) == (
        "smu",
        "m1",
        DEVICE,
        10,
    )


@pytest.mark.parametrize(
    ("instrument", "n_pulses", "charge_c"),
    [("smu", -1, 0.0), ("smu", math.nan, 0.0), ("mea", 1, -1.0), ("mea", 1, math.nan),
     ("mea", 1, math.inf), ("nothing", 1, 0.0)],
)  # fmt: skip
def test_a_senseless_past_is_refused(instrument, n_pulses, charge_c):
    rig = Rig()
    with pytest.raises(ValueError, match="earlier session"):
        rig.gate.note_past(instrument, "m1", 0, n_pulses, charge_c)


def test_the_past_is_told_before_the_boot_is_done():
    rig = armed_rig()
    with pytest.raises(ValueError, match="earlier session"):
        rig.gate.note_past("smu", "m1", 0, 1, 0.0)
    Rig().gate.note_past("chip", "7", 0, 1, 0.0)


def test_a_live_array_takes_simulated_causes():
    rig = armed_rig(array(provenance=Provenance.LIVE))
    assert rig.reason(pulse(), provenance=Provenance.PLAYBACK, **RULE) is None


def test_chip_rate_per_neuron():
    rig = armed_rig(chip(limits=ChipLimits(max_per_second=3)))
    for _ in range(3):
        assert rig.reason(DriveNeuron(7, 255)) is None
    assert rig.reason(DriveNeuron(7, 255)) is RefusalReason.RATE
    assert rig.reason(DriveNeuron(8, 0)) is None
    rig.now_ns += SECOND - 1
    rig.renew()
    assert rig.gate.acknowledge_trip("ada", rig.now_ns) is None
    assert rig.arm() is None
    assert rig.reason(DriveNeuron(7, 255)) is RefusalReason.RATE
    rig.now_ns += 1
    assert rig.reason(DriveNeuron(7, 255)) is None


@pytest.mark.parametrize("code", [-1, 256])
def test_chip_weight_code(code):
    assert armed_rig().reason(DriveNeuron(7, code)) is RefusalReason.AMPLITUDE


@pytest.mark.parametrize("bad", [math.nan, 1.0, True, "7", None, 2**64])
def test_chip_numbers_that_are_none(bad):
    rig = armed_rig()
    assert rig.reason(DriveNeuron(7, bad)) is RefusalReason.MALFORMED
    assert rig.reason(DriveNeuron(bad, 7)) is RefusalReason.MALFORMED


def test_judges_take_only_their_own_actions():
    with pytest.raises(TypeError):
        DeviceArrayJudge(array()).count(Stimulate(1), is_spike_caused=True, now_ns=0)
    with pytest.raises(TypeError):
        ChipJudge(chip()).count(Stimulate(1), is_spike_caused=True, now_ns=0)
