"""From a source-measure unit in `site.toml` to its driver."""

from collections.abc import Callable

from app.config.limits import DeviceLimits
from app.config.site import (
    ArcOneSmu,
    BenchUnit,
    Keithley2400Smu,
    Keithley2450Smu,
    Keithley2600Smu,
    KeysightB2900Smu,
    Smu,
)
from app.core.clock import monotonic_ns
from drivers.smu.arc_one.driver import ArcOne
from drivers.smu.arc_one.settings import ArcOneSettings
from drivers.smu.arc_one.wire import BAUD_RATE
from drivers.smu.bench.dialect import Dialect
from drivers.smu.bench.driver import BenchSmu
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.keithley_2400.wire import Keithley2400
from drivers.smu.keithley_2450.wire import Keithley2450
from drivers.smu.keithley_2600.wire import Keithley2600
from drivers.smu.keysight_b2900.wire import KeysightB2900
from drivers.smu.protocol import SourceMeasureUnit
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
    (device,) = smu.devices
    dialect = DIALECTS[type(smu)]()
    limits: DeviceLimits = device.limits
    settings = BenchSettings(
        read_voltage_v=smu.read_voltage_v,
        compliance_a=smu.compliance_a,
        nplc=smu.nplc,
        settle_s=smu.settle_s,
        is_four_wire=smu.is_four_wire,
        is_rear=getattr(smu, "is_rear", False),
        max_read_voltage_v=limits.max_read_v,
        max_pulse_v=limits.max_amplitude_v,
        max_forming_v=limits.max_forming_v,
        min_pulse_width_s=limits.min_width_s,
        max_pulse_width_s=limits.max_width_s,
    )
    return BenchSmu(smu.name, dialect, _visa_opener(smu), settings, clock_ns=monotonic_ns)


def _visa_opener(smu: BenchUnit) -> Callable[[], VisaPort]:
    backend = "" if smu.visa_backend == "vendor" else smu.visa_backend
    return lambda: VisaPort(smu.resource, backend=backend, baud_rate=smu.baud_rate)


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
