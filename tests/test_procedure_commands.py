"""Who may start a procedure, and when: control, arming, the protocol, forming's own code."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.console.control import Caller
from app.console.messages import CommandRefusedError
from app.engine.operator_commands import FREE
from app.engine.procedure_commands import ProcedureCommands
from app.engine.protocol_runner import ProtocolState
from app.engine.run_commands import RunCommands

CALLER = Caller(1, "local")
REMOTE = Caller(2, "10.0.0.7:5000", "Bea")


class Desk:
    """Takes every order and remembers it."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, str, dict[str, Any], bool]] = []
        self.running: list[dict[str, Any]] = []

    def start(self, who: str, reason: str, given: Any, *, is_operator: bool) -> dict[str, Any]:
        self.orders.append((who, reason, dict(given), is_operator))
        return {"number": 1}

    def is_pulsing(self, procedure: str) -> bool:
        return procedure != "read"

    def abort(self, who: str) -> int:
        return len(self.running)

    def status(self) -> list[dict[str, Any]]:
        return self.running


class Rig:
    def __init__(self, *, is_armed: bool = False, desk: Desk | None = None) -> None:
        self.desk = desk or Desk()
        site = SimpleNamespace(site="lab", operators=[SimpleNamespace(name="Ada")])
        self.parts = SimpleNamespace(
            procedures=self.desk,
            gate=SimpleNamespace(is_armed=is_armed),
            site=site,
            is_dry_run=False,
        )
        self.engine = SimpleNamespace(protocol=None)
        self.handlers = ProcedureCommands(self.engine, self.parts, lambda: "abcd").handlers

    def start(self, caller: Caller = CALLER, **arguments: Any) -> dict[str, Any]:
        return self.handlers["procedure"](caller, {"who": "Ada", **arguments})


def test_to_look_and_to_abort_needs_no_control_to_start_does() -> None:
    assert {"abort procedure", "array", "device"} <= FREE
    assert not {"procedure", "fit"} & FREE


def test_reading_needs_no_arming_pulsing_does() -> None:
    rig = Rig()
    rig.start(procedure="read", times=2)
    assert rig.desk.orders == [("Ada", "read", {"procedure": "read", "times": 2}, True)]
    with pytest.raises(CommandRefusedError, match="not armed"):
        rig.start(procedure="iv", devices="a")
    armed = Rig(is_armed=True)
    armed.start(procedure="iv", devices="a", reason="a look")
    assert armed.desk.orders[0][:2] == ("Ada", "a look")


def test_nothing_starts_while_the_protocol_runs_and_no_protocol_while_a_procedure_does() -> None:
    rig = Rig()
    status = SimpleNamespace(state=ProtocolState.RUNNING)
    rig.engine.protocol = SimpleNamespace(status=status)
    with pytest.raises(CommandRefusedError, match="the experiment's protocol runs"):
        rig.start(procedure="read")
    rig.engine.protocol = None
    rig.desk.running = [{"number": 1}]
    experiment = SimpleNamespace(
        protocol=SimpleNamespace(neuron=1), neuron=lambda n: SimpleNamespace(site="lab")
    )
    rig.parts.experiment = experiment
    commands = RunCommands(rig.engine, rig.parts, lambda *_: None)
    with pytest.raises(CommandRefusedError, match="a procedure of the bench runs"):
        commands.handlers["start"](CALLER, {"who": "Ada"})


def test_forming_needs_the_session_code_and_passes_it_no_further() -> None:
    rig = Rig(is_armed=True)
    for code in (None, "", "abce"):
        with pytest.raises(CommandRefusedError, match="session code is not right"):
            rig.start(procedure="form", devices="a", code=code)
    rig.start(procedure="form", devices="a", code="abcd", reason="new")
    assert rig.desk.orders == [("Ada", "new", {"procedure": "form", "devices": "a"}, True)]


def test_over_the_network_whoever_the_key_says_starts_it() -> None:
    rig = Rig()
    rig.start(REMOTE, procedure="read")
    assert rig.desk.orders[0][0] == "Bea"
    assert rig.desk.orders[0][3] is False  # her name is no operator's here


def test_without_a_unit_everything_is_refused_in_a_sentence() -> None:
    rig = Rig()
    rig.parts.procedures = None
    for name, arguments in (
        ("procedure", {"who": "Ada", "procedure": "read"}),
        ("abort procedure", {"who": "Ada"}),
        ("array", {}),
        ("device", {"unit": "x", "device": "y"}),
        ("fit", {"who": "Ada", "number": 1}),
    ):
        with pytest.raises(CommandRefusedError, match="no source-measure unit"):
            rig.handlers[name](CALLER, arguments)
