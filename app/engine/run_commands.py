"""What consoles may ask about the run itself: protocol, recording, stimuli by hand, the end."""

from collections.abc import Callable
from typing import Any

from app.console.control import Caller
from app.console.messages import CommandRefusedError
from app.core.signal_view import ThresholdChange
from app.engine.arguments import flag, number, text
from app.engine.engine import Engine
from app.engine.parts import EngineParts
from app.engine.protocol_runner import ProtocolRunner, ProtocolState, ProtocolStatus
from app.recording.errors import RecordingError
from app.safety.actuator_worker import ActuatorJob
from app.safety.requests import Cause, CauseKind, Refusal
from drivers.permit import Stimulate

GateChanged = Callable[[Refusal | None, str, str], None]
"""Records a change of the Gate and tells the other sites; raises what the Gate refused."""


class RunCommands:
    """Carries out commands that start and end things; the console thread calls them."""

    def __init__(self, engine: Engine, parts: EngineParts, gate_changed: GateChanged) -> None:
        self._engine = engine
        self._parts = parts
        self._gate_changed = gate_changed
        self.handlers: dict[str, Callable[[Caller, dict[str, Any]], dict[str, Any]]] = {
            "start": self._start,
            "record": self._record,
            "trigger": self._trigger,
            "threshold": self._threshold,
            "stop sources": self._stop_sources,
            "shutdown": self._shutdown,
        }

    def _start(self, _caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        who = text(arguments, "who")
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
        if parts.procedures is not None and parts.procedures.status():
            raise CommandRefusedError("a procedure of the bench runs; abort it or wait for its end")
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

    def _record(self, _caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            self._engine.record_raw(is_on=flag(arguments, "is_on", default=True))
        except RecordingError as exc:
            raise CommandRefusedError(str(exc)) from exc
        return {}

    def _stop_sources(self, _caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
        self._parts.gate.disarm("console", "sources stopped", self._parts.clock_ns())
        self._gate_changed(None, "console", "sources stopped")
        self._engine.stop_sources()
        return {}

    def _shutdown(self, _caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
        self._engine.request_exit()
        return {}

    def _trigger(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask the Gate for one prepared pattern, as a person's wish; its verdict is recorded."""
        who = caller.operator or text(arguments, "who")
        instrument = text(arguments, "instrument")
        pattern_id = number(arguments, "pattern", 0, 255)
        actuator = self._parts.actuators.get(instrument)
        if actuator is None:
            known = ", ".join(sorted(self._parts.actuators)) or "none"
            raise CommandRefusedError(f"no stimulator {instrument!r} here (known: {known})")
        if not pattern_id.is_integer():
            raise CommandRefusedError(f"pattern: {pattern_id} is not a whole number")
        if not self._parts.gate.is_armed:
            raise CommandRefusedError(f"site {self._parts.site.site} is not armed; arm it first")
        cause = Cause(
            kind=CauseKind.OPERATOR,
            site=self._parts.site.site,
            synapse=None,
            provenance=self._parts.provenance[instrument],
            detail=who,
        )
        now_ns = self._parts.clock_ns()
        job = ActuatorJob(Stimulate(int(pattern_id)), cause, now_ns, 0, None, now_ns)
        actuator.submit(job)
        self._parts.ledger.note(who, f"triggered pattern {int(pattern_id)} of {instrument} by hand")
        return {}

    def _threshold(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        """Move the threshold of one channel, or of all, from the next block on."""
        acquisition = self._parts.acquisition
        if acquisition is None:
            raise CommandRefusedError(f"site {self._parts.site.site} has no amplifier")
        values = {name: arguments.get(name) for name in ("sigma", "microvolts")}
        given = {n: number(arguments, n, 0.0, 1e6) for n, v in values.items() if v is not None}
        channel = arguments.get("channel")
        channels = None if channel is None else (text(arguments, "channel"),)
        try:
            change = ThresholdChange(channels, given.get("sigma"), given.get("microvolts"))
            acquisition.request_threshold(change)
        except ValueError as exc:
            raise CommandRefusedError(str(exc)) from exc
        value = " ".join(f"{v:g} {'sigma' if n == 'sigma' else 'uV'}" for n, v in given.items())
        who = caller.operator or f"console {caller.number}"
        self._parts.ledger.note(who, f"threshold of {channel or 'all channels'}: {value}")
        return {}
