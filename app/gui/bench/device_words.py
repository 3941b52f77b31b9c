"""The array of devices as the bench's map shows it. No Qt in here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.gui.device_history import DeviceKey
from app.gui.device_map import DeviceShown
from app.gui.numbers import duration, grouped, with_prefix

NOISE = 1.3
"""Resistances that differ by less look much alike."""


@dataclass(frozen=True, slots=True)
class BenchDevice(DeviceShown):
    """One position of an array, named in the site file or not."""

    detail: str = ""

    @property
    def words(self) -> str:
        """Get everything that is known of it."""
        return self.detail


def shown(devices: Mapping[DeviceKey, Mapping[str, Any]], unit: str) -> list[BenchDevice]:
    """Return a unit's devices for the map; colours lie within all its resistances."""
    of_unit = {key: d for key, d in devices.items() if key[0] == unit}
    ohms = [d["resistance_ohm"] for d in of_unit.values() if d["resistance_ohm"] is not None]
    low, median, high = (float(v) for v in np.percentile(ohms or [1.0], (2, 50, 98)))
    low, high = min(low, median / NOISE), max(high, median * NOISE)
    return [
        BenchDevice(
            key=key,
            name=d["name"],
            resistance_ohm=d["resistance_ohm"],
            window_ohm=(low, high),
            n_pulses=d["n_pulses"],
            budget_pulses=d["budget_pulses"] or 0,
            frozen="; ".join(f"{word}: {why}" for word, why in d["frozen"].items()),
            is_named=d["budget_pulses"] is not None,
            detail=words_of(d, d["age_s"]),
        )
        for key, d in of_unit.items()
    ]


def words_of(device: Mapping[str, Any], age_s: float | None) -> str:
    """Return everything that is known of a device, in lines; `age_s` is its last reading's."""
    ago = "never read" if age_s is None else f"read {duration(age_s)} ago"
    volts = device["read_voltage_v"]
    at = "" if volts is None else f" at {volts:g} V"
    origin = " ".join(part for part in (device["wafer"], device["die"]) if part)
    lines = [
        f"{device['name']}: word line {device['wordline']}, bit line {device['bitline']} of "
        f"{device['unit']}{f', {origin}' if origin else ''}",
        f"{device['state']}, {with_prefix(device['resistance_ohm'], 'ohm', 4)}{at}, {ago}",
    ]
    if device["budget_pulses"] is None:
        lines.append("not in the site file: it can be read and not pulsed")
    else:
        spent, budget = grouped(device["n_pulses"]), grouped(device["budget_pulses"])
        lines.append(f"pulses spent: {spent} of {budget}; formings: {device['n_formings']}")
    lines += [f"FROZEN {word}: {why}" for word, why in device["frozen"].items()]
    return "\n".join(lines)
