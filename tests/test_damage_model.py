"""The simulated culture and memristors would feel what the Gate stops: shown by going round it.

Permits are forged here, which nothing but a test may do (`test_only_way_out`).
"""

import time
from collections.abc import Iterator

import pytest
from bench_smu_rig import Rig as BenchRig
from bench_smu_rig import permit_for
from mock_process import MockProcess

from app.core.spikes import Provenance
from app.safety.profiles import DeviceArrayProfile
from app.safety.requests import CauseKind, RefusalReason
from drivers.mea.intan_rhx.driver import IntanRhx
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.protocol import CurrentPulse, Pattern
from drivers.permit import Permit, PulseDevice, Stimulate
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.protocol import DeviceAddress
from tests.test_gate_rig import PULSE, armed_rig, array, stimulator

LIMIT_S = 10.0
LOUD = CurrentPulse(25e-6, 200e-6, 25e-6, 200e-6)
"""5 nC in a phase; the simulated tissue bears 4."""
QUIET, HARMFUL = Pattern(1, ("A-016",), PULSE), Pattern(2, ("A-018",), LOUD)


@pytest.fixture
def culture() -> Iterator[MockProcess]:
    made = MockProcess("mocks.rhx_server", "--upload-s", "0.1", "--truth", "127.0.0.1:0")
    yield made
    assert made.close() == 0


def forged(pattern_id: int) -> Permit:
    return Permit(
        instrument="mea",
        action=Stimulate(pattern_id),
        number=1,
        expires_ns=1,
        is_tripped=lambda: False,
        clock_ns=lambda: 0,
    )


def test_a_culture_feels_what_the_gate_would_have_refused(culture: MockProcess) -> None:
    profile = stimulator(patterns={1: QUIET, 2: HARMFUL})
    assert isinstance(armed_rig(profile).ask(Stimulate(1)), Permit)
    assert armed_rig(profile).reason(Stimulate(2)) is RefusalReason.CURRENT
    settings = IntanRhxSettings(
        host="127.0.0.1",
        command_port=culture.ready["command_port"],
        waveform_port=culture.ready["waveform_port"],
        channels=("A-016", "A-018"),
        stim_channels=("A-016", "A-018"),
    )
    driver = IntanRhx("mea", settings)
    try:
        driver.open()
        driver.prepare([QUIET, HARMFUL])
        driver.start()
        for pattern_id, n_pulses, is_harmful in ((1, 1, False), (2, 2, True)):
            driver.stimulate(forged(pattern_id))
            deadline_s = time.monotonic() + LIMIT_S
            while culture.ask()["n_pulses"] < n_pulses:
                assert time.monotonic() < deadline_s, "the pulse did not come"
                driver.read_block(0.05)
            assert (culture.ask()["damage"] > 0) == is_harmful
    finally:
        driver.close()


def test_a_memristor_feels_what_the_gate_would_have_refused() -> None:
    unit, place = "keithley_2600", DeviceAddress(1, 1)
    profile = DeviceArrayProfile(
        unit, Provenance.MOCK, {place: array().devices[DeviceAddress(3, 4)]}, 0.2
    )
    words = {"kind": CauseKind.OPERATOR, "age_bound_ns": None, "deadline_ns": None}

    def verdict(amplitude_v: float):
        rig = armed_rig(profile)
        rig.gate.note_reading(unit, place, 5000.0, rig.now_ns)
        return rig.ask(PulseDevice(1, 1, amplitude_v, 1e-3), instrument=unit, **words)

    assert isinstance(verdict(1.5), Permit)
    assert verdict(6.0).reason is RefusalReason.AMPLITUDE
    rig = BenchRig(unit, BenchSettings(read_voltage_v=0.5, compliance_a=1e-2, max_pulse_v=6.0))
    rig.driver.open()
    rig.driver.read(place)
    rig.driver.pulse(permit_for(unit, 1.5, 1e-3))
    assert rig.wire.crossbar.damaged == []
    rig.driver.pulse(permit_for(unit, 6.0, 1e-3))
    assert rig.wire.crossbar.damaged == [(1, 1)]
