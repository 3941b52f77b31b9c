"""Console commands of the bench: start and abort procedures, look at the array."""

from collections.abc import Callable
from typing import Any

from app.console.control import Caller
from app.console.messages import CommandRefusedError
from app.engine.arguments import number, text
from app.engine.engine import Engine
from app.engine.parts import EngineParts
from app.engine.procedures import Procedures
from app.engine.protocol_runner import ProtocolState

SessionCode = Callable[[], str]


class ProcedureCommands:
    """Carries out such commands; the console thread calls them.

    A procedure that moves devices needs an armed site. Forming needs besides what arming needs:
    an operator, a reason and the session code, for the one device that it names.
    """

    def __init__(self, engine: Engine, parts: EngineParts, session_code: SessionCode) -> None:
        self._engine = engine
        self._parts = parts
        self._session_code = session_code
        self.handlers: dict[str, Callable[[Caller, dict[str, Any]], dict[str, Any]]] = {
            "procedure": self._procedure,
            "abort procedure": self._abort,
            "array": self._array,
            "device": self._device,
            "fit": self._fit,
        }

    def _procedure(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        given = dict(arguments)
        procedures = self._procedures()
        who = caller.operator or text(given, "who")
        name = text(given, "procedure")
        reason = str(given.pop("reason", None) or name)
        code = given.pop("code", None)
        given.pop("who", None)
        running = self._engine.protocol
        if running is not None and running.status.state is ProtocolState.RUNNING:
            raise CommandRefusedError(
                "the experiment's protocol runs: its devices are not the bench's now; end it first"
            )
        if procedures.is_pulsing(name) and not self._parts.gate.is_armed:
            raise CommandRefusedError(f"site {self._parts.site.site} is not armed; arm it first")
        if name == "form" and code != self._session_code():
            raise CommandRefusedError("the session code is not right; look at `status`")
        is_operator = any(who == operator.name for operator in self._parts.site.operators)
        return procedures.start(who, reason, given, is_operator=is_operator)

    def _abort(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        who = caller.operator or text(arguments, "who")
        return {"n_aborted": self._procedures().abort(who)}

    def _array(self, _caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        after = arguments.get("after", 0)
        if isinstance(after, bool) or not (isinstance(after, int) and after >= 0):
            raise CommandRefusedError(f"after: a whole number from 0 is needed, not {after!r}")
        return self._procedures().page(after)

    def _device(self, _caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._procedures().facts(text(arguments, "unit"), text(arguments, "device"))

    def _fit(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        who = caller.operator or text(arguments, "who")
        return self._procedures().fit(int(number(arguments, "number", 0, 1e6)), who)

    def _procedures(self) -> Procedures:
        if self._parts.procedures is None:
            raise CommandRefusedError(
                f"site {self._parts.site.site} has no source-measure unit to run procedures on"
                + (", or runs dry" if self._parts.is_dry_run else "")
            )
        return self._parts.procedures
