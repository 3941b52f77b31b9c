"""Rules for every test: it leaves no thread behind; and what runs beside what on two cores."""

import threading
from collections.abc import Callable, Iterator

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

# The same examples in every run: what fails here fails there.
hypothesis.settings.register_profile("same every time", derandomize=True, database=None)
hypothesis.settings.load_profile("same every time")

ENGINE_FILES = frozenset(
    f"tests/test_{name}.py"
    for name in (
        "chain", "chain_kill", "chain_recording", "chain_stop", "gui_engine", "killed_while_armed",
        "link_kill", "many_channels", "metrics", "session_audit", "session_replay", "supervision",
        "upkeep_engine",
    )
)  # fmt: skip
"""Files whose tests run whole engines in real time: two at once would starve each other."""


class EnginesInTurn(LoadScopeScheduling):
    """One worker runs all engines, one after the other; every other file is a unit of its own."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "engines" if file in ENGINE_FILES else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Callable[..., object]
) -> LoadScopeScheduling:
    return EnginesInTurn(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The engines take longest, so they begin."""
    items.sort(key=lambda item: item.nodeid.split("::", 1)[0] not in ENGINE_FILES)


@pytest.fixture(autouse=True)
def no_stray_threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    strays = [t for t in threading.enumerate() if t not in before and t.is_alive()]
    for thread in strays:
        thread.join(1.0)
    names = [t.name for t in strays if t.is_alive()]
    assert not names, f"threads left behind: {names}"
