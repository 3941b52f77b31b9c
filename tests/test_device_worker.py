"""The thread that pulses devices: asked, audited, verified, and never twice."""

import time
from collections.abc import Iterator

import pytest

from app.config.experiment import PulsePair, RateRule, Synapse, WeightMap
from app.config.limits import DeviceLimits
from app.config.site import Device
from app.core.spikes import Provenance
from app.safety.gate import Gate
from app.safety.profiles import DeviceArrayProfile
from app.synapse.device_worker import DeviceWorker, PulseRecord, SynapseDevice
from app.synapse.network import PulseWanted
from app.synapse.rules import LTD, LTP
from drivers.errors import InstrumentError, InstrumentProtocolError, TransportError
from drivers.permit import Permit, PulseDevice
from drivers.safe_state import SafeReport, SafeState
from drivers.smu.protocol import DeviceAddress, PulseOutcome, Reading

ADDRESS = DeviceAddress(12, 21)
LIMITS = DeviceLimits(
    max_amplitude_v=1.5,
    max_read_v=0.5,
    max_per_second=1000,
    min_interval_s=1e-4,
    window_min_ohm=4000.0,
    window_max_ohm=9000.0,
    reason="test",
    confirmed_by="test",
)


class FakeSmu:
    """A device whose resistance rises or falls by `step` with each pulse."""

    name = "arc1"

    def __init__(self) -> None:
        self.ohm = 5000.0
        self.step = 0.1
        self.pulses: list[PulseDevice] = []
        self.n_reads = 0
        self.n_opened = 0
        self.pulse_error: InstrumentError | None = None
        self.read_errors: list[InstrumentError] = []
        self.has_no_answer = False

    def open(self) -> None:
        self.n_opened += 1

    def read(self, device: DeviceAddress) -> Reading:
        self.n_reads += 1
        if self.read_errors:
            raise self.read_errors.pop(0)
        return Reading(device, self.ohm, 0.5, time.monotonic_ns())

    read_agreed = read

    def pulse(self, permit: Permit) -> PulseOutcome:
        if self.pulse_error is not None:
            raise self.pulse_error
        action = permit.spend(self.name)
        assert isinstance(action, PulseDevice)
        self.pulses.append(action)
        self.ohm *= 1 + self.step * (1 if action.amplitude_v > 0 else -1)
        sent_ns = time.monotonic_ns()
        if self.has_no_answer:
            return PulseOutcome(ADDRESS, sent_ns, None, "the pulse may have happened")
        return PulseOutcome(ADDRESS, sent_ns, Reading(ADDRESS, self.ohm, 0.5, sent_ns))

    def make_safe(self) -> SafeReport:
        return SafeReport(self.name, SafeState.BY_CONSTRUCTION, "test")


class Rig:
    def __init__(self) -> None:
        self.smu = FakeSmu()
        self.records: list[PulseRecord] = []
        self.readings: list[tuple[int, float, str]] = []
        self.failures: list[str] = []
        self.is_audited = True
        device = Device(name="w12b21", wordline=12, bitline=21, limits=LIMITS)
        synapse = Synapse(
            id=1,
            name="ABsyn",
            pre=63,
            post=256,
            site="hub",
            device="w12b21",
            weight=WeightMap(r_min_ohm=4000.0, r_max_ohm=9000.0),
            rule=RateRule(),
            pulse=PulsePair(
                ltp_amplitude_v=1.5, ltp_width_s=1e-4, ltd_amplitude_v=-1.5, ltd_width_s=1e-4
            ),
        )
        profile = DeviceArrayProfile(
            "arc1", Provenance.MOCK, {ADDRESS: ("w12b21", LIMITS)}, read_voltage_v=0.5
        )
        self.gate = Gate(
            "hub",
            {"arc1": profile},
            [],
            clock_ns=time.monotonic_ns,
            on_audit=lambda _row: None,
            on_input=lambda _kind, _body, _now: None,
        )
        self.gate.boot_done(time.monotonic_ns())
        self.arm()
        self.worker = DeviceWorker(
            self.smu,
            {1: SynapseDevice(synapse, device)},
            gate=self.gate,
            await_audit=lambda _number: self.is_audited,
            on_reading=lambda s, reading, why: self.readings.append(
                (s, reading.resistance_ohm, why)
            ),
            on_pulse=self.records.append,
            provenance=Provenance.MOCK,
            max_pulse_lag_ns=5_000_000_000,
            idle_read_interval_ns=10**15,
            min_change=0.003,
            clock_ns=time.monotonic_ns,
            on_failure=lambda name, exc: self.failures.append(f"{name}: {exc}"),
        )

    def arm(self) -> None:
        now_ns = time.monotonic_ns()
        refusal = self.gate.arm(
            "test", "test", now_ns, now_ns + 10**12, by_program=True, is_operator=False
        )
        assert refusal is None

    def want(self, polarity: int = LTP, age_ns: int = 0) -> PulseRecord:
        n_before = len(self.records)
        event_ns = time.monotonic_ns() - age_ns
        self.worker.submit(PulseWanted(1, polarity, event_ns, n_before + 1))
        self.until(lambda: len(self.records) > n_before)
        return self.records[-1]

    def until(self, is_so) -> None:
        deadline_s = time.monotonic() + 5.0
        while not is_so():
            assert time.monotonic() < deadline_s
            assert not self.failures, self.failures
            time.sleep(0.001)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    made.worker.start()
    made.until(lambda: bool(made.readings))
    yield made
    made.worker.request_stop()
    assert made.worker.join(5.0)


