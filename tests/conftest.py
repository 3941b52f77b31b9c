"""Rules for every test: it leaves no thread behind; and what runs beside what on two cores."""

import threading
from collections.abc import Callable, Iterator

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

# The same examples in every run: what fails here fails there.
hypothesis.settings.register_profile("same every time", derandomize=True, database=None)
hypothesis.settings.load_profile("same every time")

CHAIN_FILES = frozenset(
    f"tests/test_{name}.py"
    for name in (
        "chain", "chain_kill", "chain_recording", "chain_stop", "link_kill", "many_channels",
        "metrics", "session_audit", "session_replay",
    )
)  # fmt: skip
"""Files whose tests run whole chains of sites in real time: two at once would starve each other."""
ENGINE_FILES = frozenset(
    f"tests/test_{name}.py"
    for name in ("gui_engine", "killed_while_armed", "supervision", "upkeep_engine")
)
"""Files whose tests run one site for long: one of them at a time, beside a chain."""


class EnginesInTurn(LoadScopeScheduling):
    """One worker runs all chains, one after the other, one all long engines; else file by file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        if file in CHAIN_FILES:
            return "chains"
        return "engines" if file in ENGINE_FILES else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Callable[..., object]
) -> LoadScopeScheduling:
    return EnginesInTurn(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins."""
    files = (CHAIN_FILES, ENGINE_FILES)

    def rank(item: pytest.Item) -> int:
        file = item.nodeid.split("::", 1)[0]
        return next((i for i, group in enumerate(files) if file in group), len(files))

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def no_stray_threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    strays = [t for t in threading.enumerate() if t not in before and t.is_alive()]
    for thread in strays:
        thread.join(1.0)
    names = [t.name for t in strays if t.is_alive()]
    assert not names, f"threads left behind: {names}"
