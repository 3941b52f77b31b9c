"""The whole loop on mock instruments, as `spikebridge demo` runs it."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from nwb_complaints import complaints
from spikeinterface.core import read_numpy_sorting_folder
from spikeinterface.extractors import read_openephys

from app.cli import main
from app.sessions.replay import replay

SECONDS = 4.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("demo")
    arguments = ["demo", "--out", str(out), "--no-progress", "--seed", "3"]
    assert main([*arguments, "--seconds-per-phase", str(SECONDS)]) == 0
    return out, json.loads((out / "summary.json").read_text())


def only_session(out: Path, site: str) -> Path:
    (session,) = (out / "sites" / site / "sessions").iterdir()
    return session


def query(out: Path, site: str, text: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(only_session(out, site) / "events.sqlite")
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def test_the_published_outcome_held(demo: tuple[Path, dict[str, Any]]) -> None:
    _, summary = demo
    assert summary["outcome"] == dict.fromkeys(summary["outcome"], True)
    assert [phase["pre_rate_hz"] for phase in summary["phases"]] == [10, 30, 10, 2]
    synapse = [phase["synapses"]["ABsyn"] for phase in summary["phases"]]
    assert synapse[0]["n_ltp"] == synapse[0]["n_ltd"] == 0
    assert synapse[1]["r_end_ohm"] > 1.5 * synapse[1]["r_start_ohm"]
    assert synapse[3]["r_end_ohm"] < 0.7 * synapse[3]["r_start_ohm"]
    assert 0.0 <= synapse[1]["weight_start"] < 1 / 3 < synapse[1]["weight_end"] <= 1.0


def test_no_link_lost_or_doubled_an_event(demo: tuple[Path, dict[str, Any]]) -> None:
    _, summary = demo
    assert len(summary["links"]) == 4
    for link in summary["links"]:
        assert link["n_sent"] == link["n_received"] > 0
        assert link["n_lost"] == link["n_duplicated"] == 0
    assert summary["loop_latency_us"]["n"] > 100


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("site", ["padova", "southampton", "zurich"])
def test_each_session_exports_to_nwb_without_a_complaint(
    demo: tuple[Path, dict[str, Any]], tmp_path: Path, site: str
) -> None:
    session = only_session(demo[0], site)
    assert main(["export", str(session), "--nwb", "--out", str(tmp_path)]) == 0
    assert complaints(tmp_path / f"{session.name}.nwb") == []


def test_the_recorded_site_has_its_spikes_as_a_sorting(demo: tuple[Path, dict[str, Any]]) -> None:
    session = only_session(demo[0], "padova")
    sorting = read_numpy_sorting_folder(session / "sorting")
    samples = read_openephys(session)
    fired = query(
        demo[0], "padova", "SELECT count(*) FROM spikes WHERE kind != 0 AND site='padova'"
    )
    train = sorting.get_unit_spike_train(256)
    assert len(train) == fired[0][0] > 0
    assert 0 <= train.min() <= train.max() < samples.get_num_samples()
    assert "sorting/spikes.npy" in (session / "CHECKSUMS.sha256").read_text()
    assert not (only_session(demo[0], "zurich") / "sorting").exists(), "no samples, no sorting"


def test_pulses_were_asked_for_when_the_rule_says(demo: tuple[Path, dict[str, Any]]) -> None:
    out, _ = demo
    starts = [t for (t,) in query(out, "zurich", "SELECT start_ns FROM protocol_phases ORDER BY 1")]
    asked = query(
        out,
        "southampton",
        "SELECT event_ns, direction FROM device_pulses WHERE synapse = 1 ORDER BY event_ns",
    )
    assert min(t for t, _ in asked) >= starts[1], "none in the first phase"
    first_ltp_s = min((t - starts[1]) / 1e9 for t, direction in asked if direction == "LTP")
    assert first_ltp_s == pytest.approx(0.53, abs=0.15)
    first_ltd_s = min((t - starts[3]) / 1e9 for t, direction in asked if direction == "LTD")
    assert first_ltd_s == pytest.approx(1.0, abs=0.2)
    in_third = [(t - starts[2]) / 1e9 for t, _ in asked if starts[2] <= t < starts[3]]
    assert max(in_third, default=0.0) <= 1.0


def test_every_request_was_audited_before_it_was_delivered(
    demo: tuple[Path, dict[str, Any]],
) -> None:
    out, _ = demo
    for site in ("padova", "southampton", "zurich"):
        permits = query(
            out, site, "SELECT number FROM audit WHERE kind='request' AND verdict='permit'"
        )
        delivered = query(out, site, "SELECT number FROM audit WHERE kind = 'delivery'")
        assert permits
        assert sorted(permits) == sorted(delivered)


def test_sessions_are_closed_and_hold_raw_data(demo: tuple[Path, dict[str, Any]]) -> None:
    out, _ = demo
    for site in ("padova", "southampton", "zurich"):
        info = json.loads((only_session(out, site) / "session.json").read_text())
        assert info["state"] == "closed"
    (oebin,) = only_session(out, "padova").rglob("structure.oebin")
    assert len(json.loads(oebin.read_text())["continuous"][0]["channels"]) == 60
    assert not list(out.rglob("*.lock.part"))
    assert not list(out.rglob("*.sock"))


def test_every_decision_of_the_three_sites_comes_again(demo: tuple[Path, dict[str, Any]]) -> None:
    out, _ = demo
    for site in ("padova", "southampton", "zurich"):
        report = replay(only_session(out, site))
        assert report.difference == ""
        assert report.decisions["audit"] > 20


def test_report_is_a_picture(demo: tuple[Path, dict[str, Any]]) -> None:
    out, _ = demo
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")
