"""The drivers of bench units: literal transcripts, limits, compliance, and the real ones' traps."""

import math
from pathlib import Path

import pytest
from bench_smu_rig import CELL, DIALECTS, SETTINGS, WIDTH_S, Rig, driver_of, permit_for, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.errors import (
    InstrumentError,
    InstrumentProtocolError,
    InstrumentRefusedError,
    SafetyLimitError,
    TransportError,
)
from drivers.permit import PulseDevice, Stimulate
from drivers.safe_state import SafeState
from drivers.smu.bench.driver import BenchSmu
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.bench.unit import BenchState
from drivers.smu.protocol import DeviceAddress
from mocks.memristor_noise import NOISE_MILD

UNITS = tuple(DIALECTS)
GOLDEN = Path(__file__).parent / "golden" / "bench_units.txt"


def transcript(unit):
    """Return the (sent, answered) pairs of a unit."""
    text = GOLDEN.read_text(encoding="ascii").split(f"[{unit}]\n")[1].split("\n[")[0]
    lines = [line.replace("\\t", "\t") for line in text.splitlines() if line[:1] in "<>"]
    return [(sent[2:], answer[2:]) for sent, answer in zip(lines[::2], lines[1::2], strict=True)]


class Script:
    """Answers what the transcript answers, and nothing else."""

    def __init__(self, pairs):
        self.pairs = list(pairs)
        self.answers = []

    def write_line(self, line):
        sent, answer = self.pairs.pop(0)
        assert line == sent
        self.answers.append(answer)

    def read_line(self, timeout_s):
        return self.answers.pop(0)

    def close(self):
        pass


@pytest.mark.parametrize("unit", UNITS)
def test_driver_says_what_the_transcript_says(unit):
    script = Script(transcript(unit))
    driver = BenchSmu(unit, DIALECTS[unit](), lambda: script, SETTINGS)
    driver.open()
    assert driver.read(CELL).resistance_ohm == pytest.approx(5000)
    outcome = driver.pulse(permit_for(unit, 1.5, WIDTH_S[unit]))
    assert outcome.pulse_v == 1.5
    assert outcome.pulse_a == pytest.approx(6.75317e-4)
    assert outcome.is_limited is False
    assert outcome.after.resistance_ohm > 5400
    assert driver.make_safe().state is SafeState.CONFIRMED
    assert not script.pairs


@pytest.mark.parametrize("unit", UNITS)
def test_mock_answers_what_the_transcript_says(unit):
    wire = Rig(unit).wire
    for sent, answer in transcript(unit):
        wire.write_line(sent)
        assert wire.read_line(1.0) == answer


@pytest.mark.parametrize("wire", ["tcp", "pty"])
@pytest.mark.parametrize("unit", UNITS)
def test_over_a_real_wire(unit, wire):
    with running(unit, wire) as process:
        driver = driver_of(unit, process)
        try:
            driver.open()
            assert not process.ask("status")["is_on"]
            assert driver.read_agreed(CELL).resistance_ohm == pytest.approx(5000, rel=1e-3)
            driver.pulse(permit_for(unit, 1.5, WIDTH_S[unit]))
            (pulse,) = process.ask("pulses")["pulses"]
            assert pulse["amplitude_v"] == 1.5
            assert pulse["width_s"] == pytest.approx(
                WIDTH_S[unit], abs=DIALECTS[unit].can.width_jitter_s
            )
            assert driver.read(CELL).resistance_ohm == pytest.approx(pulse["after_ohm"], rel=1e-3)
        finally:
            driver.close()
        status = process.ask("status")
        assert not status["is_on"]
        assert status["level_v"] == 0


