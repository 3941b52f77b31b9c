"""A dry run asks, judges and audits as a wet one does, and moves nothing."""

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from fake_rhx import FakeRhx
from test_arc_one_driver import Rig as ArcRig

from app.core.spikes import Provenance
from app.dry_run import as_recorders
from app.instruments import Rig as Drivers
from app.safety.actuator_worker import ActuatorJob, ActuatorWorker
from app.safety.audit import AuditRow, DeliveryOutcome
from app.safety.profiles import DeviceArrayProfile
from app.safety.requests import Cause, CauseKind
from drivers.errors import SafetyLimitError
from drivers.mea.intan_rhx.driver import IntanRhx
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.protocol import Pattern
from drivers.neuron.aer_udp.driver import AerUdp
from drivers.neuron.aer_udp.settings import AerUdpSettings
from drivers.permit import Action, DriveNeuron, Permit, PulseDevice, Stimulate
from drivers.smu.protocol import DeviceAddress
from tests.test_gate_rig import MS, PULSE, Rig, array, chip, stimulator

PATTERNS = {1: Pattern(1, ("A-000",), PULSE), 2: Pattern(2, ("A-001", "A-002"), PULSE)}
DEVICE = DeviceAddress(12, 21)
N_REQUESTS = 300


class Wires:
    """Real drivers on wires that count what they carry."""

    def __init__(self) -> None:
        self.rhx = FakeRhx(n_columns=6)
        self.chip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.chip.bind(("127.0.0.1", 0))
        self.chip.setblocking(False)
        self.arc = ArcRig(read_voltage_v=0.2)
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ours.bind(("127.0.0.1", 0))
        port = ours.getsockname()[1]
        ours.close()
        channels = ("A-000", "A-001", "A-002")
        self.drivers = Drivers(
            amplifiers={
                "mea": IntanRhx(
                    "mea",
                    IntanRhxSettings(
                        host="127.0.0.1",
                        command_port=self.rhx.command_port,
                        waveform_port=self.rhx.waveform_port,
                        channels=channels,
                        stim_channels=channels,
                        idle_gap_s=0.001,
                    ),
                )
            },
            smus={"arc1": self.arc.driver},
            chips={
                "chip": AerUdp(
                    "chip",
                    AerUdpSettings(
                        listen_host="127.0.0.1",
                        listen_port=port,
                        chip_host="127.0.0.1",
                        chip_port=self.chip.getsockname()[1],
                        neurons=(7, 8),
                    ),
                )
            },
        )

    @property
    def n_moves(self) -> tuple[int, int, int]:
        """How much reached the amplifier, the memristors, the chip."""
        n_events = 0
        while True:
            try:
                self.chip.recv(64)
            except BlockingIOError:
                break
            n_events += 1
        return len(self.rhx.triggers), len(self.arc.board.pulses), n_events


@contextmanager
def opened(wrap: Callable[[Drivers], Drivers]) -> Iterator[tuple[Drivers, Wires]]:
    wires = Wires()
    drivers = wrap(wires.drivers)
    try:
        for driver in drivers.all():
            driver.open()
        drivers.amplifiers["mea"].prepare(list(PATTERNS.values()))
        drivers.amplifiers["mea"].start()
        yield drivers, wires
    finally:
        drivers.close()
        wires.chip.close()
        wires.rhx.close()


def wishes() -> Iterator[tuple[str, Action, int | None]]:
    """What is asked: instrument, action, age; good, bad and too often."""
    rng = random.Random(7)
    for _ in range(N_REQUESTS):
        age_ns = rng.choice([0, 30 * MS, 201 * MS, None])
        match rng.randrange(3):
            case 0:
                yield "mea", Stimulate(rng.choice([1, 2, 3])), age_ns
            case 1:
                yield "chip", DriveNeuron(rng.choice([7, 8, 9]), rng.choice([0, 255, 256])), age_ns
            case _:
                volts = rng.choice([1.5, -1.5, 1.6, float("nan")])
                yield "arc1", PulseDevice(12, 21, volts, rng.choice([1e-6, 1.0])), age_ns


