"""The Keithley 2600B's language, TSP. No I/O.

Source: Series 2600B reference manual (2600BS-901-01): smuX attributes, error queue, and the factory
script KIPulse, whose `ConfigPulseVMeasureI` and `InitiatePulseTest` make pulses by the hardware's
clock. Channel A is used. The shortest width that we promise, 100 us, is not a number of the manual.
"""

from drivers.errors import InstrumentProtocolError, InstrumentRefusedError
from drivers.permit import PulseDevice
from drivers.smu.bench.dialect import Measured
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.keithley_2600.staircase import (
    MAX_STEPS,
    MIN_STEP_S,
    parse_staircase,
    staircase_message,
)
from drivers.smu.protocol import Capabilities
from drivers.tagged.message import Fields, Message, fixed, number, switch
from drivers.tagged.tsp import TspGrammar

PULSE_NPLC = 0.001
"""20 us at 50 Hz: a reading fits into the shortest pulse."""
_LIMITED_BIT = 64
"""Of a reading's status in a buffer: the source was at its limit."""
_STATE = ("smua.source.output", "smua.source.limiti")


class Keithley2600:
    """A 2601B to 2636B, channel A. Its pulse functions refuse while an autorange is on (5028)."""

    grammar = TspGrammar()
    can = Capabilities(
        model="Keithley 2600B",
        min_width_s=100e-6,
        max_width_s=0.1,
        width_resolution_s=1e-6,
        width_jitter_s=5e-6,
        max_pulse_v=6.0,
        min_compliance_a=1e-8,
        max_compliance_a=0.1,
        is_measuring_pulses=True,
        min_step_s=MIN_STEP_S,
        max_steps=MAX_STEPS,
        note="not a pulse generator: its rise depends on range and load",
    )
    is_wedged_by_reading_off = False
    language = None
    state = Message((), _STATE)
    off = Message(("smua.source.levelv = 0", "smua.source.output = 0"), _STATE)
    on = Message(("smua.source.levelv = 0", "smua.source.output = 1"), _STATE)

    def check_identity(self, identity: str) -> None:
        """Accept "Keithley Instruments Inc., Model 26xxB, ..."."""
        if not ("KEITHLEY" in identity.upper() and "MODEL 26" in identity.upper()):
            raise InstrumentProtocolError(f"{identity[:80]!r} is no Keithley 2600B")

    def configure(self, settings: BenchSettings) -> tuple[Message, ...]:
        """Reset channel A; fixed ranges, output at 0 V when off."""
        limit = fixed(settings.compliance_a, 12)
        sense = "SENSE_REMOTE" if settings.is_four_wire else "SENSE_LOCAL"
        source = (
            "smua.reset()",
            "format.data = format.ASCII",
            "beeper.enable = 0",
            "smua.source.func = smua.OUTPUT_DCVOLTS",
            "smua.source.offmode = smua.OUTPUT_NORMAL",
            "smua.source.autorangev = smua.AUTORANGE_OFF",
            f"smua.source.rangev = {fixed(settings.source_range_v)}",
            "smua.source.levelv = 0",
            f"smua.source.limiti = {limit}",
        )
        sense_side = (
            f"smua.sense = smua.{sense}",
            "smua.measure.autozero = smua.AUTOZERO_ONCE",
            "smua.measure.autorangei = smua.AUTORANGE_OFF",
            "smua.measure.autorangev = smua.AUTORANGE_OFF",
            f"smua.measure.rangei = {limit}",
            f"smua.measure.nplc = {fixed(settings.nplc, 3)}",
        )
        return Message(source), Message(sense_side)

    def read(self, settings: BenchSettings) -> Message:
        """Measure, then go back to 0 V, in one program."""
        return Message(
            (
                f"smua.source.levelv = {fixed(settings.read_voltage_v)}",
                f"delay({fixed(settings.settle_s)})",
                "i, v = smua.measure.iv()",
                "c = smua.source.compliance",
                "smua.source.levelv = 0",
            ),
            ("v", "i", "c", "smua.source.output"),
            settings.settle_s + settings.nplc / 25,
        )

    def parse_read(self, fields: Fields) -> Measured:
        """Return volts, amperes and the compliance flag at the level."""
        v, i, limited, output = fields
        return Measured(
            number(v, "voltage"),
            number(i, "current"),
            switch(limited, "source.compliance"),
            switch(output, "output"),
        )

    def prepare_pulse(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Configure pulse test 1: from 0 V, once, with the same limit.

        KIPulse wants the buffer to append; that can be changed only while the buffer is empty.
        """
        arguments = ", ".join(
            (
                "smua",
                "0",
                fixed(pulse.amplitude_v),
                fixed(settings.compliance_a, 12),
                fixed(pulse.width_s),
                fixed(pulse.width_s),
                "1",
                "smua.nvbuffer1",
                "1",
            )
        )
        return Message(
            (
                "smua.nvbuffer1.clear()",
                "smua.nvbuffer1.collectsourcevalues = 1",
                "smua.nvbuffer1.appendmode = 1",
                f"smua.measure.nplc = {fixed(PULSE_NPLC)}",
                f"f, m = ConfigPulseVMeasureI({arguments})",
            ),
            ("f", "m"),
        )

    def fire(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Start the test, wait for its end, delete it: the same line again would do nothing."""
        return Message(
            (
                "f, m = InitiatePulseTest(1)",
                "waitcomplete()",
                "DeletePulseTest(1)",
                f"smua.measure.nplc = {fixed(settings.nplc, 3)}",
            ),
            (
                "f",
                "m",
                "smua.nvbuffer1.sourcevalues[1]",
                "smua.nvbuffer1.readings[1]",
                "smua.nvbuffer1.statuses[1]",
                "smua.source.output",
            ),
            2 * pulse.width_s,
        )

    def staircase(
        self, settings: BenchSettings, pulse: PulseDevice, n_steps: int, *, halts: bool
    ) -> Message:
        """Go to the amplitude in steps and back, without 0 V in between."""
        return staircase_message(settings, pulse, n_steps, halts=halts)

    def parse_staircase(self, fields: Fields, n_steps: int) -> tuple[Measured, ...]:
        """Return what was measured at each step that was made."""
        return parse_staircase(fields, n_steps)

    def check_prepared(self, fields: Fields) -> None:
        """Raise `InstrumentRefusedError` with the instrument's words unless it said `true`."""
        if not switch(fields[0], "ConfigPulseVMeasureI"):
            raise InstrumentRefusedError(f"pulse not set up: {fields[1]}")

    def parse_pulse(self, fields: Fields) -> Measured:
        """Return level, current and the limit bit of the reading in the pulse."""
        was_started, words, v, i, status, output = fields
        if not switch(was_started, "InitiatePulseTest"):
            raise InstrumentRefusedError(f"pulse not started: {words}")
        return Measured(
            number(v, "source value"),
            number(i, "current"),
            bool(int(number(status, "status")) & _LIMITED_BIT),
            switch(output, "output"),
        )
