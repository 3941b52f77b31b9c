"""What holds the demonstration's memristors: the array of an ArC ONE, or bench units."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from app.config.experiment import Experiment
from app.config.load import ConfigError
from app.config.overrides import LimitOverride
from app.config.site import (
    ArcOneSmu,
    BenchUnit,
    Device,
    Keithley707BSwitch,
    Keithley2400Smu,
    Keithley2450Smu,
    Keithley2600Smu,
    KeysightB2900Smu,
    Smu,
)
from app.smu_drivers import DIALECTS

COMPLIANCE_A = 1e-3
"""1.5 V at 4 kOhm, and half as much again."""
ARC_ONE = "arc-one"
_RESOURCE = "TCPIP::127.0.0.1::5025::SOCKET"
_WORDLINES = ("1A01", "1A02")
_BITLINES = ("1B03", "1B04")


@dataclass(frozen=True, slots=True)
class BenchKind:
    """A bench unit for each device, or one with a switch for all of them."""

    unit: type[BenchUnit]
    has_switch: bool = False


KINDS = {
    "keithley-2600": BenchKind(Keithley2600Smu),
    "keithley-2600-switch": BenchKind(Keithley2600Smu, has_switch=True),
    "keysight-b2900": BenchKind(KeysightB2900Smu),
    "keithley-2450": BenchKind(Keithley2450Smu),
    "keithley-2400": BenchKind(Keithley2400Smu),
}


def refuse_short_pulses(name: str, experiment: Experiment) -> None:
    """Raise `ConfigError` for a unit that cannot make the experiment's pulses."""
    if name == ARC_ONE:
        return
    can = DIALECTS[KINDS[name].unit]().can
    pulses = [synapse.pulse for synapse in experiment.synapses]
    shortest_s = min(min(pulse.ltp_width_s, pulse.ltd_width_s) for pulse in pulses)
    if not shortest_s >= can.min_width_s:
        able = [
            other
            for other, kind in KINDS.items()
            if DIALECTS[kind.unit]().can.min_width_s <= shortest_s
        ]
        raise ConfigError(
            f"a {can.model} makes no write pulse below {can.min_width_s * 1e3:g} ms, the "
            f"experiment's last {shortest_s * 1e6:g} us; choose {', '.join([ARC_ONE, *able])}"
        )


def bench_units(name: str, boards: Sequence[Smu]) -> tuple[Smu, ...]:
    """Return the units of a kind that hold the devices of ArC ONE boards."""
    kind = KINDS[name]
    made: list[Smu] = []
    for board in boards:
        if not isinstance(board, ArcOneSmu):
            raise ConfigError(f"{board.name}: the chain's devices are on an ArC ONE")
        ohms = dict(pair.split("=") for pair in str(board.mock["initial"]).split())
        found = [(device, ohms[f"{device.wordline},{device.bitline}"]) for device in board.devices]
        if kind.has_switch:
            made.append(_switched(kind, board, found))
        else:
            made += [_one(kind, board, device, float(ohm)) for device, ohm in found]
    return tuple(made)


def _one(kind: BenchKind, board: ArcOneSmu, device: Device, ohm: float) -> Smu:
    return kind.unit(
        name=_unit_of(device.name),
        resource=_RESOURCE,
        read_voltage_v=board.read_voltage_v,
        compliance_a=COMPLIANCE_A,
        devices=(msgspec.structs.replace(device, wordline=1, bitline=1),),
        mock={"preset": board.mock["preset"], "ohm": ohm},
    )


def _switched(kind: BenchKind, board: ArcOneSmu, found: Sequence[tuple[Device, str]]) -> Smu:
    """Return one unit whose switch leads to each device on a word and a bit line of its own."""
    places = range(1, len(found) + 1)
    devices = [
        msgspec.structs.replace(device, wordline=n, bitline=n)
        for n, (device, _) in zip(places, found, strict=True)
    ]
    initial = " ".join(f"{n},{n}={ohm}" for n, (_, ohm) in zip(places, found, strict=True))
    return kind.unit(
        name=_array_of(board.name),
        resource=_RESOURCE,
        read_voltage_v=board.read_voltage_v,
        compliance_a=COMPLIANCE_A,
        switch=Keithley707BSwitch(resource=_RESOURCE, wordlines=_WORDLINES, bitlines=_BITLINES),
        devices=tuple(devices),
        mock={"preset": board.mock["preset"], "initial": initial},
    )


def moved_to_units(
    entries: Sequence[LimitOverride], instruments: set[str]
) -> Iterator[LimitOverride]:
    """Return each entry, that of a device where the device is now; its unit has a compliance."""
    for entry in entries:
        units = {_unit_of(entry.device or ""), _array_of(entry.instrument)} & instruments
        if not units:
            yield entry
            continue
        (unit,) = units
        yield msgspec.structs.replace(entry, instrument=unit)
        if entry.limit == "max_read_v":
            yield msgspec.structs.replace(
                entry,
                instrument=unit,
                limit="max_compliance_a",
                value=COMPLIANCE_A,
                reason="1.5 V at 4 kOhm, and half as much again",
            )


def _unit_of(device: str) -> str:
    return f"smu-{device}"


def _array_of(board: str) -> str:
    return f"smu-{board}"
