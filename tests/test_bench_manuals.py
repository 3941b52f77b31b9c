"""What the manuals of the bench units print, typed in as it stands: for drivers and for mocks.

No manual prints a conversation as our drivers hold it, with a tag and the error queue in each line:
`golden/bench_units.txt` is composed from the manuals' words. Here are the programs and answers that
they do print, each with document number, revision and page. Left out for want of a printed answer:
`InitiatePulseTest` and what `ConfigPulseVMeasureI` says in its message (described, not shown); a
reading of a 2450 with its source status; the B2900's `*IDN?`, error queue and pulse. The identities
and status words marked "described" are given there in words or as a pattern, not as an answer.
"""

import pytest
from bench_smu_rig import CELL, DIALECTS, Rig

from drivers.errors import InstrumentProtocolError
from drivers.smu.bench.dialect import output_state
from drivers.smu.keithley_2400.wire import Keithley2400
from drivers.smu.keithley_2450.wire import Keithley2450
from drivers.smu.keithley_2600.wire import Keithley2600
from drivers.smu.keysight_b2900.wire import KeysightB2900
from drivers.tagged.message import Message, number, numbers, switch
from drivers.tagged.scpi import ScpiGrammar
from drivers.tagged.tsp import TspGrammar


def typed(unit, program, **options):
    """Return the answers of a simulated unit to the lines of a printed program."""
    instrument = Rig(unit, **options).wire.instrument
    answers = [instrument.handle(line.strip())[0] for line in program.strip().splitlines()]
    return instrument, [answer for answer in answers if answer is not None]


class TestKeithley2600:
    """2600BS-901-01, Series 2600B reference manual."""

    def test_error_queue_count(self):
        # Rev. B, May 2013, p. 7-83: "there are four entries in the error queue: 4.00000e+00"
        instrument = Rig("keithley_2600").wire.instrument
        for code in range(4):
            instrument.errors.add(-100 - code, "")
        instrument.handle("count = errorqueue.count")
        assert instrument.handle("print(count)")[0] == "4.00000e+00"
        answer = TspGrammar().parse(Message(()), "#7\t4.00000e+00")
        assert answer.error == "4 in the queue"

    def test_error_queue_empty(self):
        # printed in the sister manual, 3700AS-901-01 Rev. D, June 2018, p. 11-236; a tab between
        _, answers = typed(
            "keithley_2600",
            """
            errorcode, message = errorqueue.next()
            print(errorcode, message)
            """,
        )
        assert answers == ["0.00000e+00\tQueue Is Empty"]
        grammar = TspGrammar()
        line = "#8\t0.00000e+00\tQueue Is Empty\t0.00000e+00"
        assert grammar.error_in(grammar.parse(grammar.next_error, line)) is None

    def test_compliance(self):
        # Rev. C, August 2016, p. 7-236: "print(compliance)", output "true"
        instrument, answers = typed(
            "keithley_2600",
            """
            smua.source.limiti = 1e-5
            smua.source.levelv = 0.5
            smua.source.output = 1
            compliance = smua.source.compliance
            print(compliance)
            """,
        )
        assert answers == ["true"]
        assert instrument.output.is_on
        assert switch("true", "compliance")

    def test_status_of_a_reading_in_compliance(self):
        # Rev. F, August 2021, p. 9-34: "B6 Compliance 0x40"; "floating-point numbers" (described)
        fields = ("true", "", "1.00000e+00", "1.00000e-04", "6.40000e+01", "1.00000e+00")
        assert Keithley2600().parse_pulse(fields).is_limited
        fields = (*fields[:4], "1.00000e+01", fields[5])  # 4-wire, measure range autoranged
        assert not Keithley2600().parse_pulse(fields).is_limited

    def test_append_mode(self):
        # 2601B-PULSE-901-01 A, April 2020, p. 11-18: "can only be changed with an empty buffer"
        rig = Rig("keithley_2600")
        rig.driver.open()
        rig.driver.read(CELL)
        assert rig.driver.pulse(rig.permit()).is_confirmed
        unit = rig.wire.instrument
        unit.handle("smua.nvbuffer1.appendmode = 0")
        assert len(unit.errors) == 1
        unit.errors.clear()
        assert rig.driver.pulse(rig.permit()).is_confirmed  # it empties the buffer first

    def test_overflow(self):
        # Rev. C, p. 7-167: "9.910000e+37 is returned for each value outside"
        with pytest.raises(InstrumentProtocolError, match="overflow, or not measured"):
            number("9.910000e+37", "reading")

    @pytest.mark.parametrize("maker", ["Keithley Instruments Inc.", "Keithley Instruments"])
    def test_identity(self, maker):
        # Rev. C p. D-3 (with "Inc.") and Rev. F p. 11-3 (without) (described)
        Keithley2600().check_identity(f"{maker}, Model 2601B, 4028301, 3.4.2")


