"""What an operator may have done to instruments while nothing may move; all of it on record."""

from collections.abc import Callable
from typing import Any

from app.config.site import Device, Site
from app.console.control import Caller
from app.console.messages import CommandRefusedError
from app.core.clock import ClockNs
from app.engine.arguments import flag, text
from app.engine.ledger import Ledger
from app.safety.gate import Gate
from app.safety.state import GateState
from drivers.smu.protocol import DeviceAddress

DIRECTION_WORDS = {1: "raising", -1: "lowering"}
"""Of a device's resistance."""


class UpkeepCommands:
    """Carries out such commands, in the console thread, which is also the only one that arms."""

    def __init__(self, site: Site, gate: Gate, ledger: Ledger, clock_ns: ClockNs) -> None:
        self._site = site
        self._gate = gate
        self._ledger = ledger
        self._clock_ns = clock_ns
        self.handlers: dict[str, Callable[[Caller, dict[str, Any]], dict[str, Any]]] = {
            "unfreeze": self._unfreeze
        }

    def _unfreeze(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        """Let a device be pulsed again that failed a verification, in every frozen direction."""
        instrument, name = text(arguments, "instrument"), text(arguments, "device")
        device = self._device(instrument, name)
        who, reason = self.must_allow(caller, arguments, f"unfreeze {name}")
        frozen = [
            f for f in self._gate.snapshot().frozen_devices
            if (f.instrument, f.device) == (instrument, name)
        ]  # fmt: skip
        if not frozen:
            raise CommandRefusedError(f"{instrument}, device {name}: is not frozen")
        address = DeviceAddress(device.wordline, device.bitline)
        for direction in (f.direction for f in frozen):
            refusal = self._gate.unfreeze(instrument, address, direction, who, self._clock_ns())
            if refusal is not None:
                raise CommandRefusedError(refusal.sentence)
        was = "; ".join(f"{DIRECTION_WORDS[f.direction]} it was frozen: {f.reason}" for f in frozen)
        self._ledger.note(
            who, f"{instrument}, device {name} may be pulsed again: {reason} (before, {was})"
        )
        return {"device": name, "directions": [DIRECTION_WORDS[f.direction] for f in frozen]}

    def must_allow(self, caller: Caller, arguments: dict[str, Any], what: str) -> tuple[str, str]:
        """Return who asks and why. Raises `CommandRefusedError`.

        Only while disarmed: what is changed here could act at once under an arming that was given
        without knowing of it.
        """
        who, reason = text(arguments, "who"), text(arguments, "reason")
        if caller.operator is not None and who != caller.operator:
            raise CommandRefusedError(f"this console's key is {caller.operator}'s, not {who}'s")
        if all(who != operator.name for operator in self._site.operators):
            raise CommandRefusedError(f"{who} is no operator of site {self._site.site}")
        state = self._gate.snapshot().state
        if state is not GateState.DISARMED:
            raise CommandRefusedError(
                f"{what}: site {self._site.site} is {state}; disarm first, so that an operator "
                "arms again knowing of it"
            )
        if not flag(arguments, "is_confirmed", default=False):
            raise CommandRefusedError(f"{what}: must be confirmed")
        return who, reason

    def _device(self, instrument: str, name: str) -> Device:
        for smu in self._site.smus:
            for device in smu.devices:
                if (smu.name, device.name) == (instrument, name):
                    return device
        raise CommandRefusedError(f"{instrument}: has no device {name!r}")
