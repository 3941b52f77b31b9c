"""A bench unit behind a simulated 707B, both on wires in memory with one clock."""

from bench_smu_rig import DIALECTS, SETTINGS, WIDTH_S, Wire, permit_for

from drivers.permit import PulseDevice
from drivers.smu.bench.driver import BenchSmu
from drivers.smu.bench.route import SwitchedArray
from drivers.smu.protocol import DeviceAddress
from drivers.switch.keithley_707b.driver import Keithley707B
from mocks.arc_crossbar import Crossbar
from mocks.bench_smu import make_instrument
from mocks.keithley_707b import Keithley707B as Keithley707BMock
from mocks.memristor import PRESETS
from mocks.memristor_noise import NOISE_OFF
from mocks.smu_terminals import Terminals

WORDLINES = ("1A01", "1A02", "2A01")
BITLINES = ("1B03", "1B04")
FIRST = DeviceAddress(1, 1)
OTHER = DeviceAddress(3, 2)
OHM = {
    (1, 1): 5000.0,
    (1, 2): 6000.0,
    (2, 1): 7000.0,
    (2, 2): 8000.0,
    (3, 1): 9000.0,
    (3, 2): 4000.0,
}


class SwitchWire(Wire):
    """A 707B and the line to it; its clock is that of the unit's line."""

    def __init__(self, terminals, unit_wire) -> None:
        self._clock = unit_wire
        super().__init__("keithley_2600")
        self.terminals = terminals
        self._make = lambda: Keithley707BMock(terminals, lambda: self.now_s)
        self.instrument = self._make()

    @property
    def now_s(self) -> float:
        return self._clock.now_s

    @now_s.setter
    def now_s(self, now_s: float) -> None:
        if now_s:  # not the zero of the beginning
            self._clock.now_s = now_s

    def restart(self) -> None:
        n_hot = self.terminals.n_hot
        self.instrument.power_off()
        self.terminals.n_hot = n_hot  # nobody asked for that
        self.instrument = self._make()
        self._coming.clear()
        self._half_in = ""


class SwitchedRig:
    """The driver of a unit with a switch, and both sides of both wires."""

    def __init__(self, unit: str = "keithley_2600", settings=SETTINGS) -> None:
        self.unit = unit
        self.wire = Wire(unit)
        crossbar = Crossbar(
            PRESETS["B"], NOISE_OFF, 1, (3, 2), 5000.0, OHM, lambda: round(self.wire.now_s * 1e9)
        )
        self.terminals = Terminals(WORDLINES, BITLINES)
        self.wire.crossbar = crossbar
        self.wire._make = lambda: make_instrument(
            unit, crossbar, lambda: self.wire.now_s, terminals=self.terminals
        )
        self.wire.instrument = self.wire._make()
        self.switch_wire = SwitchWire(self.terminals, self.wire)
        self.switch = Keithley707B("switch", self.switch_wire.open)
        self.driver = BenchSmu(
            unit,
            DIALECTS[unit](),
            self.wire.open,
            settings,
            route=SwitchedArray(self.switch, WORDLINES, BITLINES),
            clock_ns=lambda: round(self.wire.now_s * 1e9),
        )

    @property
    def crossbar(self) -> Crossbar:
        return self.wire.crossbar

    @property
    def output(self):
        return self.wire.instrument.output

    def true_ohm(self, device) -> float:
        return self.crossbar.true_ohm(device.wordline, device.bitline)

    def permit(self, device=FIRST, amplitude_v=1.5, **changes):
        action = PulseDevice(device.wordline, device.bitline, amplitude_v, WIDTH_S[self.unit])
        return permit_for(self.unit, 0, 0, **({"action": action} | changes))
