"""A simulated Keysight B2900, channel 1, with what is known to surprise its users.

From the factory a measurement switches the output on by itself (`:OUTP:ON:AUTO`). A measurement
that does not fit into the pulse gives no value but an error. Overflow reads +9.9E37.
"""

from collections.abc import Callable

from mocks.arc_crossbar import Crossbar
from mocks.scpi import ScpiInstrument, value
from mocks.smu_instrument import LINE_FREQUENCY_HZ, CommandError, hold
from mocks.smu_output import Output

DEFAULT_LIMIT_A = 1e-4
_MAX_V = 210.0
_KEPT = {
    "OUTP:ON:AUTO": "1", "OUTP:PROT": "0", "SOUR:FUNC:MODE": "VOLT", "SOUR:FUNC:SHAP": "DC",
    "SOUR:VOLT:RANG": "2", "SOUR:VOLT:RANG:AUTO": "1", "SENS:CURR:RANG": "1E-4",
    "SENS:CURR:RANG:AUTO": "1", "SENS:REM": "0", "FORM:ELEM:SENS": "VOLT,CURR,RES,TIME,STAT,SOUR",
    "TRIG:ALL:SOUR": "AINT", "TRIG:ALL:COUN": "1", "TRIG:TRAN:DEL": "0", "TRIG:ACQ:DEL": "0",
    "SOUR:PULS:WIDT": "5E-5", "SOUR:PULS:DEL": "0", "SOUR:VOLT:TRIG": "0", "SENS:CURR:APER": "2E-3",
}  # fmt: skip


class KeysightB2900(ScpiInstrument):
    """A B2901A that was just switched on, with a memristor between its terminals."""

    identity = "Keysight Technologies,B2901A,MY51140000,3.4.2011.5100"

    def __init__(self, crossbar: Crossbar, outside_s: Callable[[], float]) -> None:
        super().__init__(outside_s)
        self.output = Output(crossbar, self.clock.now_s, DEFAULT_LIMIT_A)
        self._row: tuple[float, float, bool] | None = None
        self._was_tripped = False
        self.commands |= {
            "OUTP": lambda text: self.output.switch(is_on=bool(value(text))),
            "OUTP?": lambda _: str(int(self.output.is_on)),
            "SOUR:VOLT": self._set_level,
            "SOUR:VOLT?": lambda _: f"{self.output.level_v:+.6E}",
            "SENS:CURR:PROT": self._set_limit,
            "SENS:CURR:PROT?": lambda _: f"{self.output.limit_a:+.6E}",
            "SENS:CURR:PROT:TRIP?": lambda _: str(int(self._was_tripped)),
            "SENS:CURR:NPLC": self._set_nplc,
            "MEAS?": lambda _: self._measure(),
            "INIT": lambda _: self._start(),
            "FETC:ARR?": lambda _: self._fetch(),
            "SYST:ERR:ALL?": lambda _: self._next_error(),
        }
        self.reset()

    def reset(self) -> None:
        """Put everything back; the output goes off."""
        self.output.switch(is_on=False)
        self.output.set_level(0.0)
        self.output.limit_a = DEFAULT_LIMIT_A
        self.settings = dict(_KEPT)
        self._row = None

    def _next_error(self) -> str:
        code, text = self.errors.take()
        return f'{code:+d},"{text}"'

    def _set_level(self, text: str) -> None:
        level_v = value(text)
        if not abs(level_v) <= _MAX_V:
            raise CommandError(-222, "Data out of range")
        self.output.set_level(level_v)

    def _set_limit(self, text: str) -> None:
        limit_a = value(text)
        if not (1e-9 <= limit_a <= 3.03):
            raise CommandError(-222, "Data out of range")
        self.output.limit_a = limit_a

    def _set_nplc(self, text: str) -> None:
        self.settings["SENS:CURR:APER"] = str(value(text) / LINE_FREQUENCY_HZ)

    def _switch_on_by_itself(self) -> None:
        if value(self.settings["OUTP:ON:AUTO"]) and not self.output.is_on:
            self.output.switch(is_on=True)

    def _sample(self) -> None:
        aperture_s = value(self.settings["SENS:CURR:APER"])
        self.clock.spend(aperture_s)
        self._row = self.output.measure(max(1, round(aperture_s / 25e-6)))
        self._was_tripped = self._row[2]

    def _measure(self) -> str:
        self._switch_on_by_itself()
        self.clock.spend(value(self.settings["TRIG:ACQ:DEL"]))
        self._sample()
        return self._fetch()

    def _start(self) -> None:
        self._switch_on_by_itself()
        delay_s = value(self.settings["TRIG:ACQ:DEL"])
        if self.settings["SOUR:FUNC:SHAP"].upper() != "PULS":
            self.clock.spend(delay_s)
            self._sample()
            return
        width_s, base_v = value(self.settings["SOUR:PULS:WIDT"]), self.output.level_v
        left_s = width_s - delay_s - value(self.settings["SENS:CURR:APER"])
        if not (50e-6 <= width_s <= 100e3 and left_s >= 0):
            raise CommandError(-221, "Settings conflict")
        hold(self.output, self.clock, value(self.settings["SOUR:VOLT:TRIG"]), delay_s)
        self._sample()
        self.clock.spend(left_s)
        self.output.set_level(base_v)

    def _fetch(self) -> str:
        if self._row is None:
            raise CommandError(-230, "Data corrupt or stale")
        v, i, limited = self._row
        known = {"VOLT": v, "CURR": i, "RES": 9.91e37, "TIME": self.clock.now_s()}
        known |= {"STAT": float(limited), "SOUR": self.output.level_v}
        wanted = [name.strip().upper() for name in self.settings["FORM:ELEM:SENS"].split(",")]
        return ",".join(f"{number:+.6E}" for name, number in known.items() if name in wanted)
