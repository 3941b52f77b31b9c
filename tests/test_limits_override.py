"""Limits looser than their defaults: signed, with a reason and an end, or not in force."""

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from app.cli import main
from app.config.load import ConfigError
from app.core.spikes import Provenance
from app.demo.files import CHAIN
from app.exit_codes import ExitCode
from app.safety.requests import RefusalReason
from app.signed_site import load_signed_site, load_to_switch_off
from drivers.permit import DriveNeuron
from tests.test_gate_rig import SECOND, Rig, chip

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
SITE = """
schema_version = 1
site = "padova"
{top}
[[chips]]
driver = "aer_udp"
name = "chip1"
listen_host = "127.0.0.1"
listen_port = 5005
chip_host = "127.0.0.1"
chip_port = 10000
neurons = [1]
{limits}
[[smus]]
driver = "arc_one"
name = "arc1"
port = "/dev/null"
[[smus.devices]]
name = "m1"
wordline = 1
bitline = 1
"""
ENTRY = {
    "instrument": "chip1",
    "limit": "max_per_second",
    "value": 300,
    "name": "Ada",
    "reason": "fast chip",
    "expires": dt.date(2027, 1, 31),
}


def written(tmp_path: Path, *entries: dict, top="", limits="", site="padova") -> Path:
    site_file = tmp_path / "site.toml"
    if entries:
        top = f'limits_override = "loose.toml"\n{top}'
        content = {"schema_version": 1, "site": site, "overrides": list(entries)}
        (tmp_path / "loose.toml").write_bytes(msgspec.toml.encode(content))
    site_file.write_text(SITE.format(top=top, limits=limits))
    return site_file


def conflicts(tmp_path: Path, *entries: dict, now=NOW, **words) -> tuple[str, ...]:
    return load_signed_site(written(tmp_path, *entries, **words), is_mock=False, now=now).conflicts


def test_a_signed_limit_is_in_force_until_its_last_day_has_ended(tmp_path: Path) -> None:
    site_file = written(tmp_path, ENTRY)
    last = dt.datetime(2027, 1, 31, 23, 59, 59, tzinfo=dt.UTC)
    for now in (NOW, last):
        signed = load_signed_site(site_file, is_mock=False, now=now)
        assert signed.conflicts == ()
        assert signed.site.chips[0].limits.max_per_second == 300
        assert signed.site.chips[0].limits.confirmed_by == "Ada"
        assert signed.until == dt.datetime(2027, 2, 1, tzinfo=dt.UTC)
        assert signed.override_bytes == (tmp_path / "loose.toml").read_bytes()
    expired = load_signed_site(site_file, is_mock=False, now=last + dt.timedelta(seconds=1))
    assert "expired on 2027-01-31" in expired.conflicts[0]
    assert expired.site.chips[0].limits.max_per_second == 200


def test_without_a_file_nothing_is_looser(tmp_path: Path) -> None:
    signed = load_signed_site(written(tmp_path), is_mock=False, now=NOW)
    assert (signed.conflicts, signed.until, signed.override_bytes) == ((), None, b"")
    assert conflicts(tmp_path, limits="limits = { max_per_second = 100 }") == ()


def test_site_toml_cannot_loosen_by_itself(tmp_path: Path) -> None:
    (one,) = conflicts(tmp_path, limits="limits = { max_per_second = 201 }")
    assert "max_per_second 201 is looser than the default 200" in one
    signed = 'limits = { max_per_second = 201, reason = "r", confirmed_by = "c" }'
    (one,) = conflicts(tmp_path, limits=signed)
    assert "belong into the limits override file" in one


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"instrument": "chip2"}, "no such instrument or device"),
        ({"device": "m1"}, "no such instrument or device"),
        ({"instrument": "arc1"}, "no such instrument or device"),
        ({"limit": "max_per_secnd"}, "no such limit"),
        ({"limit": "reason", "value": 1}, "no such limit"),
        ({"value": True}, "none that takes True"),
        ({"value": 300.5}, "none that takes 300.5"),
        ({"expires": dt.date(2026, 11, 26)}, "expired on 2026-11-26"),
        ({"expires": dt.date(2027, 11, 29)}, "allowed are 366 days"),
    ],
)
def test_an_entry_that_cannot_hold_is_named(tmp_path: Path, change: dict, says: str) -> None:
    (one,) = conflicts(tmp_path, {**ENTRY, **change})
    assert says in one


