"""A simulated Keithley 2600B, channel A, with what is known to surprise its users.

The pulse functions refuse while a source or measure autorange is on (5028, 1011), and without the
buffer's append mode, which changes only while the buffer is empty. There is no channel B: `smub` is
nil. A reading that does not fit into the pulse is refused. Numbers print with six digits; overflow
reads 9.91e37.
"""

from collections.abc import Callable
from typing import Any

from mocks.arc_crossbar import Crossbar
from mocks.smu_instrument import LINE_FREQUENCY_HZ, CommandError, hold, measure
from mocks.smu_output import Output
from mocks.tsp import Path
from mocks.tsp_instrument import TspInstrument, shown

DEFAULT_LIMIT_A = 0.1
_LIMITED_BIT = 64
_BUFFERS = ("smua.nvbuffer1", "smua.nvbuffer2")
_CONSTANTS = {
    "smua.OUTPUT_DCVOLTS": 1.0, "smua.OUTPUT_DCAMPS": 0.0, "smua.OUTPUT_NORMAL": 0.0,
    "smua.OUTPUT_ON": 1.0, "smua.OUTPUT_OFF": 0.0, "smua.AUTORANGE_OFF": 0.0,
    "smua.AUTORANGE_ON": 1.0, "smua.SENSE_LOCAL": 0.0, "smua.SENSE_REMOTE": 1.0,
    "smua.AUTOZERO_ONCE": 1.0, "smua.AUTOZERO_AUTO": 2.0, "format.ASCII": 1.0,
    "localnode.linefreq": LINE_FREQUENCY_HZ, "localnode.model": "2601B",
}  # fmt: skip
_DEFAULTS = {
    "smua.source.func": 1.0, "smua.source.rangev": 0.2, "smua.source.offmode": 0.0,
    "smua.source.autorangev": 1.0, "smua.source.autorangei": 1.0, "smua.source.delay": 0.0,
    "smua.source.leveli": 0.0, "smua.source.limitv": 20.0, "smua.source.rangei": 1e-3,
    "smua.measure.autorangei": 1.0, "smua.measure.autorangev": 1.0, "smua.measure.rangei": 0.1,
    "smua.measure.rangev": 20.0, "smua.measure.nplc": 1.0, "smua.measure.autozero": 2.0,
    "smua.measure.delay": 0.0, "smua.measure.count": 1.0, "smua.sense": 0.0,
    "smua.nvbuffer1.collectsourcevalues": 0.0, "smua.nvbuffer1.appendmode": 0.0,
}  # fmt: skip
_SYSTEM = {"format.data": 1.0, "format.asciiprecision": 6.0, "beeper.enable": 1.0}
_MAX_V = 40.4


