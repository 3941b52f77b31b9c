"""Random requests through the Gate and every driver: nothing beyond a limit reaches a transport.

The drivers' own limits are wider here than the Gate's, so it is the Gate that stops. The numbers
are read back on the other side of each wire.
"""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from bench_smu_rig import DIALECTS
from bench_smu_rig import Rig as BenchRig
from fake_rhx import FakeRhx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_arc_one_driver import Rig as ArcRig

from app.config.limits import ChipLimits, DeviceLimits, StimulationLimits
from app.core.spikes import Provenance
from app.safety.profiles import DeviceArrayProfile
from app.safety.requests import CauseKind
from drivers.errors import SafetyLimitError
from drivers.mea.intan_rhx.driver import IntanRhx
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.protocol import CurrentPulse, Pattern
from drivers.neuron.aer_udp.driver import AerUdp
from drivers.neuron.aer_udp.settings import AerUdpSettings
from drivers.neuron.aer_udp.wire import decode
from drivers.permit import DriveNeuron, Permit, PulseDevice, Stimulate
from drivers.smu.protocol import DeviceAddress
from tests.test_gate_rig import MS, Rig, chip, stimulator

QUICK = settings(
    deadline=None, max_examples=100, database=None, suppress_health_check=list(HealthCheck)
)
LIMITS = DeviceLimits(max_amplitude_v=1.0, min_width_s=1e-4, max_width_s=6e-3)
ANY = st.floats(allow_nan=True, allow_infinity=True)
VOLTS = st.sampled_from([1.0, -1.0, 0.5, 1.0000001, -1.4, 0.0]) | ANY
WIDTHS = st.sampled_from([1e-4, 2e-3, 5e-3, 6e-3, 6.1e-3, 1e-5, 9e-5]) | ANY
BY_HAND = {"kind": CauseKind.OPERATOR, "age_bound_ns": None, "deadline_ns": None}


def armed(*profiles) -> Rig:
    rig = Rig(*profiles)
    rig.gate.boot_done(rig.now_ns)
    assert rig.arm() is None
    return rig


# --- memristors -------------------------------------------------------------------------------


class ArcUnit:
    """An ArC ONE on a board in memory."""

    place = DeviceAddress(12, 21)

    def __init__(self) -> None:
        self._rig = ArcRig(read_voltage_v=0.2)
        self.driver = self._rig.driver
        self.driver.open()

    def reached(self) -> list[tuple[float, float]]:
        found = [(float(p[2]), float(p[3])) for p in self._rig.board.pulses]
        self._rig.board.pulses.clear()
        return found


class BenchUnit:
    """A bench unit on a wire in memory; what counts is what its device felt."""

    place = DeviceAddress(1, 1)

    def __init__(self, unit: str) -> None:
        rig = BenchRig(unit)
        self._felt: list[tuple[float, float]] = []
        crossbar, feel = rig.wire.crossbar, rig.wire.crossbar.pulse

        def feel_and_note(w: int, b: int, pulse_v: float, width_s: float, part: float) -> None:
            self._felt.append((pulse_v, width_s))
            feel(w, b, pulse_v, width_s, part)

        crossbar.pulse = feel_and_note  # type: ignore[method-assign]
        self.driver = rig.driver
        self.driver.open()
        self.driver.read(self.place)
        self._read_v = 0.5

    def reached(self) -> list[tuple[float, float]]:
        found = [pulse for pulse in self._felt if abs(pulse[0]) > self._read_v * 1.0001]
        self._felt.clear()
        return found


@pytest.mark.parametrize("unit", ["arc_one", *DIALECTS])
def test_no_pulse_beyond_a_limit_reaches_a_memristor(unit: str) -> None:
    made = ArcUnit() if unit == "arc_one" else BenchUnit(unit)
    name = made.driver.name
    # A pulse within the limit may come out longer by what its unit says of its own timing.
    jitter_s = made.driver.capabilities.width_jitter_s
    n_reached = 0

    @QUICK
    @example(1.0, 5e-3, 0, False)
    @example(-1.0, 5e-3, 0, False)
    @given(VOLTS, WIDTHS, st.sampled_from([0, 0, 0, 1, -1]), st.booleans())
    def ask(amplitude_v: float, width_s: float, off: int, is_forming: bool) -> None:
        nonlocal n_reached
        profile = DeviceArrayProfile(name, Provenance.MOCK, {made.place: ("m1", LIMITS)}, 0.2)
        rig = armed(profile)
        rig.gate.note_reading(name, made.place, 5000.0, rig.now_ns)
        place = (made.place.wordline + off, made.place.bitline)
        action = PulseDevice(*place, amplitude_v, width_s, is_forming)
        verdict = rig.ask(action, instrument=name, **BY_HAND)
        if isinstance(verdict, Permit):
            with contextlib.suppress(SafetyLimitError):  # its own ability may be narrower
                made.driver.pulse(as_seen_by(verdict))
        for reached_v, reached_s in made.reached():
            n_reached += 1
            assert 0 < abs(reached_v) <= 1.0 + 1e-6
            assert 1e-4 * 0.999 - jitter_s <= reached_s <= 6e-3 * 1.001 + jitter_s
            assert off == 0
            assert not is_forming

    ask()
    assert n_reached > 0, "nothing got through at all: the test shows nothing"


