"""Mutants of the Gate's comparisons: each is one comparison turned wrong, and a test must notice.

    python tests/mutation.py                all of them (some minutes); names the survivors
    python tests/mutation.py --sample 8     an even sample, as the test suite does

Every mutant is a process forked from one that has everything else loaded: it compiles one module
of the Gate with the mutation in it, and runs the Gate's unit tests until the first failure.
"""

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
TESTS = {
    "app.safety.stimulation_limits": "stimulation",
    "app.safety.stimulator_judge": "stimulation",
    "app.safety.electrode": "stimulation",
    "app.safety.device_inputs": "devices",
    "app.safety.device_limits": "devices",
    "app.safety.forming": "forming",
    "app.safety.chip_limits": "devices",
    "app.safety.ceilings": "ceilings",
    "app.safety.profiles": "ceilings",
    "app.safety.rates": "rates",
    "app.safety.leases": "arming",
    "app.safety.state": "arming",
    "app.safety.decider": "requests",
    "app.safety.deliveries": "requests",
    "app.safety.causes": "requests",
    "drivers.permit": "requests",
}
"""The modules whose comparisons are limits, and whose test file is most likely to notice."""
SWAPS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""A boundary that is one too far, and a comparison that is upside down."""
TIME_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong comparison: the n-th operator of the n-th comparison of a module."""

    module: str
    compare: int
    place: int
    swap: int
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.text}"


def source_of(module: str) -> Path:
    return ROOT / (module.replace(".", "/") + ".py")


def comparisons(tree: ast.AST) -> list[ast.Compare]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]


def mutants_of(module: str) -> Iterator[Mutant]:
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    for number, node in enumerate(comparisons(tree)):
        for place, op in enumerate(node.ops):
            for swap, wrong in enumerate(SWAPS[type(op)]):
                changed = copy.deepcopy(node)
                changed.ops[place] = wrong()
                text = f"{ast.unparse(node)}  ->  {ast.unparse(changed)}"
                yield Mutant(module, number, place, swap, node.lineno, text)


def mutated(mutant: Mutant) -> ast.Module:
    tree = ast.parse(source_of(mutant.module).read_text(encoding="utf-8"))
    node = comparisons(tree)[mutant.compare]
    node.ops[mutant.place] = SWAPS[type(node.ops[mutant.place])][mutant.swap]()
    return ast.fix_missing_locations(tree)


class MutantImporter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module with a mutation in it; all others come from where they are."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != self._mutant.module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(source_of(name)))

    def exec_module(self, module: ModuleType) -> None:
        code = compile(mutated(self._mutant), str(source_of(module.__name__)), "exec")
        exec(code, module.__dict__)


def run_tests(mutant: Mutant | None) -> int:
    """In a child: run the unit tests with the mutant in place; return pytest's exit code."""
    import pytest

    if mutant is not None:
        sys.meta_path.insert(0, MutantImporter(mutant))
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "-W", "ignore"]
    if mutant is not None:
        code = int(pytest.main([*options, f"tests/test_safety_{TESTS[mutant.module]}.py"]))
        if code:
            return code
    names = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests").glob("test_safety_*.py"))
    return int(pytest.main([*options, *names, "tests/test_gate_provenance.py"]))


def start(mutant: Mutant | None) -> int:
    """Fork; return the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    with contextlib.suppress(BaseException):
        os.chdir(ROOT)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        code = run_tests(mutant)
    os._exit(code)


def ended(pid: int, limit_s: float = TIME_LIMIT_S) -> int | None:
    """Wait for a child; return its exit code, or None if it took too long and was killed."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None


def sample(mutants: Sequence[Mutant], n: int) -> list[Mutant]:
    """Return `n` of them, evenly spread over all modules; 0: all."""
    if not 0 < n < len(mutants):
        return list(mutants)
    return [mutants[int((i + 0.5) * len(mutants) / n)] for i in range(n)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=0, metavar="N")
    parser.add_argument("--module", help="only this one")
    arguments = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import hypothesis.stateful  # noqa: F401 - loaded once, for all children
    import msgspec  # noqa: F401
    import numpy as np  # noqa: F401
    import pytest  # noqa: F401

    if not arguments.sample and ended(start(None)) != 0:
        print("the tests fail without any mutation: nothing can be learnt")
        return 2
    mutants = [m for module in TESTS for m in mutants_of(module)]
    if arguments.module:
        mutants = [m for m in mutants if m.module == arguments.module]
    chosen = sample(mutants, arguments.sample)
    survivors = []
    for mutant in chosen:
        if ended(start(mutant)) == 0:
            survivors.append(mutant)
            print(f"SURVIVED {mutant}", flush=True)
    print(f"{len(chosen)} of {len(mutants)} mutants, {len(chosen) - len(survivors)} killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
