"""Two synapses of an engine on one bench unit with a switch: each pulse reaches its own device."""

import pytest
from switch_rig import FIRST, OTHER, SwitchedRig

from app.config.experiment import PulsePair, RateRule, Synapse, WeightMap
from app.config.limits import DeviceLimits
from app.config.site import Device
from app.core.spikes import Provenance
from app.safety.gate import Gate
from app.safety.profiles import DeviceArrayProfile
from app.synapse.device_worker import DeviceWorker, SynapseDevice
from app.synapse.network import PulseWanted
from app.synapse.rules import LTD, LTP

LIMITS = DeviceLimits(
    max_amplitude_v=1.5,
    max_read_v=0.5,
    max_per_second=1000,
    min_interval_s=1e-4,
    window_min_ohm=3000.0,
    window_max_ohm=9000.0,
    reason="test",
    confirmed_by="test",
)
PLACES = {1: FIRST, 2: OTHER}


class Synapses:
    """A device worker that the test steps, on a unit with a switch in memory."""

    def __init__(self) -> None:
        self.rig = SwitchedRig()
        self.records = []
        self.readings = []
        self.failures = []
        clock_ns = lambda: round(self.rig.wire.now_s * 1e9)  # noqa: E731
        pulse = PulsePair(
            ltp_amplitude_v=1.5, ltp_width_s=1e-4, ltd_amplitude_v=-1.5, ltd_width_s=1e-4
        )
        devices = {
            number: SynapseDevice(
                Synapse(
                    id=number,
                    name=f"s{number}",
                    pre=63,
                    post=256,
                    site="hub",
                    device=f"d{number}",
                    weight=WeightMap(r_min_ohm=3000.0, r_max_ohm=9000.0),
                    rule=RateRule(),
                    pulse=pulse,
                ),
                Device(
                    name=f"d{number}",
                    wordline=place.wordline,
                    bitline=place.bitline,
                    limits=LIMITS,
                ),
            )
            for number, place in PLACES.items()
        }
        profile = DeviceArrayProfile(
            self.rig.unit,
            Provenance.MOCK,
            {place: (f"d{number}", LIMITS) for number, place in PLACES.items()},
            read_voltage_v=0.5,
            compliance_a=1e-4,
        )
        self.gate = Gate(
            "hub",
            {self.rig.unit: profile},
            [],
            clock_ns=clock_ns,
            on_audit=lambda _row: None,
            on_input=lambda _kind, _body, _now: None,
        )
        self.gate.boot_done(clock_ns())
        self.rig.driver.open()
        self.worker = DeviceWorker(
            self.rig.driver,
            devices,
            gate=self.gate,
            await_audit=lambda _number: True,
            on_reading=lambda s, reading, why: self.readings.append((s, reading)),
            on_pulse=self.records.append,
            provenance=Provenance.MOCK,
            max_pulse_lag_ns=5_000_000_000,
            idle_read_interval_ns=2_000_000_000,
            min_change=0.003,
            clock_ns=clock_ns,
            on_failure=lambda name, exc: self.failures.append(f"{name}: {exc}"),
        )
        self.worker.prepare()
        now_ns = clock_ns()
        refusal = self.gate.arm(
            "test", "test", now_ns, now_ns + 10**12, by_program=True, is_operator=False
        )
        assert refusal is None

    def want(self, synapse, polarity):
        self.rig.wire.now_s += 0.01
        now_ns = round(self.rig.wire.now_s * 1e9)
        self.worker.submit(PulseWanted(synapse, polarity, now_ns, len(self.records) + 1))
        n_before = len(self.records)
        while len(self.records) == n_before:
            self.worker.step()
        return self.records[-1]


def test_each_device_is_read_before_anything_else():
    made = Synapses()
    found = {synapse: reading.resistance_ohm for synapse, reading in made.readings}
    assert found == {1: pytest.approx(5000, rel=1e-3), 2: pytest.approx(4000, rel=1e-3)}
    assert {reading.device for _, reading in made.readings} == {FIRST, OTHER}


def test_pulses_in_turn_reach_their_own_devices():
    made = Synapses()
    for synapse, polarity in ((1, LTP), (2, LTP), (1, LTP), (2, LTD), (2, LTP), (1, LTD)):
        record = made.want(synapse, polarity)
        assert record.verdict == "moved", record.detail
        assert record.after_ohm == pytest.approx(made.rig.true_ohm(PLACES[synapse]), rel=1e-3)
    hit = [(pulse.wordline, pulse.bitline) for pulse in made.rig.crossbar.pulses]
    assert hit == [(1, 1), (3, 2), (1, 1), (3, 2), (3, 2), (1, 1)]
    assert made.rig.terminals.n_hot == 0
    made.worker.finish()
    assert not made.rig.output.is_on
    assert made.rig.terminals.closed == frozenset()


def test_a_disarmed_gate_moves_no_relay_for_a_pulse():
    made = Synapses()
    made.gate.disarm("test", "test", round(made.rig.wire.now_s * 1e9))
    n_moves = made.rig.driver.counters.n_switched
    record = made.want(1, LTP)  # the other one is connected
    assert record.verdict == "refused"
    assert made.rig.driver.counters.n_switched == n_moves
    assert made.rig.crossbar.n_pulses == 0