def as_seen_by(permit: Permit) -> Permit:
    """The same permit on a clock that stands still: the drivers here have clocks of their own."""
    return Permit(
        instrument=permit.instrument,
        action=permit.action,
        number=permit.number,
        expires_ns=1,
        is_tripped=lambda: False,
        clock_ns=lambda: 0,
    )


# --- electrodes -------------------------------------------------------------------------------


@pytest.fixture
def rhx() -> Iterator[tuple[FakeRhx, IntanRhx]]:
    fake = FakeRhx(n_columns=2)
    options = IntanRhxSettings(
        host="127.0.0.1",
        command_port=fake.command_port,
        waveform_port=fake.waveform_port,
        channels=("A-000",),
        stim_channels=("A-000",),
        idle_gap_s=0.001,
    )
    driver = IntanRhx("mea", options)
    yield fake, driver
    driver.close()
    fake.close()


AMPERES = st.sampled_from([2e-6, 3e-6, 4e-6, 1e-4, 0.0, 1e-9]) | ANY
SECONDS = st.sampled_from([200e-6, 100e-6, 1e-3, 2e-3, 10e-6, 0.0]) | ANY


def test_no_key_is_pressed_for_a_pattern_beyond_a_limit(rhx: tuple[FakeRhx, IntanRhx]) -> None:
    """Also not where the amplifier has taken it: then its key stays untouched."""
    fake, driver = rhx
    driver.open()
    n_pressed = 0

    @QUICK
    @given(
        AMPERES, SECONDS, AMPERES | st.none(), SECONDS | st.none(), st.sampled_from([1, 1, 10, 11])
    )
    def ask(first_a, first_s, second_a, second_s, n_pulses) -> None:
        nonlocal n_pressed
        pulse = CurrentPulse(
            first_a,
            first_s,
            first_a if second_a is None else second_a,
            first_s if second_s is None else second_s,
            n_pulses=n_pulses,
        )
        pattern = Pattern(1, ("A-000",), pulse)
        rig = armed(stimulator(patterns={1: pattern}, limits=StimulationLimits()), chip())
        driver.stop()
        try:
            driver.prepare([pattern])
        except (SafetyLimitError, OverflowError, ValueError):
            return  # RHX could not carry it out exactly
        driver.start()
        verdict = rig.ask(Stimulate(1))
        if isinstance(verdict, Permit):
            driver.stimulate(as_seen_by(verdict))
            driver.stop()
        assert len(fake.triggers) - n_pressed == isinstance(verdict, Permit)
        if isinstance(verdict, Permit):
            n_pressed += 1
            within_limits(fake)

    ask()
    assert n_pressed > 0


def within_limits(fake: FakeRhx) -> None:
    """Hold what the amplifier was told, in its own units, against safety.md's numbers."""
    told = {
        name.removeprefix("a-000."): value
        for name, value in fake.values.items()
        if name.startswith("a-000.")
    }
    for phase in ("first", "second"):
        current_ua = float(told[f"{phase}phaseamplitudemicroamps"])
        width_us = float(told[f"{phase}phasedurationmicroseconds"])
        assert 0 < current_ua <= 3.0
        assert 20.0 <= width_us <= 1000.0
        charge_nc = current_ua * width_us * 1e-3
        assert charge_nc <= 0.707 * (1 + 1e-6), "1 C/m2 on 707 um2"
    assert told["polarity"] == "NegativeFirst"
    assert told["pulseortrain"] == "SinglePulse" or int(told["numberofstimpulses"]) <= 10


# --- chips --------------------------------------------------------------------------------------


def test_no_event_beyond_a_limit_reaches_a_chip() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
    ):
        host.bind(("127.0.0.1", 0))
        host.settimeout(5.0)
        ours.bind(("127.0.0.1", 0))
        port = ours.getsockname()[1]
        ours.close()
        options = AerUdpSettings(
            listen_host="127.0.0.1",
            listen_port=port,
            chip_host="127.0.0.1",
            chip_port=host.getsockname()[1],
            neurons=(7, 8, 9),
        )
        driver = AerUdp("chip", options)
        driver.open()
        rig = armed(chip(neurons=(7, 8), limits=ChipLimits(max_per_second=2)))
        n_reached = 0

        @QUICK
        @given(
            st.sampled_from([7, 8, 9, 10, -1]) | st.integers() | ANY,
            st.sampled_from([0, 255, 256, -1]) | st.integers() | ANY,
        )
        def ask(neuron, code) -> None:
            nonlocal n_reached
            rig.pass_time(400 * MS)
            verdict = rig.ask(DriveNeuron(neuron, code))
            if not isinstance(verdict, Permit):
                return
            driver.drive(as_seen_by(verdict))
            packet = decode(host.recv(64))
            assert packet.neuron in (7, 8)
            assert 0 <= packet.aux <= 255
            assert (packet.neuron, packet.aux) == (neuron, code)
            n_reached += 1

        ask()
        assert n_reached > 0
        host.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            host.recv(64)
        driver.close()


def test_the_checks_of_this_file_can_fail() -> None:
    fake_values = {
        "a-000.firstphaseamplitudemicroamps": "4",
        "a-000.firstphasedurationmicroseconds": "100",
    }

    class Fake:
        values = fake_values

    with pytest.raises(AssertionError):
        within_limits(Fake())  # type: ignore[arg-type]
