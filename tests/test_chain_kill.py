"""Each process of the running chain killed in turn: nobody hangs, nothing moves behind its back."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import chain_rig as rig
import pytest

from app.demo.sites import RunningSite
from app.exit_codes import ExitCode

SITES = ("southampton", "padova", "zurich")
END_LIMIT_S = 20.0


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[dict[str, RunningSite]]:
    with rig.running_chain(tmp_path) as sites:
        sites["zurich"].call("start", who="test")
        rig.until(lambda: has_stimulated(sites["padova"]), "first stimulus in the culture")
        yield sites
    for site in sites.values():
        for session in (site.site_file.parent / "sessions").iterdir():
            connection = sqlite3.connect(session / "events.sqlite")
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM inputs").fetchone()[0] > 0
            connection.close()


def has_stimulated(padova: RunningSite) -> bool:
    return bool(padova.call("status")["amplifier"]["n_stimuli"])


def others(chain: dict[str, RunningSite], name: str) -> list[RunningSite]:
    return [site for other, site in chain.items() if other != name]


def must_go_on(chain: dict[str, RunningSite], dead: str) -> None:
    """The other sites still answer, hold their links to each other, and know who is gone."""
    for site in others(chain, dead):
        assert site.process.poll() is None
        links = {link["site"]: link["state"] for link in site.call("status")["links"]}
        assert links.get(dead) in (None, "down", "greeting", "suspect")
        assert not site.call("status")["failure"]
    if dead != "southampton":
        alive = next(s for s in others(chain, dead) if s.name != "southampton")
        rig.until(lambda: rig.link_state(alive, "southampton") == "up", "the other link stays up")


@pytest.mark.parametrize("name", SITES)
def test_engine_killed(chain: dict[str, RunningSite], name: str) -> None:
    site = chain[name]
    mock = rig.mock_pid(site)
    rig.kill(site.engine_pid)
    before = rig.truth(chain["padova"], "stimuli")["stimuli"] if name == "padova" else []
    assert site.process.wait(END_LIMIT_S) == ExitCode.ENGINE_DIED
    assert "killed by signal 9" in site.log_file.read_text()
    if name == "padova":
        # What the engine had sent may have been under way; behind that nothing came.
        assert len(before) >= 1
    rig.until(lambda: not rig.is_running(mock), "its mock ended too")
    must_go_on(chain, name)


def test_no_stimulus_after_the_engine_died(chain: dict[str, RunningSite]) -> None:
    padova = chain["padova"]
    rig.kill(padova.engine_pid)
    first = rig.truth(padova, "stimuli")["stimuli"]
    status = rig.truth(padova, "status")
    second = rig.truth(padova, "stimuli")["stimuli"]
    assert len(first) == len(second), status
    assert padova.process.wait(END_LIMIT_S) == ExitCode.ENGINE_DIED


@pytest.mark.parametrize("name", ["southampton", "padova"])
def test_mock_killed_is_an_instrument_lost(chain: dict[str, RunningSite], name: str) -> None:
    site = chain[name]
    rig.kill(rig.mock_pid(site))
    assert site.process.wait(END_LIMIT_S) == ExitCode.WORKER
    log = site.log_file.read_text()
    assert "stopped: " in log
    assert ("arc1" if name == "southampton" else "mea1") in log
    must_go_on(chain, name)


def test_chip_killed_cannot_be_seen_over_udp(chain: dict[str, RunningSite]) -> None:
    """Its packets carry no number and no answer: silence is all there is, and nothing fails."""
    zurich = chain["zurich"]
    rig.kill(rig.mock_pid(zurich))
    n_before = zurich.call("status")["protocol"]["n_drives"]
    rig.until(lambda: zurich.call("status")["protocol"]["n_drives"] > n_before, "drives go on")
    for site in chain.values():
        assert site.process.poll() is None
        site.call("shutdown")
    for site in chain.values():
        assert site.process.wait(END_LIMIT_S) == ExitCode.OK


def test_supervisor_killed_ends_its_engine_and_mock(chain: dict[str, RunningSite]) -> None:
    padova = chain["padova"]
    engine, mock = padova.engine_pid, rig.mock_pid(padova)
    rig.kill(padova.process.pid)
    rig.until(lambda: not rig.is_running(engine), "engine ended")
    rig.until(lambda: not rig.is_running(mock), "mock ended")
    must_go_on(chain, "padova")
    assert "make safe (" in padova.log_file.read_text()
