"""There is one way to an output, found by walking the syntax trees: a permit that the Gate made.

The list of places that may deliver is short on purpose. Whoever adds to it adds a place that can
move tissue or a device: it must ask the Gate, wait for the audit row, and report the delivery.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PERMIT_MAKER = "app/safety/gate.py"
DELIVERERS = {
    "app/bench/delivery.py",
    "app/engine/amplifier_upkeep.py",
    "app/safety/actuator_worker.py",
    "app/synapse/device_worker.py",
}
JOINERS = {"app/compose/actuators.py"}
"""Hands a driver's method to the worker that delivers, and calls none itself."""


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def trees(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), tree_of(path)


def takes_permit(function: ast.FunctionDef) -> bool:
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    return any(a.annotation and "Permit" in ast.unparse(a.annotation) for a in arguments)


def driver_methods() -> dict[str, list[tuple[str, ast.FunctionDef]]]:
    """Every function of the drivers that takes a permit, by name, with the file it stands in."""
    found: dict[str, list[tuple[str, ast.FunctionDef]]] = {}
    for place, tree in trees("drivers"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and takes_permit(node):
                found.setdefault(node.name, []).append((place, node))
    return found


def public_deliveries() -> set[str]:
    return {name for name in driver_methods() if not name.startswith("_")}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def name_of(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def test_the_walk_finds_what_is_there() -> None:
    assert {"stimulate", "pulse", "drive"} <= public_deliveries()
    assert all((ROOT / place).is_file() for place in (PERMIT_MAKER, *DELIVERERS, *JOINERS))


def test_only_the_gate_makes_permits() -> None:
    makers = {
        place
        for place, tree in trees("app", "drivers", "mocks")
        for call in calls(tree)
        if name_of(call.func) == "Permit"
    }
    assert makers == {PERMIT_MAKER}


def test_only_the_bench_and_two_workers_deliver() -> None:
    """A driver's delivery is called nowhere else, and handed on only where parts are joined."""
    deliveries = public_deliveries()
    for place, tree in trees("app"):
        called = {id(call.func) for call in calls(tree)}
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Attribute) and node.attr in deliveries):
                continue
            where = f"{place}:{node.lineno}: {ast.unparse(node)}"
            if id(node) in called:
                assert place in DELIVERERS, f"{where} is called"
            elif is_driver(node.value):
                assert place in JOINERS, f"{where} is handed on"


def is_driver(value: ast.expr) -> bool:
    """Say whether this is no plain setting: a synapse's and a pattern's pulse are values."""
    return ast.unparse(value).split(".")[-1] not in {"synapse", "pattern", "original", "self"}


@pytest.mark.parametrize("name", sorted(driver_methods()))
def test_every_delivery_spends_its_permit_or_refuses(name: str) -> None:
    for place, function in driver_methods()[name]:
        body = [node for node in function.body if not isinstance(node, ast.Expr)]
        if not body:  # a protocol's method has a docstring and nothing else
            assert place.endswith("protocol.py")
            continue
        passes_on = {name_of(call.func) for call in calls(function) if uses_permit(call)}
        is_spent = "spend" in passes_on or passes_on & set(driver_methods())
        refuses = any(isinstance(node, ast.Raise) for node in ast.walk(function))
        assert is_spent or refuses, f"{place}: {name} takes a permit and does not spend it"


def uses_permit(call: ast.Call) -> bool:
    is_method = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "permit"
    return is_method or any(ast.unparse(argument) == "permit" for argument in call.args)
