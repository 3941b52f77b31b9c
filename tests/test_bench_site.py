"""Bench units in `site.toml`: drivers, profiles, mocks, probing and switching off."""

from pathlib import Path

import pytest

from app.cli import main
from app.config.check import check_site
from app.config.load import ConfigError, load_site
from app.demo.files import DemoSettings, prepare_files
from app.instruments import limit_conflicts, make_rig, probe
from app.mock_rig import MockRig, with_addresses
from app.signed_site import load_signed_site
from drivers.errors import SafetyLimitError
from drivers.safe_state import SafeState
from drivers.smu.protocol import DeviceAddress

UNITS = ("keithley_2400", "keithley_2450", "keithley_2600", "keysight_b2900")


def site_file(folder: Path, unit: str, *, more: str = "", limits: str = "") -> Path:
    path = folder / "site.toml"
    path.write_text(
        f"""
schema_version = 1
site = "bench"
[[smus]]
driver = "{unit}"
name = "smu1"
resource = "TCPIP::127.0.0.1::1::SOCKET"
{more}
mock = {{ ohm = 4321.0, noise = "off" }}
[[smus.devices]]
name = "cell"
wordline = 1
bitline = 1
[smus.devices.limits]
{limits}
""",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("unit", UNITS)
def test_mock_of_a_site_answers_its_own_driver(tmp_path: Path, unit: str) -> None:
    site = load_site(site_file(tmp_path, unit))
    assert not check_site(site) + limit_conflicts(site)
    mocks = MockRig()
    mocks.start(site)
    try:
        here = with_addresses(site, mocks.addresses)
        (answer,) = probe(make_rig(here, tmp_path))
        assert answer.is_well, answer.sentence
        (driver,) = make_rig(here, tmp_path).smus.values()
        driver.open()
        reading = driver.read(DeviceAddress(1, 1))
        assert 1.4 < reading.resistance_ohm / 4321 < 1.5  # 4321 ohm is at 0.5 V, this at 0.2 V
        assert driver.make_safe().state is SafeState.CONFIRMED
        driver.close()
    finally:
        mocks.stop()


def test_a_compliance_above_the_device_s_is_a_conflict(tmp_path: Path) -> None:
    site = load_site(site_file(tmp_path, "keithley_2600", more="compliance_a = 1e-3"))
    (sentence,) = limit_conflicts(site)
    assert "max_compliance_a" in sentence


def test_two_devices_or_another_place_are_refused(tmp_path: Path) -> None:
    path = site_file(tmp_path, "keithley_2600")
    path.write_text(path.read_text().replace("wordline = 1", "wordline = 2"))
    assert any("outside the array of 1 x 1" in s for s in check_site(load_site(path)))
    path.write_text(path.read_text() + '\n[[smus.devices]]\nname="b"\nwordline=1\nbitline=1\n')
    with pytest.raises(ConfigError, match="length <= 1"):
        load_site(path)


def test_widths_that_a_2400_cannot_make_are_refused_before_it_is_made(tmp_path: Path) -> None:
    site = load_site(site_file(tmp_path, "keithley_2400", limits="max_width_s = 1e-3"))
    (sentence,) = limit_conflicts(site)
    assert "max_pulse_width_s 0.001" in sentence
    with pytest.raises(SafetyLimitError, match="max_pulse_width_s"):
        make_rig(site, tmp_path)


def test_check_names_a_unit_that_does_not_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(site_file(tmp_path, "keithley_2600"))]) != 0
    assert "smu1: does not answer" in capsys.readouterr().out


def test_the_demo_puts_each_device_on_a_unit_of_its_own(tmp_path: Path) -> None:
    _, files = prepare_files(DemoSettings(out=tmp_path, smu="keithley-2600"))
    signed = load_signed_site(files["southampton"], is_mock=True)
    assert not signed.conflicts
    site = signed.site
    assert [smu.devices[0].name for smu in site.smus] == ["w12b21", "w25b8"]
    assert not check_site(site) + limit_conflicts(site)
