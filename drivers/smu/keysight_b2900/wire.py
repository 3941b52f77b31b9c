"""The Keysight B2900's SCPI. No I/O.

Source: B2900 series SCPI command reference. Channel 1 is used. From the factory its output goes on
by itself with a measurement (`:OUTP:ON:AUTO`): that is switched off before anything else.
"""

from drivers.errors import InstrumentProtocolError
from drivers.permit import PulseDevice
from drivers.smu.bench.dialect import Measured, error_queue_tells
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.protocol import Capabilities
from drivers.tagged.message import Fields, Message, fixed, number, numbers, switch
from drivers.tagged.scpi import ScpiGrammar

APERTURE_S = 20e-6
_MARGIN_S = 5e-6
"""The measurement ends so long before the pulse does."""
_N_ELEMENTS = 5
_STATE = (":OUTP1?", ":SENS1:CURR:PROT?")


class KeysightB2900:
    """A B2901A to B2912B, channel 1; pulses are made by its own trigger system."""

    grammar = ScpiGrammar()
    can = Capabilities(
        model="Keysight B2900",
        min_width_s=50e-6,
        max_width_s=0.1,
        width_resolution_s=1e-6,
        width_jitter_s=2e-6,
        max_pulse_v=20.0,
        min_compliance_a=1e-8,
        max_compliance_a=0.1,
        is_measuring_pulses=True,
    )
    is_wedged_by_reading_off = False
    language = None
    state = Message(_STATE)
    off = Message((":SOUR1:VOLT 0", ":OUTP1 OFF", *_STATE))
    on = Message((":SOUR1:VOLT 0", ":OUTP1 ON", *_STATE))

    check_prepared = staticmethod(error_queue_tells)

    def check_identity(self, identity: str) -> None:
        """Accept "Keysight Technologies,B29..." and the older "Agilent Technologies,B29..."."""
        maker, _, rest = identity.partition(",")
        if not (maker.strip().split(" ")[0] in {"Keysight", "Agilent"} and rest.startswith("B29")):
            raise InstrumentProtocolError(f"{identity[:80]!r} is no Keysight B2900")

    def configure(self, settings: BenchSettings) -> tuple[Message, ...]:
        """Reset; fixed ranges; no output that goes on or off by itself."""
        limit = fixed(settings.compliance_a, 9)
        return (
            Message(
                (
                    "*RST",
                    ":OUTP1:ON:AUTO OFF",
                    ":OUTP1:PROT OFF",
                    ":SOUR1:FUNC:MODE VOLT",
                    ":SOUR1:FUNC:SHAP DC",
                    ":SOUR1:VOLT:RANG:AUTO OFF",
                    f":SOUR1:VOLT:RANG {fixed(settings.source_range_v)}",
                    ":SOUR1:VOLT 0",
                )
            ),
            Message(
                (
                    f":SENS1:CURR:PROT {limit}",
                    ":SENS1:CURR:RANG:AUTO OFF",
                    f":SENS1:CURR:RANG {limit}",
                    f":SENS1:CURR:NPLC {fixed(settings.nplc, 3)}",
                    f":SENS1:REM {'ON' if settings.is_four_wire else 'OFF'}",
                    ":FORM:ELEM:SENS VOLT,CURR,TIME,STAT,SOUR",
                    ":TRIG1:ALL:SOUR AINT",
                    ":TRIG1:ALL:COUN 1",
                    ":TRIG1:TRAN:DEL 0",
                    f":TRIG1:ACQ:DEL {fixed(settings.settle_s)}",
                )
            ),
        )

    def read(self, settings: BenchSettings) -> Message:
        """Measure at the level, then go back to 0 V."""
        return Message(
            (
                f":SOUR1:VOLT {fixed(settings.read_voltage_v)}",
                ":MEAS? (@1)",
                ":SENS1:CURR:PROT:TRIP?",
                ":SOUR1:VOLT 0",
                ":OUTP1?",
            ),
            duration_s=settings.settle_s + settings.nplc / 50,
        )

    def parse_read(self, fields: Fields) -> Measured:
        """Return volts, amperes and whether the compliance was reached."""
        values, tripped, output = fields
        return _measured(values, tripped, output)

    def prepare_pulse(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Set up one pulse from 0 V and a measurement at its end."""
        return Message(
            (
                ":SOUR1:FUNC:SHAP PULS",
                f":SOUR1:VOLT:TRIG {fixed(pulse.amplitude_v)}",
                f":SOUR1:PULS:WIDT {fixed(pulse.width_s)}",
                ":SOUR1:PULS:DEL 0",
                f":SENS1:CURR:APER {fixed(APERTURE_S)}",
                f":TRIG1:ACQ:DEL {fixed(pulse.width_s - APERTURE_S - _MARGIN_S)}",
            )
        )

    def fire(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Make the pulse, fetch what was measured, go back to direct voltage."""
        return Message(
            (
                ":INIT (@1)",
                "*OPC?",
                ":FETC:ARR? (@1)",
                ":SENS1:CURR:PROT:TRIP?",
                ":SOUR1:FUNC:SHAP DC",
                ":SOUR1:VOLT 0",
                f":SENS1:CURR:NPLC {fixed(settings.nplc, 3)}",
                f":TRIG1:ACQ:DEL {fixed(settings.settle_s)}",
                ":OUTP1?",
            ),
            duration_s=pulse.width_s,
        )

    def parse_pulse(self, fields: Fields) -> Measured:
        """Return what was measured in the pulse."""
        is_done, values, tripped, output = fields
        if number(is_done, "*OPC?") != 1:
            raise InstrumentProtocolError(f"*OPC? is {is_done[:20]!r}, not 1")
        return _measured(values, tripped, output)


def _measured(values: str, tripped: str, output: str) -> Measured:
    voltage_v, current_a, *_ = numbers(values, _N_ELEMENTS, "reading")
    return Measured(voltage_v, current_a, switch(tripped, "compliance"), switch(output, "output"))
