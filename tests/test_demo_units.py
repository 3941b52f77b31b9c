"""The demonstration with its memristors on bench units; each whole run only on demand."""

import json
import os
from pathlib import Path

import pytest

from app.cli import main
from app.config.check import check_site
from app.demo.files import DemoSettings, prepare_files
from app.instruments import limit_conflicts
from app.signed_site import load_signed_site

is_long = bool(os.environ.get("SPIKEBRIDGE_LONG_TESTS"))


@pytest.mark.parametrize(("unit", "shortest"), [("2450", "2 ms"), ("2400", "5 ms")])
def test_a_unit_without_such_pulses_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: str, shortest: str
) -> None:
    assert main(["demo", "--smu", f"keithley-{unit}", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"a Keithley {unit} makes no write pulse below {shortest}" in said
    assert "choose arc-one, keithley-2600, keithley-2600-switch, keysight-b2900" in said
    assert not (tmp_path / "out").exists()


def test_with_a_switch_both_devices_are_on_one_unit(tmp_path: Path) -> None:
    _, files = prepare_files(DemoSettings(out=tmp_path, smu="keithley-2600-switch"))
    signed = load_signed_site(files["southampton"], is_mock=True)
    assert not signed.conflicts
    (smu,) = signed.site.smus
    assert [device.name for device in smu.devices] == ["w12b21", "w25b8"]
    assert not check_site(signed.site) + limit_conflicts(signed.site)


@pytest.mark.skipif(not is_long, reason="half a minute each; SPIKEBRIDGE_LONG_TESTS=1 runs it")
@pytest.mark.parametrize("unit", ["keithley-2600", "keithley-2600-switch", "keysight-b2900"])
def test_the_published_outcome_holds_on_bench_units(tmp_path: Path, unit: str) -> None:
    out = tmp_path / "out"
    arguments = ["demo", "--smu", unit, "--out", str(out), "--no-progress", "--seed", "3"]
    assert main([*arguments, "--seconds-per-phase", "4"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["outcome"] == dict.fromkeys(summary["outcome"], True)
    assert all(link["n_lost"] == link["n_duplicated"] == 0 for link in summary["links"])