class TestKeithley2450:
    """2450-901-01 Rev. B, September 2013, Model 2450 reference manual."""

    def test_identity(self):
        # p. B-5, output
        Keithley2450().check_identity("KEITHLEY INSTRUMENTS INC.,MODEL 2450,01234567,1.0.0i")

    def test_list_sweep(self):
        # p. 6-78: "will source 1 V, 5 V, 1 V, 5 V, 1 V, 5 V and measure the resulting current"
        instrument, answers = typed(
            "keithley_2450",
            """
            *RST
            SENS:FUNC "CURR"
            SENS:CURR:RANG:AUTO ON
            SENS:CURR:RSEN OFF
            SOUR:FUNC VOLT
            SOUR:VOLT:RANG 20
            SOUR:VOLT:ILIM 1
            SOUR:LIST:VOLT 1, 5, 1, 5, 1, 5
            SOUR:SWE:VOLT:LIST 1, 0.2
            INIT
            *WAI
            TRAC:DATA? 1, 6, "defbuffer1", SOUR, READ
            """,
            ohm=1e6,
        )
        (answer,) = answers
        found = numbers(answer, 12, "sweep")
        assert found[::2] == [1, 5, 1, 5, 1, 5]
        assert all(current_a > 0 for current_a in found[1::2])
        assert len(instrument.errors) == 0
        held_s = [pulse.width_s for pulse in instrument.output.crossbar.pulses]
        assert held_s[0] == pytest.approx(0.2, abs=0.03)  # "each voltage point is 200 ms"

    @pytest.mark.parametrize(
        ("error", "is_one"),
        [
            ('0,"No error;0,0,0"', False),
            ('-109,"Missing parameter;1,1367794863,384492889"', True),
        ],
    )
    def test_events_have_semicolons_in_their_text(self, error, is_one):
        # p. 6-101, :SYSTem:EVENtlog:NEXT?: an empty log, and a command without its parameter
        answer = ScpiGrammar().parse(Message((":OUTP?",)), f"7;1;{error}")
        assert answer.error == (error if is_one else None)
        assert answer.fields == (() if is_one else ("1",))

    def test_a_reading_out_of_a_buffer(self):
        # printed in the sister manual, 2461-901-01 A, November 2015, p. 6-11 (the last of READ?)
        assert number("-6.580474E-05", "reading") == pytest.approx(-6.580474e-05)

    def test_source_status_bits(self):
        # p. 8-29: 32 "Source function was limited"; 2470-901-01 p. 14-32: 128 "Output was on"
        dialect = Keithley2450()
        assert dialect.parse_read(("5.0E-01,1.0E-04,160", "1")).is_limited
        assert not dialect.parse_read(("5.0E-01,1.0E-04,128", "1")).is_limited


