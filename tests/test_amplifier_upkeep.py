"""What becomes of a stopped amplifier when its upkeep goes well, fails, or the site is stopped."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from test_acquisition_view import SpikingAmplifier, until

from app.core.acquisition import Acquisition, ElectrodeUse
from app.core.clock import monotonic_ns
from app.core.detector import Detector
from app.core.detector_settings import DetectorSettings
from app.engine.amplifier_upkeep import AmplifierUpkeep
from app.safety.audit import DeliveryOutcome
from drivers.errors import InstrumentProtocolError, SafetyLimitError, TransportError
from drivers.mea.protocol import ElectrodeImpedance, ImpedanceCheck, Pattern, SampleBlock
from drivers.permit import MeasureImpedance, Permit, Upkeep, UploadPattern
from tests.test_gate_rig import PULSE, Rig, stimulator

WEAK = Pattern(1, ("A-000",), replace(PULSE, first_amplitude_a=1e-6, second_amplitude_a=1e-6))
STRONG = Pattern(1, ("A-000",), replace(PULSE, first_amplitude_a=9e-6, second_amplitude_a=9e-6))
CHECK = ImpedanceCheck(1000.0, (ElectrodeImpedance("A-000", 95e3, -72.0),))


class Amplifier:
    """Does what it is told, or fails at it."""

    name = "mea"

    def __init__(self) -> None:
        self.prepared: list[tuple[Pattern, ...]] = []
        self.n_stops = 0
        self.fails: list[Exception] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def stop(self) -> None:
        self.n_stops += 1

    def prepare(self, patterns: tuple[Pattern, ...]) -> None:
        self.meanwhile()
        if self.fails:
            raise self.fails.pop(0)
        self.prepared.append(patterns)

    def prepare_impedance(self, frequency_hz: float) -> float:
        return frequency_hz

    def measure_impedance(self, permit: Permit) -> ImpedanceCheck:
        if self.fails:
            raise self.fails.pop(0)
        permit.spend(self.name)
        return CHECK


class Held:
    """An acquisition as the upkeep sees it."""

    def __init__(self) -> None:
        self.lets_go = True
        self.n_let_go = 0

    def hold(self, timeout_s: float) -> bool:
        return self.lets_go

    def let_go(self) -> None:
        self.n_let_go += 1


class Desk:
    def __init__(self) -> None:
        self.rig = Rig()
        self.rig.gate.boot_done(self.rig.now_ns)
        self.amplifier, self.acquisition = Amplifier(), Held()
        self.notes: list[str] = []
        self.is_written = True
        self.upkeep = AmplifierUpkeep(
            self.amplifier,  # type: ignore[arg-type]
            self.acquisition,  # type: ignore[arg-type]
            tuple(stimulator().patterns.values()),
            gate=self.rig.gate,
            await_audit=lambda _number: self.is_written,
            note=lambda who, text: self.notes.append(f"{who}: {text}"),
            keep=lambda check: f"{len(check.electrodes)} measured",
            delivered_as=DeliveryOutcome.DELIVERED,
            clock_ns=lambda: self.rig.now_ns,
            on_failure=lambda name, exc: pytest.fail(f"{name}: {exc}"),
        )

    def do(self, deed: Upkeep) -> str:
        assert self.upkeep.submit(deed, "ada", "test") is not None
        assert self.upkeep.submit(deed, "ada", "test") is None, "one at a time"
        self.upkeep.step()
        return self.upkeep.status.state

    @property
    def outcome(self) -> str:
        return self.rig.rows[-1].verdict

    def may_arm(self) -> bool:
        return not self.rig.gate.snapshot().blocks


def test_an_uploaded_waveform_is_held_and_the_others_stay() -> None:
    desk = Desk()
    assert desk.do(UploadPattern(WEAK)) == "done"
    (prepared,) = desk.amplifier.prepared
    assert prepared[0] == WEAK
    assert prepared[1:] == tuple(stimulator().patterns.values())[1:]
    assert desk.upkeep.status.held == prepared
    assert (desk.amplifier.n_stops, desk.acquisition.n_let_go) == (1, 1)
    assert desk.outcome == "delivered"
    assert desk.notes == ["ada: mea: pattern 1 uploaded and read back (test)"]
    assert desk.may_arm()


def test_an_impedance_check_is_kept() -> None:
    desk = Desk()
    assert desk.do(MeasureImpedance(1000.0)) == "done"
    status = desk.upkeep.status
    assert (status.impedance, status.measured_ns) == (CHECK, desk.rig.now_ns)
    assert desk.notes == ["ada: mea: 1 measured (test)"]


def test_what_the_gate_refuses_is_not_uploaded() -> None:
    desk = Desk()
    assert desk.do(UploadPattern(STRONG)) == "refused"
    assert "max_current_a" in desk.upkeep.status.sentence
    assert desk.amplifier.prepared == []
    assert desk.acquisition.n_let_go == 1


def test_what_the_amplifier_refuses_leaves_what_it_held() -> None:
    desk = Desk()
    desk.amplifier.fails = [SafetyLimitError("RHX: 1 uA is 0.5 steps")]
    assert desk.do(UploadPattern(WEAK)) == "refused"
    assert desk.amplifier.prepared == [tuple(stimulator().patterns.values())]
    assert desk.upkeep.status.sentence.endswith("the amplifier holds what it held before")
    assert desk.outcome == "not delivered"


def test_half_an_upload_is_undone_or_it_is_said_that_nothing_can_be_triggered() -> None:
    desk = Desk()
    desk.amplifier.fails = [InstrumentProtocolError("read back something else")]
    assert desk.do(UploadPattern(WEAK)) == "failed"
    assert desk.outcome == "unconfirmed"
    assert len(desk.amplifier.prepared) == 1
    desk.amplifier.fails = [InstrumentProtocolError("again"), TransportError("gone")]
    assert desk.do(UploadPattern(WEAK)) == "failed"
    assert "no pattern can be triggered" in desk.upkeep.status.sentence
    assert desk.upkeep.status.held == tuple(stimulator().patterns.values())


def test_nothing_is_done_that_is_not_on_record() -> None:
    desk = Desk()
    desk.is_written = False
    assert desk.do(UploadPattern(WEAK)) == "failed"
    assert desk.amplifier.prepared == []
    assert desk.outcome == "not delivered"


def test_nothing_is_done_while_somebody_reads_from_it() -> None:
    desk = Desk()
    desk.acquisition.lets_go = False
    assert desk.do(MeasureImpedance(1000.0)) == "failed"
    assert desk.amplifier.n_stops == 0
    assert desk.rig.rows == []


def test_nobody_can_arm_meanwhile_and_a_stop_forbids_what_follows() -> None:
    desk = Desk()
    refusals: list[str] = []

    def meanwhile() -> None:
        refusal = desk.rig.arm()
        refusals.append("" if refusal is None else refusal.sentence)
        desk.rig.gate.emergency_stop("bea", desk.rig.now_ns)

    desk.amplifier.meanwhile = meanwhile
    assert desk.do(UploadPattern(WEAK)) == "done"
    assert "stopped for upkeep" in refusals[0]
    assert desk.acquisition.n_let_go == 1
    assert desk.do(MeasureImpedance(1000.0)) == "refused", "not while tripped"


def steps_go_on(acquisition: Acquisition) -> None:
    """Wait until the thread has been through two more steps."""
    for _ in range(2):
        seen_ns = acquisition.last_step_ns
        until(lambda seen_ns=seen_ns: acquisition.last_step_ns > seen_ns, "a further step")


class Counting(SpikingAmplifier):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.n_starts = self.n_reads = 0

    def start(self) -> None:
        self.n_starts += 1

    def read_block(self, timeout_s: float) -> SampleBlock:
        self.n_reads += 1
        return super().read_block(timeout_s)


def test_an_acquisition_is_held_until_it_is_let_go() -> None:
    amplifier = Counting()
    acquisition = Acquisition(
        amplifier,  # type: ignore[arg-type]
        Detector(amplifier.stream_format, DetectorSettings(min_noise_s=0.1)),
        ElectrodeUse({}, {}, 0.02),
        stream=0,
        on_block=lambda _block: None,
        on_batch=lambda _batch: None,
        on_gap=lambda _first, _n: None,
        on_mapping=lambda _mapping: None,
        clock_ns=monotonic_ns,
        on_failure=lambda name, exc: pytest.fail(f"{name}: {exc}"),
    )
    acquisition.start()
    try:
        until(lambda: amplifier.n_reads > 1, "samples")
        assert acquisition.hold(10.0)
        n_reads = amplifier.n_reads
        acquisition.let_go()
        until(lambda: amplifier.n_starts == 2, "started again")
        until(lambda: amplifier.n_reads > n_reads, "samples again")
        assert acquisition.hold(10.0)
        acquisition.suspend()  # an emergency stop meanwhile
        acquisition.let_go()
        steps_go_on(acquisition)
        assert amplifier.n_starts == 2, "made safe, it stays stopped"
        assert acquisition.hold(10.0)
        n_reads = amplifier.n_reads
        acquisition.request_restart()  # the stop was acknowledged: it has to wait
        steps_go_on(acquisition)
        assert (amplifier.n_reads, amplifier.n_starts) == (n_reads, 2)
        acquisition.let_go()
        until(lambda: amplifier.n_starts == 3, "the restart that was asked for")
    finally:
        acquisition.request_stop()
        assert acquisition.join(10.0)
