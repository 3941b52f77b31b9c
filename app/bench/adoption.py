"""The array view and the Gate told of each other: what is frozen and what is spent."""

from collections.abc import Iterable

from app.bench.array_view import ArrayView
from app.bench.direction import WORD
from app.config.site import Device
from app.safety.gate import Gate
from drivers.smu.protocol import DeviceAddress


def adopt(array: ArrayView, gate: Gate, smu: str, devices: Iterable[Device], now_ns: int) -> None:
    """Take a site file's devices into the array view; what it keeps frozen, the Gate freezes."""
    spent = {(s.instrument, s.device): s.n_pulses for s in gate.snapshot().spent}
    for device in devices:
        record = array.at(smu, device.wordline, device.bitline)
        record.name = device.name
        record.budget_pulses = device.limits.budget_pulses
        record.wafer, record.die = device.wafer or "", device.die or ""
        record.n_pulses = max(record.n_pulses, spent.get((smu, device.name), 0))
        address = DeviceAddress(device.wordline, device.bitline)
        for direction, word in WORD.items():
            if word in record.frozen:
                gate.freeze(smu, address, direction, record.frozen[word], now_ns)


def take_over(array: ArrayView, gate: Gate, smu: str, devices: Iterable[Device]) -> None:
    """Let the array view say of a unit's devices what the Gate says now."""
    snapshot = gate.snapshot()
    frozen: dict[str, dict[str, str]] = {}
    for f in snapshot.frozen_devices:
        if f.instrument == smu:
            frozen.setdefault(f.device, {})[WORD[f.direction]] = f.reason
    spent = {s.device: s.n_pulses for s in snapshot.spent if s.instrument == smu}
    for device in devices:
        record = array.at(smu, device.wordline, device.bitline)
        record.frozen = frozen.get(device.name, {})
        record.n_pulses = max(record.n_pulses, spent.get(device.name, 0))