class Keithley2600(TspInstrument):
    """A 2601B that was just switched on, with a memristor between the terminals of channel A."""

    identity = "Keithley Instruments Inc., Model 2601B, 4028301, 3.4.2"

    def __init__(self, crossbar: Crossbar, outside_s: Callable[[], float]) -> None:
        super().__init__(outside_s)
        self.output = Output(crossbar, self.clock.now_s, DEFAULT_LIMIT_A)
        self._attributes: dict[str, Any] = {**_SYSTEM, **_DEFAULTS}
        self._buffers: dict[str, list[tuple[float, float, int]]] = {name: [] for name in _BUFFERS}
        self._tests: dict[int, tuple[float, float, float, str | None]] = {}
        self.calls |= {
            "reset": self._reset,
            "smua.reset": self._reset,
            "smua.measure.iv": lambda *buffers: self._measure()[::-1],
            "smua.measure.i": lambda *buffers: self._measure()[1],
            "smua.measure.v": lambda *buffers: self._measure()[0],
            "smua.measure.r": lambda *buffers: self._ratio(),
            "smua.abort": lambda: None,
            "smua.nvbuffer1.clear": self._buffers["smua.nvbuffer1"].clear,
            "smua.nvbuffer2.clear": self._buffers["smua.nvbuffer2"].clear,
            "ConfigPulseVMeasureI": self._configure_pulse,
            "InitiatePulseTest": self._run_pulse,
            "DeletePulseTest": lambda tag: self._tests.pop(int(tag), None) is not None,
            "printbuffer": self._print_buffer,
        }

    def power_off(self) -> None:
        """Let the output go off."""
        self.output.switch(is_on=False)

    # -- names

    def get(self, name: str) -> Any:
        """Return a constant, an attribute, a buffer's column or a global; a wrong name is -286."""
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        special: dict[str, Callable[[], Any]] = {
            "smua.source.output": lambda: float(self.output.is_on),
            "smua.source.levelv": lambda: self.output.level_v,
            "smua.source.limiti": lambda: self.output.limit_a,
            "smua.source.compliance": lambda: self.output.measure(1)[2],
        }
        if name in special:
            return special[name]()
        if name in self._attributes:
            return self._attributes[name]
        if name in _BUFFERS or name == "smua":
            return Path(name)
        return self._column_or_global(name)

    def set(self, name: str, new: Any) -> None:
        """Set an attribute or a global; what an attribute does not take is an error."""
        if name == "smua.source.levelv":
            self.output.set_level(_in_range(new, -_MAX_V, _MAX_V))
        elif name == "smua.source.limiti":
            self.output.limit_a = _in_range(new, 1e-9, 3.0)
        elif name == "smua.source.output":
            self.output.switch(is_on=bool(_in_range(new, 0, 2)))
        elif name in self._attributes:
            if any(name.startswith(buffer) and rows for buffer, rows in self._buffers.items()):
                raise CommandError(1107, "Cannot modify a buffer that is not empty")
            self._attributes[name] = new
            if name == "smua.source.rangev":  # a range that is set is fixed
                self._attributes["smua.source.autorangev"] = 0.0
            if name == "smua.measure.rangei":
                self._attributes["smua.measure.autorangei"] = 0.0
        else:
            super().set(name, new)

    def _column_or_global(self, name: str) -> Any:
        base, _, column = name.rpartition(".")
        if base in self._buffers:
            rows = self._buffers[base]
            columns = {"sourcevalues": 0, "readings": 1, "statuses": 2}
            if column in columns:  # statuses are floating-point numbers too
                return [float(row[columns[column]]) for row in rows]
            if column == "n":
                return float(len(rows))
        return super().get(name)

    # -- functions

    def _reset(self) -> None:
        self.output.switch(is_on=False)
        self.output.set_level(0.0)
        self.output.limit_a = DEFAULT_LIMIT_A
        self._attributes |= _DEFAULTS
        self._tests.clear()

    def _print_buffer(self, first: float, last: float, column: Any) -> None:
        items = column if isinstance(column, list) else []
        self.lines.append(", ".join(map(shown, items[int(first) - 1 : int(last)])))

    def _measure(self) -> tuple[float, float]:
        nplc = self._attributes["smua.measure.nplc"]
        v, i, _ = measure(self.output, self.clock, nplc / LINE_FREQUENCY_HZ)
        is_over = abs(i) > 1.02 * self._attributes["smua.measure.rangei"]
        is_auto = self._attributes["smua.measure.autorangei"]
        return v, 9.91e37 if is_over and not is_auto else i

    def _ratio(self) -> float:
        v, i = self._measure()
        return v / i if i else 9.91e37

    # -- pulses (the factory script KIPulse)

    def _configure_pulse(
        self, _smu: Any, bias: float, level: float, limit: float, ton: float, toff: float,
        points: float, buffer: Any, tag: float,
    ) -> tuple[bool, str]:  # fmt: skip
        if self._attributes["smua.source.autorangev"]:
            self.errors.add(5028, "Operation not allowed with source autoranging on")
            return False, "Source autorange must be off"
        if buffer is not None and self._attributes["smua.measure.autorangei"]:
            self.errors.add(1011, "Cannot measure with autorange on in a pulse")
            return False, "Measure autorange must be off"
        if buffer is not None and not self._attributes[f"{buffer.name}.appendmode"]:
            return False, "Buffer append mode must be on"
        aperture_s = self._attributes["smua.measure.nplc"] / LINE_FREQUENCY_HZ
        if buffer is not None and not aperture_s < ton:
            return False, "nplc is too long for the pulse"
        if not (points == 1 and toff > 0 and abs(level) <= _MAX_V and bias == 0 and limit > 0):
            return False, "Parameter out of range"
        name = buffer.name if isinstance(buffer, Path) else None
        self._tests[int(tag)] = (level, limit, ton, name)
        return True, f"Pulse {int(tag)} configured."

    def _run_pulse(self, tag: float) -> tuple[bool, str]:
        test = self._tests.get(int(tag))
        if test is None:
            return False, f"Pulse {int(tag)} is not configured"
        if not self.output.is_on:
            return False, "Output is off"
        level_v, limit_a, width_s, buffer = test
        limit_before_a, self.output.limit_a = self.output.limit_a, limit_a
        hold(self.output, self.clock, level_v, width_s)
        v, i, limited = self.output.measure(1)
        self.output.set_level(0.0)
        self.output.limit_a = limit_before_a
        self.clock.spend(width_s)
        if buffer is not None:
            self._buffers[buffer].append((v, i, _LIMITED_BIT if limited else 0))
        return True, f"Pulse {int(tag)} completed."


def _in_range(new: Any, low: float, high: float) -> float:
    if isinstance(new, bool) or not isinstance(new, float) or not (low <= new <= high):
        raise CommandError(1102, "Parameter out of range")
    return new