@pytest.mark.parametrize("unit", UNITS)
class TestEveryUnit:
    def test_opening_changes_no_output(self, unit):
        rig = Rig(unit)
        rig.wire.instrument.output.switch(is_on=True)
        rig.wire.instrument.output.set_level(0.1)
        rig.driver.open()
        rig.driver.close()
        assert rig.wire.instrument.output.is_on
        assert rig.wire.instrument.output.level_v == 0.1

    def test_output_goes_off_before_it_is_set_up(self, unit):
        rig = Rig(unit)
        rig.wire.instrument.output.switch(is_on=True)
        rig.wire.instrument.output.set_level(0.5)
        rig.driver.open()
        rig.driver.read(CELL)
        first_moving = next(line for line in rig.wire.sent if "VOLT 0" in line or "levelv" in line)
        assert "OUTP OFF" in first_moving.replace("OUTP1", "OUTP") or "output = 0" in first_moving
        assert rig.wire.instrument.output.is_on
        assert rig.wire.instrument.output.level_v == 0

    def test_compliance_is_compared_before_the_output_goes_on(self, unit):
        rig = Rig(unit)
        output = rig.wire.instrument.output
        was_on = []

        def forget_the_limit(n, line):
            answer = [(0.0, line)]
            if "PROT 0.00" in line or "ILIM 0.00" in line or "limiti = 0" in line:
                line = line.replace("0.001000000", "0.005000000")
                return [(0.0, line)]
            was_on.append(output.is_on)
            return answer

        rig.wire.on_request = forget_the_limit
        rig.driver.open()
        with pytest.raises(InstrumentProtocolError, match=r"compliance is 0\.005 A"):
            rig.driver.read(CELL)
        assert not any(was_on)
        assert not output.is_on

    def test_compliance_flag_comes_with_readings_and_pulses(self, unit):
        rig = Rig(unit, BenchSettings(read_voltage_v=0.5, compliance_a=50e-6))
        rig.driver.open()
        reading = rig.driver.read(CELL)
        assert reading.is_limited is True
        assert reading.resistance_ohm > 5000  # at the lower voltage that is left
        outcome = rig.driver.pulse(rig.permit())
        assert outcome.is_limited is True
        assert outcome.pulse_a == pytest.approx(50e-6, rel=0.06)
        assert rig.true_ohm == 5000  # the lowered voltage is below its threshold

    def test_read_noise_does_not_stop_agreement(self, unit):
        rig = Rig(unit, noise=NOISE_MILD)
        rig.driver.open()
        assert rig.driver.read_agreed(CELL).resistance_ohm == pytest.approx(5000, rel=0.01)

    def test_a_pulse_needs_its_own_fresh_permit(self, unit):
        rig = Rig(unit)
        rig.driver.open()
        rig.driver.read(CELL)
        for changes in (
            {"instrument": "another"},
            {"expires_ns": -1},
            {"is_tripped": lambda: True},
        ):
            with pytest.raises(SafetyLimitError):
                rig.driver.pulse(rig.permit(**changes))
        permit = rig.permit()
        rig.driver.pulse(permit)
        with pytest.raises(SafetyLimitError, match="already spent"):
            rig.driver.pulse(permit)
        assert rig.wire.crossbar.n_pulses == 1

    def test_a_trip_while_the_pulse_is_set_up_stops_it(self, unit):
        rig = Rig(unit)
        rig.driver.open()
        rig.driver.read(CELL)
        answers = iter([False, True])  # when it is spent, and before the message that moves
        with pytest.raises(SafetyLimitError, match="the Gate tripped"):
            rig.driver.pulse(rig.permit(is_tripped=lambda: next(answers)))
        assert rig.wire.crossbar.n_pulses == 0
        assert rig.driver.counters.n_pulses == 0
        rig.driver.read(CELL)  # what was set up is not made by the next reading
        assert rig.wire.crossbar.n_pulses == 0
        rig.driver.pulse(rig.permit())

    def test_a_slow_line_does_not_make_a_permit_too_old(self, unit):
        rig = Rig(unit)
        rig.driver.open()
        rig.driver.read(CELL)
        rig.wire.on_request = lambda n, line: [(0.2, line)]
        now_ns = round(rig.wire.now_s * 1e9)
        clock_ns = lambda: round(rig.wire.now_s * 1e9)  # noqa: E731
        outcome = rig.driver.pulse(rig.permit(expires_ns=now_ns + 20_000_000, clock_ns=clock_ns))
        assert outcome.is_confirmed

    def test_first_pulse_without_a_reading_is_refused_and_makes_ready(self, unit):
        rig = Rig(unit)
        rig.driver.open()
        permit = rig.permit()
        with pytest.raises(InstrumentError, match="no pulse was sent"):
            rig.driver.pulse(permit)
        assert rig.wire.crossbar.n_pulses == 0
        assert rig.driver.state is BenchState.READY
        rig.driver.pulse(permit)  # unspent
        assert rig.wire.crossbar.n_pulses == 1

    def test_make_safe_shuts_until_opened_again(self, unit):
        rig = Rig(unit)
        rig.driver.open()
        rig.driver.read(CELL)
        report = rig.driver.make_safe()
        assert report.state is SafeState.CONFIRMED
        assert not rig.wire.instrument.output.is_on
        n_sent = len(rig.wire.sent)
        for act in (lambda: rig.driver.read(CELL), lambda: rig.driver.pulse(rig.permit())):
            with pytest.raises(SafetyLimitError, match="after make_safe"):
                act()
        assert len(rig.wire.sent) == n_sent
        rig.driver.open()
        rig.driver.read(CELL)

    def test_make_safe_without_a_connection_makes_one(self, unit):
        rig = Rig(unit)
        rig.wire.instrument.output.switch(is_on=True)  # left so by an engine that died
        assert rig.driver.make_safe().state is SafeState.CONFIRMED
        assert not rig.wire.instrument.output.is_on

    def test_make_safe_with_nobody_there_says_so(self, unit):
        rig = Rig(unit)
        rig.driver.open()
        rig.driver.read(CELL)
        rig.wire.is_down = True
        assert rig.driver.make_safe().state is SafeState.FAILED
        rig.driver.close()

    def test_another_instrument_is_refused(self, unit):
        rig = Rig(unit)
        rig.wire.on_reply = lambda n, text: [(0.0, "HEWLETT-PACKARD,34401A,0,10-5-2\n")]
        with pytest.raises(InstrumentProtocolError, match="34401A"):
            rig.driver.open()

    def test_errors_are_drained_into_an_exception(self, unit):
        rig = Rig(unit)
        rig.driver.open()
        rig.driver.read(CELL)
        rig.wire.instrument.errors.add(-222, "Parameter data out of range")
        rig.wire.instrument.errors.add(-113, "Undefined header;:FOO")
        with pytest.raises(InstrumentRefusedError, match=r"(?s)-222.*-113.*FOO"):
            rig.driver.read(CELL)
        assert len(rig.wire.instrument.errors) == 0
        rig.driver.read(CELL)

    def test_open_device_gives_no_resistance_and_stays_in_step(self, unit):
        rig = Rig(unit, ohm=1e12)
        rig.driver.open()
        with pytest.raises(InstrumentProtocolError, match="no resistance"):
            rig.driver.read(CELL)
        assert rig.driver.state is BenchState.READY

    def test_what_it_cannot_do_is_refused_by_name(self, unit):
        can = DIALECTS[unit].can
        rig = Rig(unit)
        rig.driver.open()
        rig.driver.read(CELL)
        n_sent = len(rig.wire.sent)
        with pytest.raises(SafetyLimitError, match=can.model):
            rig.driver.pulse(rig.permit(width_s=can.min_width_s * 0.9))
        with pytest.raises(SafetyLimitError, match="multiples of"):
            rig.driver.pulse(rig.permit(width_s=8e-3 + can.width_resolution_s / 3))
        assert len(rig.wire.sent) == n_sent
        with pytest.raises(SafetyLimitError, match="compliance_a"):
            Rig(unit, BenchSettings(compliance_a=5.0))

    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )
    @given(
        amplitude_v=st.floats() | st.sampled_from([1.5, -1.5, 1.5000001, 0.0, math.nan, math.inf]),
        width_s=st.floats() | st.sampled_from([1e-4, 5e-3, 0.01, 0.010001, 4.9e-3, math.nan]),
        place=st.tuples(st.integers(-1, 2), st.integers(-1, 2)),
    )
    def test_no_value_outside_the_limits_reaches_the_wire(self, unit, amplitude_v, width_s, place):
        rig = Rig(unit)
        rig.driver.open()
        rig.driver.read(CELL)
        n_sent = len(rig.wire.sent)
        action = PulseDevice(*place, amplitude_v, width_s)
        can = rig.driver.capabilities
        is_allowed = (
            place == (1, 1)
            and 0 < abs(amplitude_v) <= SETTINGS.max_pulse_v
            and can.min_width_s <= width_s <= SETTINGS.max_pulse_width_s
            and math.isclose(
                width_s, round(width_s / can.width_resolution_s) * can.width_resolution_s
            )
        )
        if is_allowed:
            rig.driver.pulse(rig.permit(action=action))
            (pulse,) = rig.wire.crossbar.pulses if abs(amplitude_v) > 0.6 else [None]
            assert pulse is None or pulse.amplitude_v == pytest.approx(amplitude_v, abs=1e-6)
            return
        with pytest.raises(SafetyLimitError):
            rig.driver.pulse(rig.permit(action=action))
        assert len(rig.wire.sent) == n_sent


