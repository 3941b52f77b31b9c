"""A simulated Keithley 2450, with what is known to surprise its users.

In another language than SCPI it answers `*IDN?` and `*LANG?` and nothing else. The headers of a
2400 are not its own (-113). A sweep switches the output on, and off at its end.
"""

from collections.abc import Callable

from mocks.arc_crossbar import Crossbar
from mocks.scpi import ScpiInstrument, value, values
from mocks.smu_instrument import LINE_FREQUENCY_HZ, CommandError, hold, measure
from mocks.smu_output import Output

LANGUAGES = ("SCPI", "TSP", "SCPI2400")
DEFAULT_LIMIT_A = 1e-4
_LIMITED_BIT = 32
_OUTPUT_BIT = 128
_MAX_V = 210.0
_KEPT = {
    "ROUT:TERM": "FRON", "SOUR:FUNC": "VOLT", "SOUR:VOLT:RANG": "20", "SOUR:VOLT:READ:BACK": "1",
    "SOUR:VOLT:DEL:AUTO": "1", "SOUR:VOLT:DEL": "0.001", "SENS:FUNC": '"CURR"',
    "SENS:CURR:NPLC": "1", "SENS:CURR:RSEN": "0", "SENS:CURR:AZER": "1", "OUTP:VOLT:SMOD": "NORM",
    "SENS:CURR:RANG": "1E-4", "SENS:CURR:RANG:AUTO": "1", "SOUR:VOLT:RANG:AUTO": "1",
    "SYST:BEEP": "",
}  # fmt: skip
_COMMON = ("*IDN?", "*LANG?", "*RST", "*CLS", "*OPC?")


class Keithley2450(ScpiInstrument):
    """A 2450 that was just switched on, with a memristor between its terminals."""

    identity = "KEITHLEY INSTRUMENTS,MODEL 2450,04451117,1.7.12b"

    def __init__(
        self, crossbar: Crossbar, outside_s: Callable[[], float], language: str = "SCPI"
    ) -> None:
        super().__init__(outside_s)
        self.output = Output(crossbar, self.clock.now_s, DEFAULT_LIMIT_A)
        self._language = language
        self._list_v = [0.0]
        self._sweep_delay_s: float | None = None
        self._buffer: list[tuple[float, float, int]] = []
        self._was_limited = False
        self.commands |= {
            "*LANG?": lambda _: self._language,
            "OUTP": lambda text: self.output.switch(is_on=bool(value(text))),
            "OUTP?": lambda _: str(int(self.output.is_on)),
            "OUTP:STAT": lambda text: self.output.switch(is_on=bool(value(text))),
            "OUTP:STAT?": lambda _: str(int(self.output.is_on)),
            "SOUR:VOLT": self._set_level,
            "SOUR:VOLT?": lambda _: f"{self.output.level_v:.6E}",
            "SOUR:VOLT:ILIM": self._set_limit,
            "SOUR:VOLT:ILIM?": lambda _: f"{self.output.limit_a:.6E}",
            "SOUR:VOLT:ILIM:TRIP?": lambda _: str(int(self._was_limited)),
            "SOUR:LIST:VOLT": self._set_list,
            "SOUR:SWE:VOLT:LIST": self._set_sweep,
            "TRIG:LOAD": self._load_trigger_model,
            "INIT": lambda _: self._run_sweep(),
            "READ?": self._read,
            "TRAC:CLE": lambda _: self._buffer.clear(),
            "TRAC:DATA?": self._fetch,
        }
        self.reset()

    def handle(self, line: str) -> tuple[str | None, float]:
        """In another language: nothing but a few common commands, each alone in its line."""
        if self._language == "SCPI" or line.strip().upper() in _COMMON:
            return super().handle(line)
        self.errors.add(-285, "TSP Syntax error at line 1: unexpected symbol")
        return None, 0.0

    def reset(self) -> None:
        """Put everything back; the output goes off."""
        self.output.switch(is_on=False)
        self.output.set_level(0.0)
        self.output.limit_a = DEFAULT_LIMIT_A
        self.settings = dict(_KEPT)
        self._buffer.clear()
        self._sweep_delay_s = None

    def _set_level(self, text: str) -> None:
        level_v = value(text)
        if not abs(level_v) <= _MAX_V:
            raise CommandError(-222, "Parameter data out of range")
        self.output.set_level(level_v)

    def _set_limit(self, text: str) -> None:
        limit_a = value(text)
        if not (1e-9 <= limit_a <= 1.05):
            raise CommandError(-222, "Parameter data out of range")
        self.output.limit_a = limit_a

    def _set_list(self, text: str) -> None:
        self._list_v = values(text)

    def _set_sweep(self, text: str) -> None:
        parts = text.split(",")
        delay_s = value(parts[1])
        if not (delay_s == 0 or 50e-6 <= delay_s <= 10e3):
            raise CommandError(-222, "Parameter data out of range")
        self._sweep_delay_s = delay_s

    def _load_trigger_model(self, name: str) -> None:
        if name.strip('"').upper() != "EMPTY":
            raise CommandError(-224, "Illegal parameter value")
        self._sweep_delay_s = None

    def _run_sweep(self) -> None:
        if self._sweep_delay_s is None:
            raise CommandError(-200, "Execution error")
        self.output.switch(is_on=True)
        for level_v in self._list_v:
            hold(self.output, self.clock, level_v, self._sweep_delay_s)
            self._measure()
        self.output.switch(is_on=False)

    def _measure(self) -> tuple[float, float, int]:
        nplc = value(self.settings["SENS:CURR:NPLC"])
        v, i, limited = measure(self.output, self.clock, nplc / LINE_FREQUENCY_HZ)
        self._was_limited = limited
        status = _LIMITED_BIT * limited + _OUTPUT_BIT * self.output.is_on
        self._buffer.append((v, i, status))
        return self._buffer[-1]

    def _read(self, text: str) -> str:
        delay_s = value(self.settings["SOUR:VOLT:DEL"])
        self.clock.spend(delay_s)
        return _elements(self._measure(), text.split(",")[1:])

    def _fetch(self, text: str) -> str:
        first, last, _, *wanted = text.split(",")
        rows = self._buffer[int(value(first)) - 1 : int(value(last))]
        if len(rows) != int(value(last)) - int(value(first)) + 1:
            raise CommandError(-222, "Parameter data out of range")
        return ",".join(_elements(row, wanted) for row in rows)


def _elements(row: tuple[float, float, int], wanted: list[str]) -> str:
    v, i, status = row
    known = {"SOUR": f"{v:.6E}", "READ": f"{i:.6E}", "SOURSTAT": str(status), "REL": "0.0"}
    names = [name.strip().upper() for name in wanted] or ["READ"]
    if not all(name in known for name in names):
        raise CommandError(-224, "Illegal parameter value")
    return ",".join(known[name] for name in names)
