"""The Keithley 2400's SCPI. No I/O.

Source: Series 2400 user's manual (2400S-900-01), chapter 18. There is no pulse mode: a pulse is a
list sweep of two points whose source delay is the width, so that the instrument and not the host
ends it; with its measurement it is right to about 1.5 ms, and shorter ones than 5 ms are refused.
`:MEAS?` and `:CONF` are never sent: they switch the output on and the settings back.
"""

from drivers.errors import InstrumentProtocolError
from drivers.permit import PulseDevice
from drivers.smu.bench.dialect import Measured, error_queue_tells
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.protocol import Capabilities
from drivers.tagged.message import Fields, Message, fixed, numbers, switch
from drivers.tagged.scpi import ScpiGrammar

PULSE_NPLC = 0.01
_PULSE_MEASURE_S = 0.4e-3
"""Voltage and current, one after the other, at 50 Hz; the level lasts so much beyond the delay."""
_LIMITED_BITS = 1 << 3 | 1 << 16
"""Of the status word of a reading: real compliance, or that of the measure range."""
_N_ELEMENTS = 5
_STATE = (":OUTP?", ":SENS:CURR:PROT?")


class Keithley2400:
    """A 2400, 2401, 2410 or 2420. `:READ?` with the output off would wedge it (error 803)."""

    grammar = ScpiGrammar()
    can = Capabilities(
        model="Keithley 2400",
        min_width_s=5e-3,
        max_width_s=0.1,
        width_resolution_s=1e-3,
        width_jitter_s=1.5e-3,
        max_pulse_v=20.0,
        min_compliance_a=1e-7,
        max_compliance_a=0.1,
        is_measuring_pulses=True,
        note="no pulse mode; a list sweep of two points",
    )
    is_wedged_by_reading_off = True
    language = None
    state = Message(_STATE)
    off = Message((":SOUR:VOLT:MODE FIX", ":SOUR:VOLT 0", ":OUTP OFF", *_STATE))
    on = Message((":SOUR:VOLT 0", ":OUTP ON", *_STATE))

    check_prepared = staticmethod(error_queue_tells)

    def check_identity(self, identity: str) -> None:
        """Accept "KEITHLEY INSTRUMENTS INC.,MODEL 24x0,..." of the old series."""
        models = ("MODEL 2400", "MODEL 2401", "MODEL 2410", "MODEL 2420")
        if not any(model in identity.upper() for model in models):
            raise InstrumentProtocolError(f"{identity[:80]!r} is no Keithley 2400")

    def configure(self, settings: BenchSettings) -> tuple[Message, ...]:
        """Reset; fixed ranges; the order of a reading's elements is fixed by the instrument."""
        limit = fixed(settings.compliance_a, 9)
        return (
            Message(
                (
                    "*RST",
                    ":SYST:BEEP:STAT 0",
                    f":ROUT:TERM {'REAR' if settings.is_rear else 'FRON'}",
                    f":SYST:RSEN {int(settings.is_four_wire)}",
                    ":SOUR:FUNC VOLT",
                    ":SOUR:VOLT:MODE FIX",
                    f":SOUR:VOLT:RANG {fixed(settings.source_range_v)}",
                    ":SOUR:VOLT 0",
                )
            ),
            Message(
                (
                    ":SENS:FUNC:CONC ON",
                    ':SENS:FUNC "VOLT","CURR"',
                    f":SENS:CURR:PROT {limit}",
                    f":SENS:CURR:RANG {limit}",
                    f":SENS:CURR:NPLC {fixed(settings.nplc, 3)}",
                    ":FORM:ELEM VOLT,CURR,RES,TIME,STAT",
                    ":TRIG:COUN 1",
                    f":SOUR:DEL {fixed(settings.settle_s)}",
                    ":OUTP:SMOD NORM",
                )
            ),
        )

    def read(self, settings: BenchSettings) -> Message:
        """Measure at the level, then go back to 0 V."""
        return Message(
            (
                f":SOUR:VOLT {fixed(settings.read_voltage_v)}",
                ":READ?",
                ":SOUR:VOLT 0",
                ":OUTP?",
            ),
            duration_s=settings.settle_s + settings.nplc / 25 + 0.01,
        )

    def parse_read(self, fields: Fields) -> Measured:
        """Return volts, amperes and the compliance bit."""
        return _measured(fields, 1)

    def prepare_pulse(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Set up the list: the amplitude for the width, then 0 V."""
        return Message(
            (
                ":SOUR:VOLT:MODE LIST",
                f":SOUR:LIST:VOLT {fixed(pulse.amplitude_v)},0.000000",
                ":TRIG:COUN 2",
                f":SOUR:DEL {fixed(pulse.width_s - _PULSE_MEASURE_S)}",
                f":SENS:CURR:NPLC {fixed(PULSE_NPLC, 3)}",
            )
        )

    def fire(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Run the list, then set up readings again."""
        return Message(
            (
                ":READ?",
                ":SOUR:VOLT:MODE FIX",
                ":SOUR:VOLT 0",
                ":TRIG:COUN 1",
                f":SOUR:DEL {fixed(settings.settle_s)}",
                f":SENS:CURR:NPLC {fixed(settings.nplc, 3)}",
                ":OUTP?",
            ),
            duration_s=2 * pulse.width_s + 0.01,
        )

    def parse_pulse(self, fields: Fields) -> Measured:
        """Return what was measured at the end of the pulse, the first of the two points."""
        return _measured(fields, 2)


def _measured(fields: Fields, n_points: int) -> Measured:
    values, output = fields
    parts = values.split(",")
    if len(parts) != n_points * _N_ELEMENTS:
        raise InstrumentProtocolError(
            f"{len(parts)} elements in {values[:80]!r}, due were {n_points * _N_ELEMENTS}"
        )
    # The third, the resistance, is +9.91E37 here: not measured.
    voltage_v, current_a = numbers(",".join(parts[:2]), 2, "reading")
    _, status = numbers(",".join(parts[3:5]), 2, "time and status")
    is_limited = bool(int(status) & _LIMITED_BITS)
    return Measured(voltage_v, current_a, is_limited, switch(output, "output"))