@settings(max_examples=60, deadline=None)
@given(st.floats(), st.floats(), st.floats(), st.floats())
def test_settings_outside_the_abilities_make_no_driver(read_v, compliance_a, max_v, width_s):
    for unit, dialect in DIALECTS.items():
        can = dialect.can
        wanted = BenchSettings(
            read_voltage_v=read_v,
            compliance_a=compliance_a,
            max_pulse_v=max_v,
            max_pulse_width_s=width_s,
        )
        is_possible = (
            0 < abs(read_v) <= 0.5
            and can.min_compliance_a <= compliance_a <= can.max_compliance_a
            and 0 <= max_v <= can.max_pulse_v
            and max(can.min_width_s, wanted.min_pulse_width_s) <= width_s <= can.max_width_s
        )
        if is_possible:
            Rig(unit, wanted)
        else:
            with pytest.raises(SafetyLimitError):
                Rig(unit, wanted)


def test_a_wrong_action_or_device_is_refused():
    rig = Rig("keithley_2600")
    rig.driver.open()
    with pytest.raises(SafetyLimitError, match="no pulse"):
        rig.driver.pulse(rig.permit(action=Stimulate(1)))
    with pytest.raises(SafetyLimitError, match="allowed 1, 1"):
        rig.driver.read(DeviceAddress(1, 2))


