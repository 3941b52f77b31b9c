"""Impedance check and pattern upload of a whole engine on mock instruments, over its console."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from chain_rig import until
from live_window_rig import Bench, running_bench

from app.cli import main
from app.console.messages import CommandRefusedError

WHO = "operator at the bench"
WEAK = {
    "instrument": "mea1", "pattern": 1, "first_amplitude_a": 1e-6, "first_duration_s": 100e-6,
    "second_amplitude_a": 1e-6, "second_duration_s": 100e-6, "interphase_s": 0.0, "n_pulses": 1,
    "period_s": 0.01, "who": WHO, "reason": "too strong", "is_confirmed": True,
}  # fmt: skip
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("upkeep")


@pytest.fixture(scope="module")
def bench(folder: Path) -> Iterator[Bench]:
    with running_bench(folder) as made:
        until(made.is_armable, "site can be armed")
        yield made


def upkeep(bench: Bench) -> dict[str, Any]:
    (row,) = bench.call("status")["upkeep"]
    return row


def differing(row: dict[str, Any]) -> list[int]:
    return [p["pattern_id"] for p in row["held"] if not p["is_in_file"]]


def done(bench: Bench, job: object) -> dict[str, Any]:
    until(lambda: upkeep(bench)["state"] != "at work", f"job {job}", 30.0)
    assert upkeep(bench)["job"] == job
    return upkeep(bench)


def test_an_uploaded_pattern_is_triggered_and_is_not_the_site_files(
    bench: Bench, folder: Path
) -> None:
    assert upkeep(bench)["held"] == [], "what the engine was started with"
    job = bench.call("upload pattern", **WEAK)["job"]
    with pytest.raises(CommandRefusedError, match="something else"):
        bench.call("upload pattern", **WEAK)
    row = done(bench, job)
    assert (row["state"], row["sentence"]) == ("done", "pattern 1 uploaded and read back")
    assert differing(row) == [1]
    assert row["held"][0]["first_amplitude_a"] == 1e-6
    n_stimuli = bench.call("status")["amplifier"]["n_stimuli"]
    until(bench.is_armable, "samples flow again")
    code = bench.call("status")["session_code"]
    bench.call("arm", who=WHO, reason="try", seconds=60.0, code=code, is_unattended=True)
    with pytest.raises(CommandRefusedError, match="disarm first"):
        bench.call("upload pattern", **WEAK)

    def flows() -> bool:
        """Trigger until one came in time: a permit lives 20 ms, also on a busy machine."""
        bench.call("trigger", who=WHO, instrument="mea1", pattern=1)
        return int(bench.call("status")["amplifier"]["n_stimuli"]) > n_stimuli

    until(flows, "its current flows")
    bench.call("disarm", who=WHO)
    text = (folder / "bench.toml").read_text()
    at = text.index("[[amplifiers.patterns]]")
    end = text.index("[[amplifiers.patterns]]", at + 1)
    weaker = text[at:end].replace("2e-6", "1e-6").replace("200e-6", "100e-6")
    (folder / "bench.toml").write_text(text[:at] + weaker + text[end:])
    until(lambda: differing(upkeep(bench)) == [], "the file says the same")


def test_what_is_beyond_the_limits_is_refused_by_the_gate(bench: Bench) -> None:
    strong = {**WEAK, "first_amplitude_a": 9e-6, "second_amplitude_a": 9e-6}
    row = done(bench, bench.call("upload pattern", **strong)["job"])
    assert row["state"] == "refused"
    assert "max_current_a" in row["sentence"]
    for changes, why in (
        ({"pattern": 9}, "no pattern 9"),
        ({"n_pulses": 1.5}, "whole number"),
        ({"first_amplitude_a": float("nan")}, "first_amplitude_a"),
        ({"instrument": "arc1"}, "no stimulator"),
        ({"who": "mallory"}, "no operator"),
        ({"is_confirmed": False}, "confirmed"),
    ):
        with pytest.raises(CommandRefusedError, match=why):
            bench.call("upload pattern", **{**WEAK, **changes})


def test_every_electrode_is_measured_and_the_bad_ones_are_named(
    bench: Bench, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = str(folder / "bench.toml")
    words = ["--who", WHO, "--reason", "before the run", "--confirm", "mea1"]
    assert main(["impedance", site, *words]) == 0
    said = capsys.readouterr().out
    assert "A-006 shorted" in said
    assert "B-013 open" in said
    assert len([line for line in said.splitlines() if "kOhm" in line]) == 60
    shown = bench.call("impedance", instrument="mea1")
    assert shown["frequency_hz"] == 1000.0
    assert [fault for *_, fault in shown["electrodes"]].count("") == 58
    (kept,) = (Path(bench.call("status")["session_folder"]) / "impedance").glob("mea1-*.csv")
    assert "B-013,1000.0," in kept.read_text()
    until(bench.is_armable, "samples flow again")


def test_all_of_it_is_in_the_audit_and_decided_again_the_same(
    bench: Bench, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Path(bench.call("status")["session_folder"])
    bench.call("shutdown")
    until(lambda: not bench.socket.exists(), "the engine has ended", 30.0)
    with closing(sqlite3.connect(session / "events.sqlite")) as log:
        rows = log.execute("SELECT kind, verdict, action FROM audit").fetchall()
    triggers = [row for row in rows if row[2].startswith("pattern 1 on A-016: 1 x -1 uA 100 us")]
    assert ("delivery", "delivered") in [row[:2] for row in triggers], "judged by what is there"
    upkeeps = [row for row in rows if row not in triggers]
    assert [verdict for _, verdict, _ in upkeeps] == [
        "permit", "delivered", "refusal", "permit", "delivered",
    ]  # fmt: skip
    assert upkeeps[0][2].startswith("upload pattern 1 on A-016: 1 x -1 uA 100 us")
    assert upkeeps[3][2] == "impedance of every electrode at 1000 Hz"
    assert main(["replay", str(session)]) == 0
    assert "identical" in capsys.readouterr().out
