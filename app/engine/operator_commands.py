"""What consoles may ask of an engine, one method a command."""

import secrets
from collections.abc import Callable
from typing import Any

from app.console.messages import CommandRefusedError
from app.engine.engine import Engine, EngineParts
from app.engine.protocol_runner import ProtocolRunner, ProtocolState, ProtocolStatus
from app.engine.status import engine_status
from app.engine.watch import CONSOLE_LEASE
from app.recording.errors import RecordingError
from app.safety.requests import Refusal
from app.safety.state import GateState
from drivers.safe_state import SafeState

MAX_ARMING_S = 24 * 3600.0


class OperatorCommands:
    """Carries out console commands. Called from the console thread; a command does not wait long.

    `session_code` is what a person types to arm: it stands in the status, so whoever arms has
    looked at it.
    """

    def __init__(self, engine: Engine, parts: EngineParts) -> None:
        self._engine = engine
        self._parts = parts
        self._is_unattended = False
        self.session_code = "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz") for _ in range(4))
        self._handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "status": self._status,
            "arm": self._arm,
            "renew": self._renew,
            "disarm": self._disarm,
            "stop": self._stop,
            "acknowledge": self._acknowledge,
            "note": self._note,
            "start": self._start,
            "record": self._record,
            "stop sources": self._stop_sources,
            "shutdown": self._shutdown,
        }

    def handle(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command. Raises `CommandRefusedError`."""
        handler = self._handlers.get(name)
        if handler is None:
            raise CommandRefusedError(
                f"unknown command {name!r}; known: {', '.join(sorted(self._handlers))}"
            )
        return handler(arguments)

    def renew_unattended(self, now_ns: int) -> bool:
        """Say whether the console lease needs no console: an unattended or a program's arming."""
        del now_ns
        return self._is_unattended

    def _status(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return {**engine_status(self._engine, self._parts), "session_code": self.session_code}

    def _arm(self, arguments: dict[str, Any]) -> dict[str, Any]:
        who, reason = _text(arguments, "who"), _text(arguments, "reason")
        seconds = _number(arguments, "seconds", 0.0, MAX_ARMING_S)
        by_program = bool(arguments.get("by_program", False))
        if not by_program and arguments.get("code") != self.session_code:
            raise CommandRefusedError("the session code is not right; look at `status`")
        now_ns = self._parts.clock_ns()
        # A console that arms is there: its lease begins now and it must go on renewing.
        self._parts.gate.lease_renewed(CONSOLE_LEASE, now_ns)
        self._is_unattended = bool(arguments.get("is_unattended", False))
        refusal = self._parts.gate.arm(
            who,
            reason,
            now_ns,
            now_ns + round(seconds * 1e9),
            by_program=by_program,
            is_operator=any(who == operator.name for operator in self._parts.site.operators),
        )
        self._after_gate_change(refusal, who, reason)
        return {"gate_state": "armed"}

    def _renew(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        self._parts.gate.lease_renewed(CONSOLE_LEASE, self._parts.clock_ns())
        return {"gate_state": self._parts.gate.snapshot().state.value}

    def _disarm(self, arguments: dict[str, Any]) -> dict[str, Any]:
        who = _text(arguments, "who")
        reason = str(arguments.get("reason") or "asked for")
        self._is_unattended = False
        self._parts.gate.disarm(who, reason, self._parts.clock_ns())
        self._after_gate_change(None, who, reason)
        return {}

    def _stop(self, arguments: dict[str, Any]) -> dict[str, Any]:
        who = _text(arguments, "who")
        self._is_unattended = False
        reports = self._engine.emergency_stop(who)
        self._after_gate_change(None, who, "emergency stop")
        return {
            "is_safe": all(report.state is not SafeState.FAILED for report in reports),
            "reports": [f"{r.instrument}: {r.state.value} ({r.detail})" for r in reports],
        }

    def _acknowledge(self, arguments: dict[str, Any]) -> dict[str, Any]:
        who = _text(arguments, "who")
        refusal = self._parts.gate.acknowledge_trip(who, self._parts.clock_ns())
        self._after_gate_change(refusal, who, "trip acknowledged")
        self._engine.reopen_instruments()
        return {}

    def _note(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._parts.ledger.note(_text(arguments, "who"), _text(arguments, "text"))
        return {}

    def _start(self, arguments: dict[str, Any]) -> dict[str, Any]:
        who = _text(arguments, "who")
        parts = self._parts
        experiment = parts.experiment
        if experiment is None or experiment.protocol is None:
            raise CommandRefusedError("no experiment with a protocol is loaded; see --experiment")
        protocol = experiment.protocol
        owner = experiment.neuron(protocol.neuron).site
        if owner != parts.site.site:
            raise CommandRefusedError(f"the protocol belongs to site {owner}: start it there")
        running = self._engine.protocol
        if running is not None and running.status.state is ProtocolState.RUNNING:
            raise CommandRefusedError("the protocol runs already")
        if not parts.gate.is_armed:
            raise CommandRefusedError(f"site {parts.site.site} is not armed; arm it first")
        chip = next(c for c in parts.site.chips if protocol.neuron in c.neurons)
        runner = ProtocolRunner(
            protocol,
            parts.site.site,
            submit=parts.actuators[chip.name].submit,
            is_armed=lambda: parts.gate.is_armed,
            on_phase=parts.ledger.phase,
            on_end=self._protocol_ended,
            provenance=parts.provenance[chip.name],
            clock_ns=parts.clock_ns,
            on_failure=self._engine.failed,
        )
        parts.ledger.note(who, f"protocol started: {len(protocol.phases)} phases")
        self._engine.start_protocol(runner)
        duration_s = sum(phase.duration_s for phase in protocol.phases)
        return {"n_phases": len(protocol.phases), "duration_s": duration_s}

    def _protocol_ended(self, status: ProtocolStatus) -> None:
        detail = f" ({status.detail})" if status.detail else ""
        self._parts.ledger.note(
            "protocol",
            f"{status.state}{detail}: {status.n_drives} drives, "
            f"{status.n_left_out} left out because late",
        )

    def _record(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            self._engine.record_raw(is_on=bool(arguments.get("is_on", True)))
        except RecordingError as exc:
            raise CommandRefusedError(str(exc)) from exc
        return {}

    def _stop_sources(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        self._parts.gate.disarm("console", "sources stopped", self._parts.clock_ns())
        self._after_gate_change(None, "console", "sources stopped")
        self._engine.stop_sources()
        return {}

    def _shutdown(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        self._engine.request_exit()
        return {}

    def _after_gate_change(self, refusal: Refusal | None, who: str, reason: str) -> None:
        """Record the Gate's state and tell the other sites; refuse what the Gate refused."""
        parts = self._parts
        if refusal is not None:
            parts.ledger.note(who, f"refused: {refusal.sentence}")
            raise CommandRefusedError(refusal.sentence)
        state: GateState = parts.gate.snapshot().state
        parts.ledger.arming(state.value, who, reason, parts.clock_ns())
        parts.links.publish_gate_state()


def _text(arguments: dict[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not (isinstance(value, str) and value.strip()):
        raise CommandRefusedError(f"{name}: a text is needed, not {value!r}")
    return value.strip()[:500]


def _number(arguments: dict[str, Any], name: str, low: float, high: float) -> float:
    value = arguments.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CommandRefusedError(f"{name}: a number is needed, not {value!r}")
    if not (low < value <= high):
        raise CommandRefusedError(f"{name}: {value} is outside {low:g} to {high:g}")
    return float(value)
