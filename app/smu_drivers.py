"""From a source-measure unit in `site.toml` to its driver."""

from collections.abc import Callable

from app.config.site import (
    ArcOneSmu,
    BenchUnit,
    Keithley2400Smu,
    Keithley2450Smu,
    Keithley2600Smu,
    KeysightB2900Smu,
    Smu,
    Switch,
)
from app.core.clock import monotonic_ns
from drivers.smu.arc_one.driver import ArcOne
from drivers.smu.arc_one.settings import ArcOneSettings
from drivers.smu.arc_one.wire import BAUD_RATE
from drivers.smu.bench.dialect import Dialect
from drivers.smu.bench.driver import BenchSmu
from drivers.smu.bench.route import SwitchedArray
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.keithley_2400.wire import Keithley2400
from drivers.smu.keithley_2450.wire import Keithley2450
from drivers.smu.keithley_2600.wire import Keithley2600
from drivers.smu.keysight_b2900.wire import KeysightB2900
from drivers.smu.protocol import SourceMeasureUnit
from drivers.switch.keithley_707b.driver import Keithley707B
from drivers.transport.serial_port import SerialPort
from drivers.transport.visa import VisaPort

DIALECTS: dict[type, Callable[[], Dialect]] = {
    Keithley2400Smu: Keithley2400,
    Keithley2450Smu: Keithley2450,
    Keithley2600Smu: Keithley2600,
    KeysightB2900Smu: KeysightB2900,
}


def make_smu(smu: Smu) -> SourceMeasureUnit:
    """Return the driver; touches no hardware.

    Its own limits are the widest of the devices behind it, below the Gate's.

    Raises
    ------
    SafetyLimitError
        A setting is beyond what the instrument can do.
    """
    return _arc_one(smu) if isinstance(smu, ArcOneSmu) else _bench_unit(smu)


def _bench_unit(smu: BenchUnit) -> BenchSmu:
    dialect = DIALECTS[type(smu)]()
    limits = [device.limits for device in smu.devices]
    settings = BenchSettings(
        read_voltage_v=smu.read_voltage_v,
        compliance_a=smu.compliance_a,
        nplc=smu.nplc,
        settle_s=smu.settle_s,
        is_four_wire=smu.is_four_wire,
        is_rear=getattr(smu, "is_rear", False),
        max_read_voltage_v=max(d.max_read_v for d in limits),
        max_pulse_v=max(d.max_amplitude_v for d in limits),
        max_forming_v=max(d.max_forming_v for d in limits),
        min_pulse_width_s=min(d.min_width_s for d in limits),
        max_pulse_width_s=max(d.max_width_s for d in limits),
    )
    return BenchSmu(
        smu.name,
        dialect,
        _visa_opener(smu),
        settings,
        route=None if smu.switch is None else _switched(smu.name, smu.switch),
        clock_ns=monotonic_ns,
    )


def _switched(name: str, switch: Switch) -> SwitchedArray:
    matrix = Keithley707B(f"{name}'s switch", _visa_opener(switch))
    return SwitchedArray(matrix, switch.wordlines, switch.bitlines)


def _visa_opener(at: BenchUnit | Switch) -> Callable[[], VisaPort]:
    backend = "" if at.visa_backend == "vendor" else at.visa_backend
    return lambda: VisaPort(at.resource, backend=backend, baud_rate=at.baud_rate)


def _arc_one(smu: ArcOneSmu) -> ArcOne:
    settings = ArcOneSettings(
        read_voltage_v=smu.read_voltage_v,
        n_read_cycles=smu.n_read_cycles,
        n_wordlines=smu.n_wordlines,
        n_bitlines=smu.n_bitlines,
        line_pacing_s=smu.line_pacing_s,
        compliance_a=smu.compliance_a,
        max_read_voltage_v=max(d.limits.max_read_v for d in smu.devices),
        max_pulse_v=max(d.limits.max_amplitude_v for d in smu.devices),
        max_forming_v=max(d.limits.max_forming_v for d in smu.devices),
        min_pulse_width_s=min(d.limits.min_width_s for d in smu.devices),
        max_pulse_width_s=max(d.limits.max_width_s for d in smu.devices),
    )
    return ArcOne(smu.name, _serial_opener(smu), settings, clock_ns=monotonic_ns)


def _serial_opener(smu: ArcOneSmu) -> Callable[[], SerialPort]:
    return lambda: SerialPort(smu.port, baud_rate=BAUD_RATE, parity=smu.parity)
