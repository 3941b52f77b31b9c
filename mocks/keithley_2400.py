"""A simulated Keithley 2400, with what is known to surprise its users.

`:READ?` with the output off: error 803, and no answer to anything until it is switched off and on.
`:MEAS?` and `:CONF` switch the output on and the settings back. A compliance that is too small is
ignored without a word. A measure range below the compliance limits first. What is not measured
reads +9.91E37.
"""

from collections.abc import Callable

from mocks.arc_crossbar import Crossbar
from mocks.scpi import ScpiInstrument, value, values
from mocks.smu_instrument import LINE_FREQUENCY_HZ, NOT_A_NUMBER, CommandError, hold, measure
from mocks.smu_output import Output

DEFAULT_LIMIT_A = 105e-6
_DEFAULT_RANGE_A = 100e-6
_LEAST_LIMIT_A = 1e-9
_REAL_BIT = 1 << 3
_RANGE_BIT = 1 << 16
_MAX_V = 210.0
_MAX_LIMIT_A = 1.05
_KEPT = {
    "SYST:BEEP:STAT": "1", "SYST:AZER": "1", "SYST:RSEN": "0", "ROUT:TERM": "FRON",
    "SOUR:FUNC": "VOLT", "SOUR:FUNC:MODE": "VOLT", "SOUR:VOLT:MODE": "FIX", "SOUR:VOLT:RANG": "20",
    "SOUR:DEL": "0.001", "SOUR:DEL:AUTO": "0", "SENS:FUNC:CONC": "1", "SENS:FUNC": '"CURR"',
    "SENS:CURR:NPLC": "1", "SENS:CURR:RANG:AUTO": "1", "FORM:ELEM": "VOLT,CURR,RES,TIME,STAT",
    "TRIG:COUN": "1", "OUTP:SMOD": "NORM", "SOUR:CLE:AUTO": "0",
}  # fmt: skip


class Keithley2400(ScpiInstrument):
    """A 2400 that was just switched on, with a memristor between its terminals."""

    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C34 Sep 21 2016 15:30:00/A02  /K/J"

    def __init__(self, crossbar: Crossbar, outside_s: Callable[[], float]) -> None:
        super().__init__(outside_s)
        self.output = Output(crossbar, self.clock.now_s, DEFAULT_LIMIT_A)
        self._list_v = [0.0]
        self._was_tripped = False
        self._range_a = _DEFAULT_RANGE_A
        self.commands |= {
            "OUTP": lambda text: self.output.switch(is_on=bool(value(text))),
            "OUTP?": lambda _: str(int(self.output.is_on)),
            "OUTP:STAT": lambda text: self.output.switch(is_on=bool(value(text))),
            "OUTP:STAT?": lambda _: str(int(self.output.is_on)),
            "SOUR:VOLT": self._set_level,
            "SOUR:VOLT?": lambda _: f"{self.output.level_v:.6E}",
            "SOUR:LIST:VOLT": self._set_list,
            "SENS:CURR:PROT": self._set_limit,
            "SENS:CURR:PROT?": lambda _: f"{self.output.limit_a:.6E}",
            "SENS:CURR:PROT:TRIP?": lambda _: str(int(self._was_tripped)),
            "SENS:CURR:RANG": self._set_range,
            "SENS:CURR:RANG?": lambda _: f"{self._range_a:.6E}",
            "SENS:CURR:RANG:AUTO": self._set_autorange,
            "READ?": lambda _: self._read(),
            "MEAS:CURR?": lambda _: self._measure_anew(),
            "MEAS?": lambda _: self._measure_anew(),
            "CONF:CURR": lambda _: self._configure(),
        }
        self.reset()

    def reset(self) -> None:
        """Put everything back; the output goes off."""
        self.output.switch(is_on=False)
        self.output.set_level(0.0)
        self.output.limit_a = DEFAULT_LIMIT_A
        self._range_a = _DEFAULT_RANGE_A
        self.settings = dict(_KEPT)
        self._set_autorange("1")
        self._list_v = [0.0]

    def _set_level(self, text: str) -> None:
        level_v = value(text)
        if not abs(level_v) <= _MAX_V:
            raise CommandError(-222, "Parameter data out of range")
        self.output.set_level(level_v)

    def _set_list(self, text: str) -> None:
        levels_v = values(text)
        if not (1 <= len(levels_v) <= 100 and all(abs(v) <= _MAX_V for v in levels_v)):
            raise CommandError(-222, "Parameter data out of range")
        self._list_v = levels_v

    def _set_limit(self, text: str) -> None:
        limit_a = value(text)
        if not limit_a <= _MAX_LIMIT_A:
            raise CommandError(-222, "Parameter data out of range")
        if limit_a >= _LEAST_LIMIT_A:  # else not a word, and the old one stays
            self.output.limit_a = limit_a

    def _set_range(self, text: str) -> None:
        full_a = next((r for r in _RANGES_A if r >= value(text) * 0.999), None)
        if full_a is None:
            raise CommandError(-222, "Parameter data out of range")
        self._range_a = full_a
        self._set_autorange("0")

    def _set_autorange(self, text: str) -> None:
        """Let the range follow the current, or be fixed: then it limits, a little above itself."""
        is_auto = bool(value(text))
        self.settings["SENS:CURR:RANG:AUTO"] = str(int(is_auto))
        self.output.range_limit_a = float("inf") if is_auto else 1.05 * self._range_a

    def _read(self) -> str | None:
        if not self.output.is_on:
            self.is_wedged = True
            raise CommandError(803, "Not permitted with OUTPUT off")
        n_points = int(value(self.settings["TRIG:COUN"]))
        is_list = self.settings["SOUR:VOLT:MODE"].upper().startswith("LIST")
        points = []
        for i in range(n_points):
            level_v = self._list_v[i % len(self._list_v)] if is_list else self.output.level_v
            hold(self.output, self.clock, level_v, value(self.settings["SOUR:DEL"]))
            points.append(self._point())
        return ",".join(points)

    def _point(self) -> str:
        nplc = value(self.settings["SENS:CURR:NPLC"])
        n_functions = 1 + ("VOLT" in self.settings["SENS:FUNC"].upper())
        v, i, limited = measure(self.output, self.clock, n_functions * nplc / LINE_FREQUENCY_HZ)
        self._was_tripped = limited
        is_range = self.output.range_limit_a < self.output.limit_a
        status = (_RANGE_BIT if is_range else _REAL_BIT) if limited else 0
        elements = {
            "VOLT": v,
            "CURR": i,
            "RES": NOT_A_NUMBER,
            "TIME": self.clock.now_s(),
            "STAT": float(status),
        }
        wanted = [name.strip().upper()[:4] for name in self.settings["FORM:ELEM"].split(",")]
        # In this order, whatever the order in which they were asked for.
        return ",".join(f"{v:+.6E}" for name, v in elements.items() if name in wanted)

    def _configure(self) -> None:
        self.settings["SENS:CURR:NPLC"] = "1"
        self._set_autorange("1")
        self.output.limit_a = DEFAULT_LIMIT_A
        self.output.switch(is_on=True)

    def _measure_anew(self) -> str | None:
        self._configure()
        return self._read()


_RANGES_A = (1e-6, 10e-6, 100e-6, 1e-3, 10e-3, 100e-3, 1.0)
