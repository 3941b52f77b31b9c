"""A bench unit with a switch in `site.toml`: check, real wires, the bench as its user runs it."""

import json
from pathlib import Path

import pytest
from bench_site import site_file

from app.bench.arc_csv import read_session
from app.cli import main
from app.config.check import check_site
from app.config.load import ConfigError, load_site
from app.config.site import Site
from app.instruments import limit_conflicts, make_rig, probe, switch_off
from app.mock_rig import MockRig, with_addresses
from app.run_folder import RunFolder
from app.signed_site import load_signed_site
from drivers.safe_state import SafeState
from drivers.smu.protocol import DeviceAddress

SITE = """
schema_version = 1
site = "lab"
limits_override = "limits.toml"
[[operators]]
name = "me"
[[smus]]
driver = "keithley_2600"
name = "smu1"
resource = "TCPIP::127.0.0.1::1::SOCKET"
read_voltage_v = 0.5
compliance_a = 1e-3
mock = { noise = "off", initial = "1,1=5000 2,3=7000" }
[smus.switch]
driver = "keithley_707b"
resource = "TCPIP::127.0.0.1::2::SOCKET"
wordlines = ["1A01", "1A02"]
bitlines = ["1B03", "1B04", "1B05"]
[[smus.devices]]
name = "a"
wordline = 1
bitline = 1
[[smus.devices]]
name = "b"
wordline = 2
bitline = 3
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return site_file(tmp_path, SITE)


def signed(site: Path) -> Site:
    return load_signed_site(site, is_mock=True).site


def changed(site: Path, old: str, new: str) -> Path:
    text = site.read_text(encoding="utf-8")
    assert old in text
    site.write_text(text.replace(old, new), encoding="utf-8")
    return site


def test_on_real_wires_and_off_without_an_engine(site: Path) -> None:
    configured = signed(site)
    mocks = MockRig()
    mocks.start(configured)
    try:
        here = with_addresses(configured, mocks.addresses)
        rig = make_rig(here, site.parent)
        (answer,) = probe(rig)
        assert answer.is_well, answer.sentence
        (driver,) = rig.smus.values()
        driver.open()
        assert driver.read(DeviceAddress(2, 3)).resistance_ohm == pytest.approx(7000, rel=1e-3)
        assert driver.read(DeviceAddress(1, 1)).resistance_ohm == pytest.approx(5000, rel=1e-3)
        # As an engine that was killed leaves it; somebody else switches it off.
        folder = RunFolder(site, configured)
        folder.make()
        folder.write_json(folder.addresses, mocks.addresses)
        driver._unit.disconnect(driver.state)  # type: ignore[attr-defined]
        driver._route.detach()  # type: ignore[attr-defined]
        (report,) = switch_off(site, configured)
        assert report.state is SafeState.CONFIRMED
        assert "every relay open" in report.detail
    finally:
        mocks.stop()


def test_check_names_what_is_wrong_with_it(site: Path) -> None:
    assert not check_site(signed(site))
    changed(site, 'wordlines = ["1A01", "1A02"]', 'wordlines = ["1A01", "1B03"]')
    assert any("1B03 stands for two lines" in s for s in limit_conflicts(signed(site)))
    changed(site, '"1A01", "1B03"', '"1A01", "101"')
    assert any("'101' is no channel of a 707B" in s for s in limit_conflicts(signed(site)))
    changed(site, '"1A01", "101"', '"1A01"')
    assert any("outside the array of 1 x 3" in s for s in check_site(signed(site)))
    changed(site, 'driver = "keithley_707b"', 'driver = "keithley_7001"')
    with pytest.raises(ConfigError, match="keithley_7001"):
        load_site(site)


def test_check_says_whether_the_switch_answers(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(site)]) != 0
    assert "smu1: does not answer" in capsys.readouterr().out


def test_bench_on_the_array(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = ["bench", str(site), "--mock", "--json", "--out", str(site.parent / "out")]
    assert main([*bench, "read", "--times", "2"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["resistances_ohm"]
    assert found["a"] == pytest.approx([5000, 5000], rel=1e-3)
    assert found["b"] == pytest.approx([7000, 7000], rel=1e-3)
    assert main([*bench, "program", "a", "b", "--target", "6000"]) == 0
    results = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    assert [result["reason"] for result in results] == ["reached", "reached"]
    rows = read_session(site.parent / "out" / "bench-program.csv")
    assert {(row.wordline, row.bitline) for row in rows} == {(1, 1), (2, 3)}
    assert main(["bench", str(site), "--mock", "array"]) == 0
    shown = capsys.readouterr().out
    assert "smu1 a (1, 1)" in shown
    assert "smu1 b (2, 3)" in shown