def test_every_device_is_read_before_anything_else(rig: Rig) -> None:
    assert rig.readings == [(1, 5000.0, "start")]
    assert rig.smu.pulses == []


def test_a_pulse_is_read_back_and_verified(rig: Rig) -> None:
    record = rig.want(LTP)
    assert (record.verdict, record.before_ohm) == ("moved", 5000.0)
    assert record.after_ohm == pytest.approx(5500.0)
    assert rig.smu.pulses == [PulseDevice(12, 21, 1.5, 1e-4)]
    assert rig.readings[-1] == (1, record.after_ohm, "after pulse")
    assert record.number == 1
    down = rig.want(LTD)
    assert (down.verdict, down.action.amplitude_v) == ("moved", -1.5)


@pytest.mark.parametrize(("step", "verdict"), [(0.0, "unmoved"), (-0.1, "wrong way")])
def test_a_device_that_does_not_obey_is_frozen_for_that_direction(
    rig: Rig, step: float, verdict: str
) -> None:
    rig.smu.step = step
    assert rig.want(LTP).verdict == verdict
    assert len(rig.gate.snapshot().frozen_devices) == 1
    refused = rig.want(LTP)
    assert refused.verdict == "refused"
    assert "w12b21" in refused.detail
    assert len(rig.smu.pulses) == 1
    rig.smu.step = 0.1
    assert rig.want(LTD).verdict == "moved", "the other direction is free"


def test_one_odd_reading_freezes_nothing(rig: Rig) -> None:
    """The reading after the pulse says "unmoved", the repeated one says what is true."""
    read = rig.smu.pulse

    def pulse_with_a_wrong_answer(permit: Permit) -> PulseOutcome:
        outcome = read(permit)
        wrong = Reading(ADDRESS, 5000.0, 0.5, outcome.sent_ns)
        return PulseOutcome(ADDRESS, outcome.sent_ns, wrong)

    rig.smu.pulse = pulse_with_a_wrong_answer
    assert rig.want(LTP).verdict == "moved"
    assert rig.gate.snapshot().frozen_devices == ()


def test_a_pulse_without_answer_is_unconfirmed_and_not_sent_again(rig: Rig) -> None:
    rig.smu.has_no_answer = True
    record = rig.want(LTP)
    assert record.verdict == "unconfirmed"
    assert record.after_ohm == pytest.approx(5500.0), "read again, for what comes next"
    assert len(rig.smu.pulses) == 1
    assert rig.gate.snapshot().frozen_devices == ()


def test_a_pulse_that_comes_too_late_is_recorded_and_not_applied(rig: Rig) -> None:
    record = rig.want(LTP, age_ns=6_000_000_000)
    assert record.verdict == "late"
    assert "6.0 s" in record.detail
    assert rig.smu.pulses == []


def test_beyond_the_window_the_gate_refuses_that_sign_only(rig: Rig) -> None:
    rig.smu.step = 0.9
    assert rig.want(LTP).after_ohm == pytest.approx(9500.0)
    assert rig.want(LTP).verdict == "refused"
    assert rig.want(LTD).verdict == "moved"


def test_disarmed_or_unaudited_moves_nothing(rig: Rig) -> None:
    rig.is_audited = False
    record = rig.want(LTP)
    assert (record.verdict, record.detail) == ("not sent", "audit row not written")
    rig.gate.disarm("test", "test", time.monotonic_ns())
    assert rig.want(LTP).verdict == "refused"
    assert rig.smu.pulses == []


def test_instrument_that_asks_for_patience_is_recorded_as_not_sent(rig: Rig) -> None:
    rig.smu.pulse_error = InstrumentProtocolError("no pulse was sent, ask again")
    assert rig.want(LTP).verdict == "not sent"
    assert rig.readings[-1] == (1, 5000.0, "not sent"), "read, or the Gate would refuse the next"
    rig.smu.pulse_error = None
    assert rig.want(LTP).verdict == "moved"


def test_a_failed_idle_reading_is_no_failure_but_a_lost_port_is() -> None:
    rig = Rig()
    rig.smu.read_errors = [InstrumentProtocolError("nan")]
    rig.worker.start()
    rig.until(lambda: rig.readings == [(1, 5000.0, "idle")])
    assert not rig.failures
    rig.smu.pulse_error = TransportError("port gone")
    rig.worker.submit(PulseWanted(1, LTP, time.monotonic_ns(), 9))
    deadline_s = time.monotonic() + 5.0
    while not rig.failures and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert "port gone" in rig.failures[0]
    assert rig.worker.join(5.0)


def test_reopening_is_done_by_the_thread_that_owns_it(rig: Rig) -> None:
    rig.worker.request_reopen()
    rig.until(lambda: rig.smu.n_opened == 1)
