"""What consoles may ask of an engine, one method a command."""

import secrets
from collections.abc import Callable
from typing import Any

from app.console.control import Caller, ControlLock
from app.console.description import Described, describe
from app.console.messages import CommandRefusedError
from app.engine.arguments import flag, number, text
from app.engine.engine import Engine
from app.engine.loop_latency import EDGES_S
from app.engine.parts import EngineParts
from app.engine.procedure_commands import ProcedureCommands
from app.engine.run_commands import RunCommands
from app.engine.status import engine_status
from app.engine.upkeep_commands import UpkeepCommands
from app.engine.watch import CONSOLE_LEASE
from app.safety.requests import Refusal
from app.safety.state import GateState
from drivers.safe_state import SafeState

MAX_ARMING_S = 24 * 3600.0
MAX_UNATTENDED_S = 7 * 24 * 3600.0
"""The Gate's own ceiling; a person's default is 60 min."""
FREE = frozenset(
    {"status", "describe", "renew", "disarm", "stop", "note", "take control", "release control"}
    | {"abort procedure", "array", "device", "impedance"}
)
"""Commands that never need control of the site: to look, to note, and to stop."""

Handler = Callable[[Caller, dict[str, Any]], dict[str, Any]]


class OperatorCommands:
    """Carries out console commands. Called from the console thread; a command does not wait long.

    `session_code` is what a person types to arm: it stands in the status, so whoever arms has
    looked at it.
    """

    def __init__(self, engine: Engine, parts: EngineParts) -> None:
        self._engine = engine
        self._parts = parts
        self._is_unattended = False
        self._lease_holder: Caller | None = None
        """The console whose renewals count: the one that armed, or that took control from it."""
        self._control = ControlLock()
        self.session_code = "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz") for _ in range(4))
        self._handlers: dict[str, Handler] = {
            "status": self._status,
            "describe": lambda _caller, _arguments: describe(_described(parts)),
            "arm": self._arm,
            "renew": self._renew,
            "disarm": self._disarm,
            "stop": self._stop,
            "acknowledge": self._acknowledge,
            "note": self._note,
            "take control": self._take_control,
            "release control": self._release_control,
            **RunCommands(engine, parts, self._after_gate_change).handlers,
            **ProcedureCommands(engine, parts, lambda: self.session_code).handlers,
            **UpkeepCommands(
                parts.site, parts.gate, parts.ledger, parts.clock_ns, parts.upkeep
            ).handlers,
        }

    def handle(self, caller: Caller, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command. Raises `CommandRefusedError`."""
        handler = self._handlers.get(name)
        if handler is None:
            raise CommandRefusedError(
                f"unknown command {name!r}; known: {', '.join(sorted(self._handlers))}"
            )
        if name not in FREE:
            self._control.must_allow(caller, name)
        return handler(caller, arguments)

    def left(self, caller: Caller) -> None:
        """Take from a console that has gone what it held: control, and the lease of an arming."""
        now_ns = self._parts.clock_ns()
        if self._control.release(caller):
            self._parts.ledger.note("console", f"{caller.address}: gone, control is free")
        if self._lease_holder == caller:
            self._lease_holder = None
            if not self._is_unattended:
                self._parts.gate.lease_lost(CONSOLE_LEASE, "the console has gone", now_ns)

    def renew_unattended(self, now_ns: int) -> bool:
        """Say whether the console lease needs no console: an unattended or a program's arming."""
        del now_ns
        return self._is_unattended

    def status(self) -> dict[str, Any]:
        """Return everything that consoles are shown of the engine."""
        control = self._control
        is_held = control.holder is not None
        return {
            **engine_status(self._engine, self._parts),
            "session_code": self.session_code,
            "control": {
                "number": control.holder.number if control.holder is not None else None,
                "name": control.name if is_held else None,
                "since_ns": control.since_ns if is_held else None,
            },
        }

    def _status(self, _caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
        return self.status()

    def _take_control(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        now_ns = self._parts.clock_ns()
        name = caller.operator or text(arguments, "who")
        is_confirmed = flag(arguments, "is_confirmed", default=False)
        taken_from = self._control.take(caller, name, now_ns, is_confirmed=is_confirmed)
        if self._lease_holder is not None and not self._is_unattended:
            self._lease_holder = caller  # whoever is in control keeps the arming alive, or trips it
            self._parts.gate.lease_renewed(CONSOLE_LEASE, now_ns)
        how = f", taken from {taken_from}" if taken_from else ""
        self._parts.ledger.note(name, f"has control of site {self._parts.site.site}{how}")
        return {"number": caller.number, "taken_from": taken_from}

    def _release_control(self, caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
        name = self._control.name
        if not self._control.release(caller):
            raise CommandRefusedError("this console does not hold control")
        self._parts.ledger.note(name, "has given control back")
        return {}

    def _arm(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        who, reason = self._operator(caller, arguments), text(arguments, "reason")
        is_unattended = flag(arguments, "is_unattended", default=False)
        longest_s = MAX_UNATTENDED_S if is_unattended else MAX_ARMING_S
        seconds = number(arguments, "seconds", 0.0, longest_s)
        by_program = flag(arguments, "by_program", default=False)
        if not by_program and arguments.get("code") != self.session_code:
            raise CommandRefusedError("the session code is not right; look at `status`")
        now_ns = self._parts.clock_ns()
        if not self._parts.gate.is_armed:  # else the attempt would prolong another's arming
            # A console that arms is there: its lease begins now and it must go on renewing.
            self._parts.gate.lease_renewed(CONSOLE_LEASE, now_ns)
        refusal = self._parts.gate.arm(
            who,
            reason,
            now_ns,
            now_ns + round(seconds * 1e9),
            by_program=by_program,
            is_operator=any(who == operator.name for operator in self._parts.site.operators),
        )
        if refusal is None:
            self._lease_holder, self._is_unattended = caller, is_unattended
        self._after_gate_change(refusal, who, reason)
        return {"gate_state": "armed"}

    def _renew(self, caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
        if self._lease_holder == caller:
            self._parts.gate.lease_renewed(CONSOLE_LEASE, self._parts.clock_ns())
        return {"gate_state": self._parts.gate.snapshot().state.value}

    def _disarm(self, _caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        who = text(arguments, "who")
        reason = str(arguments.get("reason") or "asked for")
        self._is_unattended = False
        self._parts.gate.disarm(who, reason, self._parts.clock_ns())
        self._after_gate_change(None, who, reason)
        return {}

    def _stop(self, _caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        who = text(arguments, "who")
        self._is_unattended = False
        reports = self._engine.emergency_stop(who)
        self._after_gate_change(None, who, "emergency stop")
        return {
            "is_safe": all(report.state is not SafeState.FAILED for report in reports),
            "reports": [f"{r.instrument}: {r.state.value} ({r.detail})" for r in reports],
        }

    def _acknowledge(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        who = caller.operator or text(arguments, "who")
        refusal = self._parts.gate.acknowledge_trip(who, self._parts.clock_ns())
        self._after_gate_change(refusal, who, "trip acknowledged")
        self._engine.reopen_instruments()
        return {}

    def _note(self, _caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        self._parts.ledger.note(text(arguments, "who"), text(arguments, "text"))
        return {}

    def _operator(self, caller: Caller, arguments: dict[str, Any]) -> str:
        """Return who asks: over the network whoever the key says, and nobody else."""
        who = text(arguments, "who")
        if caller.operator is not None and who != caller.operator:
            raise CommandRefusedError(f"this console's key is {caller.operator}'s, not {who}'s")
        return who

    def _after_gate_change(self, refusal: Refusal | None, who: str, reason: str) -> None:
        """Record the Gate's state and tell the other sites; refuse what the Gate refused."""
        parts = self._parts
        if refusal is not None:
            parts.ledger.note(who, f"refused: {refusal.sentence}")
            raise CommandRefusedError(refusal.sentence)
        state: GateState = parts.gate.snapshot().state
        parts.ledger.arming(state.value, who, reason, parts.clock_ns())
        parts.links.publish_gate_state()


def _described(parts: EngineParts) -> Described:
    stream = parts.stream_format
    return Described(
        site=parts.site,
        experiment=parts.experiment,
        provenance=parts.provenance,
        n_channels=0 if stream is None else stream.n_channels,
        sample_rate_hz=0.0 if stream is None else stream.sample_rate_hz,
        loop_latency_edges_s=EDGES_S,
    )