class TestKeithley2400:
    """2400S-900-01 Rev. K, September 2011, 2400 Series user's manual."""

    READING = "+1.000236E+00,+1.000000E-04,+1.000236E+04,+7.282600E+01,+4.813200E+04"
    """Figure 18-1, p. 18-53, with the values that the text beside it names: 1.000236 V, 100 uA,
    10 kohm, 72.826 s, 48,132."""

    def test_the_example_reading_string(self):
        found = Keithley2400().parse_read((self.READING, "1"))
        assert (found.voltage_v, found.current_a) == (1.000236, 1e-4)
        assert not found.is_limited  # "bits 2, 10, 11, 12, 13, and 15 of the status word are set"
        assert sum(1 << bit for bit in (2, 10, 11, 12, 13, 15)) == 48132

    @pytest.mark.parametrize("bit", [3, 16])
    def test_compliance_bits(self, bit):
        # p. 18-50 (bit 3); "in range compliance" (bit 16) as in 6430-901-01 p. 17-48 (described)
        reading = self.READING.replace("+4.813200E+04", f"{48132 + (1 << bit):+.6E}")
        assert Keithley2400().parse_read((reading, "1")).is_limited

    def test_custom_sweep(self):
        # Table 10-6, p. 10-21: "7V, 1V, 3V, 8V, 2V sweep points"
        instrument, answers = typed(
            "keithley_2400",
            """
            *RST
            :SENS:FUNC:CONC OFF
            :SOUR:FUNC VOLT
            :SENS:FUNC 'CURR:DC'
            :SENS:CURR:PROT 0.1
            :SOUR:VOLT:MODE LIST
            :SOUR:LIST:VOLT 7,1,3,8,2
            :TRIG:COUN 5
            :SOUR:DEL 0.1
            :OUTP ON
            :READ?
            """,
            ohm=1e6,
        )
        found = answers[-1].split(",")
        assert [float(volts) for volts in found[::5]] == [7, 1, 3, 8, 2]
        assert len(found) == 25
        assert len(instrument.errors) == 0

    def test_sink_example(self):
        # Table 3-8, p. 3-24: output on, then trigger and acquire a reading
        instrument, answers = typed(
            "keithley_2400",
            """
            *RST
            :SOUR:FUNC VOLT
            :SOUR:VOLT:MODE FIXED
            :SENS:FUNC "CURR"
            :SENS:CURR:RANG:AUTO ON
            :SENS:CURR:PROT 100E-3
            :OUTP ON
            :READ?
            """,
        )
        assert answers[-1].count(",") == 4
        assert instrument.output.limit_a == 0.1
        assert len(instrument.errors) == 0

    def test_undefined_header(self):
        # p. B-8: -113, "Undefined header" for a command without the space before its parameter
        _, answers = typed("keithley_2400", ":SENS:VOLT:DC:RANG100\n:SYST:ERR?")
        assert answers == ['-113,"Undefined header"']


class TestKeysightB2900:
    """B2910-90030 Edition 2, July 2011, Agilent B2900 SCPI command reference."""

    def test_data_in_ascii(self):
        # printed in the sister reference, B2961-90030 Edition 6, p. 1-12
        assert numbers("+1.000001E-06,+1.000002E-06,+9.999999E-07", 3, "reading") == [
            1.000001e-06,
            1.000002e-06,
            9.999999e-07,
        ]
        for text in ("+9.910000E+37", "+9.900000E+37", "-9.900000E+37"):
            with pytest.raises(InstrumentProtocolError):
                number(text, "reading")

    def test_measure(self):
        # p. 4-44, example: current, then source, of channel 1 (this one has a single channel)
        instrument, answers = typed(
            "keysight_b2900", ":FORM:ELEM:SENS CURR,SOUR\n:SOUR:VOLT 0.1\n:MEAS? (@1)"
        )
        current_a, source_v = numbers(answers[-1], 2, "reading")
        assert source_v == 0.1
        assert current_a > 0
        assert len(instrument.errors) == 0

    def test_compliance_status(self):
        # B2961-90030 p. 4-91: "status is 1 or 0 ... Response data type is NR1"
        _, answers = typed("keysight_b2900", ":SENS:CURR:PROT:TRIP?")
        assert answers == ["0"]
        reading = "+5.000000E-01,+1.000000E-04,+3.000000E-03,+0.000000E+00,+5.000000E-01"
        assert KeysightB2900().parse_read((reading, "1", "1")).is_limited
        assert not KeysightB2900().parse_read((reading, "0", "1")).is_limited


@pytest.mark.parametrize("unit", ["keithley_2400", "keithley_2450", "keysight_b2900"])
def test_several_queries_of_a_line_answer_in_one_line(unit):
    """2700 user's manual (Keithley), p. 10-17: "0; 1; 1; 0" in the order of the queries."""
    answer = ScpiGrammar().parse(DIALECTS[unit].state, '5; 0; +1.000000E-04; 0,"No error"')
    assert output_state(answer.fields).compliance_a == 1e-4