def run(wrap: Callable[[Drivers], Drivers]) -> tuple[list[AuditRow], tuple[int, int, int]]:
    devices = {DEVICE: ("m1", array().devices[DeviceAddress(3, 4)][1])}
    rig = Rig(
        stimulator(patterns=PATTERNS),
        DeviceArrayProfile("arc1", Provenance.MOCK, devices, 0.2),
        chip(),
    )
    rig.gate.boot_done(rig.now_ns)
    assert rig.arm() is None
    with opened(wrap) as (drivers, wires):
        deliver = {"mea": drivers.amplifiers["mea"].stimulate, "chip": drivers.chips["chip"].drive}
        workers = {name: worker(rig, name, method) for name, method in deliver.items()}
        for instrument, action, age_ns in wishes():
            rig.pass_time(4 * MS)
            if instrument == "arc1":
                pulse(rig, drivers, action)
            else:
                workers[instrument].submit(job(rig, action, age_ns))
                workers[instrument].step()
        drivers.amplifiers["mea"].stop()  # its answer comes behind every key that was pressed
        return rig.rows, wires.n_moves


def worker(rig: Rig, name: str, deliver: Callable[[Permit], int]) -> ActuatorWorker:
    return ActuatorWorker(
        name,
        deliver=deliver,
        reopen=lambda: None,
        gate=rig.gate,
        await_audit=lambda _number: True,
        on_delivery=lambda _delivery: None,
        clock_ns=lambda: rig.now_ns,
        on_failure=lambda _name, exc: pytest.fail(str(exc)),
    )


def job(rig: Rig, action: Action, age_ns: int | None) -> ActuatorJob:
    cause = Cause(CauseKind.PSP, "padova", 5, Provenance.MOCK, "spike")
    return ActuatorJob(action, cause, rig.now_ns, age_ns, 200 * MS)


def pulse(rig: Rig, drivers: Drivers, action: Action) -> None:
    rig.gate.note_reading("arc1", DEVICE, 5000.0, rig.now_ns)
    words = {"kind": CauseKind.RULE, "age_bound_ns": None, "deadline_ns": None}
    verdict = rig.ask(action, instrument="arc1", **words)
    if isinstance(verdict, Permit):
        rig.arc_outcome = drivers.smus["arc1"].pulse(verdict)
        outcome = DeliveryOutcome.DELIVERED
        rig.gate.record_delivery(verdict.number, outcome, "", rig.now_ns)


def test_the_verdicts_are_the_same_and_nothing_moves() -> None:
    wet, moved = run(lambda drivers: drivers)
    dry, not_moved = run(as_recorders)
    assert [row.verdict for row in dry].count("permit") == sum(moved) > 30
    assert dry == wet
    assert not_moved == (0, 0, 0)
    assert min(moved) > 0


def test_a_recorder_spends_a_permit_as_a_driver_does() -> None:
    with opened(as_recorders) as (drivers, wires):
        rig = Rig(chip())
        rig.gate.boot_done(rig.now_ns)
        assert rig.arm() is None
        permit = rig.ask(DriveNeuron(7, 1))
        drivers.chips["chip"].drive(permit)
        with pytest.raises(SafetyLimitError, match="spent"):
            drivers.chips["chip"].drive(permit)
        tripped = rig.ask(DriveNeuron(8, 1))
        rig.gate.trip("test", rig.now_ns)
        with pytest.raises(SafetyLimitError, match="tripped"):
            drivers.chips["chip"].drive(tripped)
        assert drivers.chips["chip"].actions == [DriveNeuron(7, 1)]
        with pytest.raises(SafetyLimitError, match="no pulse"):
            drivers.smus["arc1"].pulse(permit)
        # Reading, spikes, samples and switching off are the real ones.
        assert drivers.smus["arc1"].read(DEVICE).resistance_ohm == 5000.0
        assert drivers.smus["arc1"].read_agreed(DEVICE).resistance_ohm == 5000.0
        assert drivers.smus["arc1"].capabilities.model == "ArC ONE"
        assert drivers.amplifiers["mea"].stream_format.n_channels == 3
        assert list(drivers.chips["chip"].read_spikes(0.0)) == []
        assert {driver.make_safe().instrument for driver in drivers.all()} == {
            "mea",
            "arc1",
            "chip",
        }
        drivers.amplifiers["mea"].stop()
        assert wires.rhx.n_uploads == 1, "an empty upload: the amplifier holds no pattern"