def test_more_is_wrong(tmp_path: Path) -> None:
    assert "given twice" in conflicts(tmp_path, ENTRY, ENTRY)[0]
    assert "is for site other" in conflicts(tmp_path, ENTRY, site="other")[0]
    for change in ({"name": ""}, {"reason": ""}, {"extra": 1}, {"value": float("nan")}):
        with pytest.raises(ConfigError):
            conflicts(tmp_path, {**ENTRY, **change})
    for missing in ("name", "reason", "expires"):
        with pytest.raises(ConfigError, match=missing):
            conflicts(tmp_path, {k: v for k, v in ENTRY.items() if k != missing})
    (tmp_path / "loose.toml").unlink()
    with pytest.raises(ConfigError, match="no such file"):
        load_signed_site(tmp_path / "site.toml", is_mock=False, now=NOW)


def test_no_signature_moves_a_ceiling(tmp_path: Path) -> None:
    site_file = written(tmp_path, {**ENTRY, "value": 10_001})
    assert main(["check", "--offline", str(site_file)]) == ExitCode.FAILED


def test_what_is_signed_for_mocks_is_void_for_real_instruments(tmp_path: Path) -> None:
    far = {**ENTRY, "mock_only": True, "expires": dt.date(2099, 12, 31)}
    site_file = written(tmp_path, far)
    mock = load_signed_site(site_file, is_mock=True, now=NOW)
    live = load_signed_site(site_file, is_mock=False, now=NOW)
    assert mock.conflicts == live.conflicts == ()
    assert mock.site.chips[0].limits.max_per_second == 300
    assert live.site.chips[0].limits.max_per_second == 200


def test_a_device_of_several_has_its_own(tmp_path: Path) -> None:
    entry = {**ENTRY, "instrument": "arc1", "device": "m1", "limit": "max_read_v", "value": 0.5}
    signed = load_signed_site(written(tmp_path, entry, ENTRY), is_mock=False, now=NOW)
    assert signed.conflicts == ()
    assert signed.site.smus[0].devices[0].limits.max_read_v == 0.5


def test_switching_off_needs_no_signature(tmp_path: Path) -> None:
    entry = {**ENTRY, "instrument": "arc1", "device": "m1", "limit": "max_read_v", "value": 0.5}
    expired = written(tmp_path, {**entry, "expires": dt.date(2020, 1, 1)})
    assert load_to_switch_off(expired).smus[0].devices[0].limits.max_read_v == 0.5
    (tmp_path / "loose.toml").write_text("nonsense")
    assert load_to_switch_off(expired).smus[0].devices[0].limits.max_read_v == 0.2


def test_no_arming_outlives_the_first_signature() -> None:
    rig = Rig(chip(provenance=Provenance.MOCK))
    rig.gate.boot_done(rig.now_ns)
    end_ns = rig.now_ns + 600 * SECOND
    rig.gate.set_limits_end(end_ns, rig.now_ns)
    refusal = rig.arm(expires_ns=end_ns + 1)
    assert refusal.reason is RefusalReason.EXPIRY
    assert "limits override expires" in refusal.sentence
    assert rig.arm(expires_ns=end_ns) is None
    assert rig.reason(DriveNeuron(7, 1)) is None
    rig.now_ns = end_ns
    rig.renew()
    assert rig.state == "tripped"
    rig.gate.acknowledge_trip("ada", rig.now_ns)
    assert rig.arm(expires_ns=rig.now_ns + 1).reason is RefusalReason.EXPIRY


@pytest.mark.parametrize("name", ["padova", "southampton", "zurich"])
def test_the_demo_s_sites_are_signed_for_mocks_only(name: str) -> None:
    mock = load_signed_site(CHAIN / f"{name}.toml", is_mock=True)
    assert mock.conflicts == ()
    assert all(entry.mock_only for entry in mock.overrides)
