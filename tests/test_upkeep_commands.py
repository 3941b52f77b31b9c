"""What operators may have done to instruments while nothing may move, and who may when."""

from pathlib import Path
from typing import Any

import pytest
from one_site import site_file

from app.config.load import load_site
from app.config.site import Site
from app.console.control import Caller
from app.console.messages import CommandRefusedError
from app.engine.upkeep_commands import UpkeepCommands
from app.instruments import profiles_of, provenance_of
from app.safety.device_limits import LOWER, RAISE
from app.safety.gate import Gate
from drivers.smu.protocol import DeviceAddress

HERE = Caller(1, "local")
ASKED = {
    "who": "ada", "reason": "looked at it", "instrument": "arc1", "device": "m1",
    "is_confirmed": True,
}  # fmt: skip


class Notes:
    """What the record was told."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def note(self, who: str, text: str) -> None:
        self.rows.append((who, text))


class Desk:
    """The commands over a real Gate."""

    def __init__(self, folder: Path) -> None:
        self.site: Site = load_site(site_file(folder))
        self.inputs: list[str] = []
        self.notes = Notes()
        self.gate = Gate(
            "bench",
            profiles_of(self.site, provenance_of(self.site, is_mock=True)),
            (),
            clock_ns=lambda: 0,
            on_audit=lambda _row: None,
            on_input=lambda kind, _body, _now_ns: self.inputs.append(kind),
        )
        self.gate.boot_done(1)
        self.commands = UpkeepCommands(self.site, self.gate, self.notes, lambda: 5, {})  # type: ignore[arg-type]

    def freeze(self) -> None:
        for direction in (RAISE, LOWER):
            self.gate.freeze("arc1", DeviceAddress(1, 1), direction, "did not move", 2)

    @property
    def n_frozen(self) -> int:
        return len(self.gate.snapshot().frozen_devices)

    def ask(self, caller: Caller = HERE, **changes: Any) -> dict[str, Any]:
        return self.commands.handlers["unfreeze"](caller, {**ASKED, **changes})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.freeze()
    return made


def test_a_named_operator_unfreezes_both_directions_and_it_is_on_record(desk: Desk) -> None:
    assert desk.ask() == {"device": "m1", "directions": ["lowering", "raising"]}
    assert desk.n_frozen == 0
    assert desk.inputs[-2:] == ["unfreeze", "unfreeze"], "decided upon as numbered inputs"
    ((who, text),) = desk.notes.rows
    assert who == "ada"
    assert "m1 may be pulsed again: looked at it" in text
    assert "did not move" in text
    with pytest.raises(CommandRefusedError, match="is not frozen"):
        desk.ask()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"who": "mallory"}, "no operator of site bench"),
        ({"who": " "}, "who: a text"),
        ({"reason": ""}, "reason: a text"),
        ({"is_confirmed": False}, "must be confirmed"),
        ({"is_confirmed": "yes"}, "true or false"),
        ({"device": "m2"}, "no device 'm2'"),
        ({"instrument": "arc2"}, "no device 'm1'"),
    ],
)
def test_refused(desk: Desk, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(CommandRefusedError, match=why):
        desk.ask(**changes)
    assert desk.n_frozen == 2
    assert not desk.notes.rows


def test_over_the_network_the_key_says_who_it_is(desk: Desk) -> None:
    with pytest.raises(CommandRefusedError, match="key is bea's, not ada's"):
        desk.ask(Caller(2, "10.0.0.1", "bea"))
    desk.ask(Caller(3, "10.0.0.1", "ada"))
    assert desk.n_frozen == 0


@pytest.mark.parametrize("state", ["armed", "tripped"])
def test_refused_in_every_state_but_disarmed(desk: Desk, state: str) -> None:
    if state == "armed":
        refused = desk.gate.arm("ada", "test", 3, 10**12, by_program=False, is_operator=True)
        assert refused is None
    else:
        desk.gate.trip("a fault", 3)
    with pytest.raises(CommandRefusedError, match=f"is {state}; disarm first"):
        desk.ask()
    assert desk.n_frozen == 2
