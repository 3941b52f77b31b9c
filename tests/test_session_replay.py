"""A session with cut links and an emergency stop decides itself again; a forged one is found."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import chain_rig as rig
import pytest

from app.cli import main
from app.demo import sites as demo_sites
from app.demo.files import set_hub_port
from app.sessions.replay import replay
from mocks.tcp_relay import Relay

N_CUTS = 3
SITES = ("padova", "southampton", "zurich")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("cuts")
    relays: list[Relay] = []
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def through_a_relay(site_file: Path, port: int) -> None:
            relays.append(stack.enter_context(Relay(port)))
            set_hub_port(site_file, relays[-1].port)

        patch.setattr(demo_sites, "set_hub_port", through_a_relay)
        chain = stack.enter_context(rig.running_chain(out))
        chain["zurich"].call("start", who="test")
        hub = chain["southampton"]
        for n_cut in range(N_CUTS):
            n_before = chain["padova"].call("status")["amplifier"]["n_stimuli"]
            rig.until(
                lambda n=n_before: (
                    chain["padova"].call("status")["amplifier"]["n_stimuli"] > n + 10
                ),
                "spikes cross",
            )
            for relay in relays:
                relay.cut()
            rig.until(lambda n=n_cut: all(p.n_accepted > n + 1 for p in relays), "dialled again")
            rig.until(
                lambda: all(link["state"] == "up" for link in hub.call("status")["links"]), "up"
            )
        hub.call("stop", who="test")
        for site in chain.values():
            rig.until(lambda s=site: s.call("status")["gate"]["state"] == "tripped", "stopped")
        folders = {
            name: Path(site.call("status")["session_folder"]) for name, site in chain.items()
        }
        for site in chain.values():
            site.call("shutdown")
        for site in chain.values():
            site.process.wait(20.0)
    return folders


@pytest.mark.parametrize("site", SITES)
def test_every_decision_comes_again(sessions: dict[str, Path], site: str) -> None:
    report = replay(sessions[site])
    assert report.difference == ""
    assert report.n_inputs > 20
    assert report.decisions["audit"] > 0 or site == "southampton"
    if site == "southampton":
        assert report.decisions["psps"] > 0
        assert report.decisions["withheld_psps"] + report.decisions["holes"] > 0


def test_the_session_had_its_cuts_and_its_stop(sessions: dict[str, Path]) -> None:
    with closing(sqlite3.connect(sessions["southampton"] / "events.sqlite")) as database:
        (n_ups,) = database.execute(
            "SELECT count(*) FROM links WHERE site = 'padova' AND event = 'up'"
        ).fetchone()
        states = [s for (s,) in database.execute("SELECT state FROM arming ORDER BY rowid")]
    assert n_ups == N_CUTS + 1
    assert "tripped" in states


FORGERIES: dict[str, tuple[str, str]] = {
    "weight": ("UPDATE psps SET weight = weight + 1e-6 WHERE rowid = 2", "weight was"),
    "verdict": ("UPDATE audit SET verdict = 'refusal' WHERE rowid = 3", "verdict was"),
    "lost input": ("DELETE FROM inputs WHERE number = 9", "input 9 is missing"),
    "lost decision": ("DELETE FROM psps WHERE rowid = (SELECT max(rowid) FROM psps)", "psps"),
    "one too many": ("INSERT INTO holes VALUES (1, 1, 0, 1, 'x')", "does not come again"),
    "another input": (
        "UPDATE inputs SET kind = 'tick', body = x'80' WHERE kind = 'device read'",
        "upon input",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_was_changed_is_named(
    sessions: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    text, said = FORGERIES[name]
    source = sessions["zurich" if name == "verdict" else "southampton"]
    forged = forge(source, tmp_path, lambda database: database.execute(text))
    assert main(["replay", str(forged)]) == 1
    assert said in capsys.readouterr().out


def test_an_input_of_no_known_kind_is_refused(
    sessions: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("SET kind = 'x'", "SET body = x'c1'"):
        forged = forge(
            sessions["southampton"],
            tmp_path,
            lambda database, text=text: database.execute(f"UPDATE inputs {text} WHERE number = 5"),
        )
        assert main(["replay", str(forged)]) == 1
        assert "input 5" in capsys.readouterr().err


def test_a_session_that_was_cut_off_is_identical_as_far_as_it_goes(
    sessions: dict[str, Path], tmp_path: Path
) -> None:
    forged = forge(
        sessions["southampton"],
        tmp_path,
        cut_off,
    )
    info = (forged / "session.json").read_text()
    (forged / "session.json").write_text(info.replace('"closed"', '"recording"'))
    assert replay(forged).difference == ""


def cut_off(database: sqlite3.Connection) -> None:
    """Take away the last inputs, and the decisions of some time before."""
    (last_ns,) = database.execute("SELECT max(time_ns) FROM inputs").fetchone()
    database.execute("DELETE FROM inputs WHERE time_ns > ?", (last_ns - 100_000_000,))
    for table in ("psps", "holes", "wanted_pulses", "withheld_psps", "audit"):
        database.execute(f"DELETE FROM {table} WHERE time_ns > ?", (last_ns - 200_000_000,))


def forge(source: Path, folder: Path, change: Callable[[sqlite3.Connection], object]) -> Path:
    target = folder / source.name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("Record*"), dirs_exist_ok=True)
    with closing(sqlite3.connect(target / "events.sqlite")) as database:
        change(database)
        database.commit()
    return target