def test_2450_in_another_language_is_named():
    for language in ("TSP", "SCPI2400"):
        rig = Rig("keithley_2450", language=language)
        with pytest.raises(InstrumentRefusedError, match=f"set to '{language}'"):
            rig.driver.open()


def test_2400_is_never_asked_for_a_reading_with_its_output_off():
    rig = Rig("keithley_2400")
    rig.driver.open()
    rig.driver.read(CELL)
    rig.wire.instrument.output.switch(is_on=False)  # somebody pressed the key on its panel
    with pytest.raises(InstrumentProtocolError, match="output is off"):
        rig.driver.read(CELL)
    assert not rig.wire.instrument.is_wedged
    rig.driver.read(CELL)


def test_mock_2400_has_its_traps():
    wire = Rig("keithley_2400").wire
    ask = lambda line: wire.instrument.handle(line)[0]  # noqa: E731
    assert ask(":SENS:CURR:PROT 1e-12;:SENS:CURR:PROT?") == "1.050000E-04"  # ignored in silence
    assert ask(":MEAS:CURR?").count(",") == 4
    assert wire.instrument.output.is_on  # switched on by itself
    ask(":OUTP OFF")
    assert ask(":READ?") is None
    assert ask("*IDN?") is None  # for ever
    wire.restart()
    assert "2400" in ask("*IDN?")


def test_mock_2450_does_not_know_the_words_of_a_2400():
    instrument = Rig("keithley_2450").wire.instrument
    instrument.handle(":SENS:CURR:PROT 1e-3")
    instrument.handle(":TRAC:FEED:CONT NEXT")
    assert instrument.handle(":SYST:ERR?")[0].startswith("-113")
    assert instrument.handle(":SYST:ERR?")[0].startswith("-113")
    assert instrument.handle(":SYST:ERR?")[0] == '0,"No error"'


def test_mock_2600_has_its_traps():
    instrument = Rig("keithley_2600").wire.instrument
    ask = lambda line: instrument.handle(line)[0]  # noqa: E731
    pulse = "print(ConfigPulseVMeasureI(smua, 0, 1.5, 1e-3, 1e-3, 1e-3, 1, smua.nvbuffer1, 1))"
    ask("smua.reset()")
    assert ask(pulse).startswith("false")
    assert ask("print(errorqueue.next())").startswith("5.02800e+03")
    ask("smua.source.rangev = 2")
    assert ask(pulse) == "false\tMeasure autorange must be off"
    assert ask("print(errorqueue.next())").startswith("1.01100e+03")
    ask("smua.measure.rangei = 1e-3")
    assert ask(pulse) == "false\tBuffer append mode must be on"
    ask("smua.nvbuffer1.appendmode = 1")
    assert ask(pulse) == "false\tnplc is too long for the pulse"
    assert ask("print(smub.source.levelv)") is None
    assert "nil" in ask("print(errorqueue.next())")
    assert ask("smua.source.levelv = 1.5 print(") is None  # not complete: nothing of it is done
    assert instrument.output.level_v == 0
    assert ask("print(errorqueue.next())").startswith("-2.85000e+02")


def test_mock_b2900_switches_on_by_itself_unless_told_not_to():
    instrument = Rig("keysight_b2900").wire.instrument
    instrument.handle(":MEAS? (@1)")
    assert instrument.output.is_on
    instrument.handle("*RST;:OUTP1:ON:AUTO OFF")
    instrument.handle(":MEAS? (@1)")
    assert not instrument.output.is_on


def test_nobody_there_is_said_in_time():
    driver = driver_of(
        "keithley_2600",
        type("Gone", (), {"resource": "TCPIP::127.0.0.1::1::SOCKET"})(),
    )
    with pytest.raises((TransportError, InstrumentError)):
        driver.open()
    assert driver.state is BenchState.CLOSED


def test_units_of_one_process_do_not_close_each_other_s_lines():
    with running("keithley_2600") as one, running("keithley_2400") as other:
        drivers = [driver_of("keithley_2600", one), driver_of("keithley_2400", other)]
        try:
            for driver in drivers:
                driver.open()
                driver.read(CELL)
            drivers[0].close()
            drivers[1].read(CELL)
            assert drivers[1].counters.n_resyncs == 0
        finally:
            for driver in drivers:
                driver.close()
