"""What an operator may have done to instruments while nothing may move; all of it on record."""

from collections.abc import Callable, Mapping
from typing import Any

from app.config.amplifiers import ImpedanceLimits, IntanRhxAmplifier
from app.config.site import Device, Site
from app.console.control import Caller
from app.console.description import NO_FOLDER
from app.console.messages import CommandRefusedError
from app.core.clock import ClockNs
from app.engine.amplifier_upkeep import AmplifierUpkeep
from app.engine.arguments import flag, number, text
from app.engine.impedance_words import fault_of
from app.engine.ledger import Ledger
from app.safety.gate import Gate
from app.safety.state import GateState
from drivers.mea.protocol import CurrentPulse, Pattern
from drivers.permit import MeasureImpedance, Upkeep, UploadPattern
from drivers.smu.protocol import DeviceAddress

DIRECTION_WORDS = {1: "raising", -1: "lowering"}
"""Of a device's resistance."""
_DURATIONS = ("first_duration_s", "second_duration_s", "period_s")


class UpkeepCommands:
    """Carries out such commands, in the console thread, which is also the only one that arms."""

    def __init__(
        self,
        site: Site,
        gate: Gate,
        ledger: Ledger,
        clock_ns: ClockNs,
        amplifiers: Mapping[str, AmplifierUpkeep],
    ) -> None:
        self._site = site
        self._amplifiers = amplifiers
        self._gate = gate
        self._ledger = ledger
        self._clock_ns = clock_ns
        self.handlers: dict[str, Callable[[Caller, dict[str, Any]], dict[str, Any]]] = {
            "unfreeze": self._unfreeze,
            "upload pattern": self._upload_pattern,
            "measure impedance": self._measure_impedance,
            "impedance": self._impedance,
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

    def _upload_pattern(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        """Prepare another waveform under a pattern's number; the site file stays as it is."""
        instrument = text(arguments, "instrument")
        upkeep = self._amplifier(instrument)
        pattern_id = round(number(arguments, "pattern", -1, 255))
        pattern = next((p for p in upkeep.status.held if p.pattern_id == pattern_id), None)
        if pattern is None:
            raise CommandRefusedError(f"{instrument}: has no pattern {pattern_id}")
        who, reason = self.must_allow(caller, arguments, f"upload pattern {pattern_id}")
        n_pulses = number(arguments, "n_pulses", 0, 1e6)
        if not n_pulses.is_integer():
            raise CommandRefusedError(f"n_pulses: {n_pulses} is not a whole number")
        seconds = {name: number(arguments, name, 0, 60.0) for name in _DURATIONS}
        pulse = CurrentPulse(
            first_amplitude_a=number(arguments, "first_amplitude_a", 0, 1.0),
            second_amplitude_a=number(arguments, "second_amplitude_a", 0, 1.0),
            interphase_s=number(arguments, "interphase_s", -1.0, 60.0),
            is_negative_first=pattern.pulse.is_negative_first,
            n_pulses=int(n_pulses),
            **seconds,
        )
        deed = UploadPattern(Pattern(pattern_id, pattern.channels, pulse))
        return self._submit(upkeep, deed, who, reason)

    def _measure_impedance(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        instrument = text(arguments, "instrument")
        upkeep = self._amplifier(instrument)
        limits = self._impedance_limits(instrument)
        if not upkeep.can_measure:
            raise CommandRefusedError(f"{instrument}: measures no impedance here")
        who, reason = self.must_allow(caller, arguments, "measure impedance")
        return self._submit(upkeep, MeasureImpedance(limits.frequency_hz), who, reason)

    def _submit(
        self, upkeep: AmplifierUpkeep, deed: Upkeep, who: str, reason: str
    ) -> dict[str, Any]:
        job = upkeep.submit(deed, who, reason)
        if job is None:
            raise CommandRefusedError("the amplifier is at something else; wait for its end")
        return {"job": job}

    def _impedance(self, _caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the newest check of this session, electrode by electrode."""
        instrument = text(arguments, "instrument")
        status = self._amplifier(instrument).status
        limits = self._impedance_limits(instrument)
        if status.impedance is None:
            raise CommandRefusedError(f"{instrument}: no impedance was measured in this session")
        return {
            "frequency_hz": status.impedance.frequency_hz,
            "measured_ns": status.measured_ns,
            "electrodes": [
                [e.channel, e.magnitude_ohm, e.phase_deg, fault_of(e, limits)]
                for e in status.impedance.electrodes
            ],
        }

    def _amplifier(self, instrument: str) -> AmplifierUpkeep:
        upkeep = self._amplifiers.get(instrument)
        if upkeep is None:
            raise CommandRefusedError(f"no stimulator {instrument!r} here")
        return upkeep

    def _impedance_limits(self, instrument: str) -> ImpedanceLimits:
        for amplifier in self._site.amplifiers:
            if amplifier.name == instrument and isinstance(amplifier, IntanRhxAmplifier):
                if amplifier.impedance is not None:
                    return amplifier.impedance
                raise CommandRefusedError(f"{instrument}: {NO_FOLDER}")
        raise CommandRefusedError(f"{instrument}: measures no impedance")

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
