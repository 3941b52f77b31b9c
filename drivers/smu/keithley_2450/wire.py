"""The Keithley 2450's SCPI. No I/O.

Source: Model 2450 reference manual (2450-901-01), chapter 6. The maker specifies no pulse: ours
is a sweep over a list of two levels, timed by the instrument, which switches its output off at
the end.
The shortest width that we promise, 2 ms, is one laboratory's experience.
"""

from drivers.errors import InstrumentProtocolError
from drivers.permit import PulseDevice
from drivers.smu.bench.dialect import Language, Measured, error_queue_tells
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.protocol import Capabilities
from drivers.tagged.message import Fields, Message, fixed, numbers, switch
from drivers.tagged.scpi import ScpiGrammar

PULSE_NPLC = 0.01
_LIMITED_BIT = 32
"""Of a reading's source status: the level was limited."""
_STATE = (":OUTP?", ":SOUR:VOLT:ILIM?")
_BUFFER = '"defbuffer1"'


class Keithley2450:
    """A 2450 or 2460 that is set to SCPI (not to TSP, nor to the words of a 2400)."""

    grammar = ScpiGrammar()
    can = Capabilities(
        model="Keithley 2450",
        min_width_s=2e-3,
        max_width_s=0.1,
        width_resolution_s=1e-4,
        width_jitter_s=1e-3,
        max_pulse_v=20.0,
        min_compliance_a=1e-8,
        max_compliance_a=0.1,
        is_measuring_pulses=True,
        note="no specified pulse; a sweep of two levels",
    )
    is_wedged_by_reading_off = False
    language = Language(
        "*LANG?",
        "SCPI",
        "set SCPI in its menu (System, Settings, Command set) and switch it off and on",
    )
    state = Message(_STATE)
    off = Message((":SOUR:VOLT 0", ":OUTP OFF", *_STATE))
    on = Message((":SOUR:VOLT 0", ":OUTP ON", *_STATE))

    check_prepared = staticmethod(error_queue_tells)

    def check_identity(self, identity: str) -> None:
        """Accept "KEITHLEY INSTRUMENTS,MODEL 2450,...", and a 2460."""
        if not any(model in identity.upper() for model in ("MODEL 2450", "MODEL 2460")):
            raise InstrumentProtocolError(f"{identity[:80]!r} is no Keithley 2450")

    def configure(self, settings: BenchSettings) -> tuple[Message, ...]:
        """Reset; the measure range comes after the source limit, which bounds it."""
        limit = fixed(settings.compliance_a, 9)
        return (
            Message(
                (
                    "*RST",
                    f":ROUT:TERM {'REAR' if settings.is_rear else 'FRON'}",
                    ":SOUR:FUNC VOLT",
                    f":SOUR:VOLT:RANG {fixed(settings.source_range_v)}",
                    ":SOUR:VOLT 0",
                    f":SOUR:VOLT:ILIM {limit}",
                    ":SOUR:VOLT:READ:BACK ON",
                    ":SOUR:VOLT:DEL:AUTO OFF",
                    f":SOUR:VOLT:DEL {fixed(settings.settle_s)}",
                )
            ),
            Message(
                (
                    ':SENS:FUNC "CURR"',
                    f":SENS:CURR:RANG {limit}",
                    f":SENS:CURR:NPLC {fixed(settings.nplc, 3)}",
                    f":SENS:CURR:RSEN {'ON' if settings.is_four_wire else 'OFF'}",
                    ":SENS:CURR:AZER OFF",
                    ":OUTP:VOLT:SMOD NORM",
                )
            ),
        )

    def read(self, settings: BenchSettings) -> Message:
        """Measure at the level, then go back to 0 V."""
        return Message(
            (
                f":SOUR:VOLT {fixed(settings.read_voltage_v)}",
                f":READ? {_BUFFER},SOUR,READ,SOURSTAT",
                ":SOUR:VOLT 0",
                ":OUTP?",
            ),
            duration_s=settings.settle_s + settings.nplc / 50,
        )

    def parse_read(self, fields: Fields) -> Measured:
        """Return volts, amperes and the limit bit."""
        return _measured(fields, 1)

    def prepare_pulse(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Set up the sweep: amplitude and 0 V, the width each."""
        return Message(
            (
                f":TRAC:CLE {_BUFFER}",
                f":SENS:CURR:NPLC {fixed(PULSE_NPLC, 3)}",
                f":SOUR:LIST:VOLT {fixed(pulse.amplitude_v)},0.000000",
                f":SOUR:SWE:VOLT:LIST 1,{fixed(pulse.width_s - PULSE_NPLC / 50)},1,OFF,{_BUFFER}",
            )
        )

    def fire(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Run the sweep to its end, fetch both points; nothing is left that a trigger starts."""
        return Message(
            (
                ":INIT",
                "*WAI",
                f":TRAC:DATA? 1,2,{_BUFFER},SOUR,READ,SOURSTAT",
                ':TRIG:LOAD "Empty"',
                ":SOUR:VOLT 0",
                f":SENS:CURR:NPLC {fixed(settings.nplc, 3)}",
                ":OUTP?",
            ),
            duration_s=2 * pulse.width_s,
        )

    def parse_pulse(self, fields: Fields) -> Measured:
        """Return what was measured at the end of the pulse."""
        return _measured(fields, 2)


def _measured(fields: Fields, n_points: int) -> Measured:
    values, output = fields
    voltage_v, current_a, status, *_ = numbers(values, 3 * n_points, "reading")
    is_limited = bool(int(status) & _LIMITED_BIT)
    return Measured(voltage_v, current_a, is_limited, switch(output, "output"))
