"""Files of a bench with simulated units and limits that somebody signed for. No tests in here."""

import datetime as dt
from pathlib import Path

import msgspec

TWO_UNITS = """
schema_version = 1
site = "lab"
limits_override = "limits.toml"
[[operators]]
name = "me"
[[smus]]
driver = "arc_one"
name = "arc1"
port = "/dev/ttyACM0"
read_voltage_v = 0.5
n_wordlines = 4
n_bitlines = 4
line_pacing_s = 0.0
mock = { seed = 3, initial = "1,1=5000" }
[[smus.devices]]
name = "a"
wordline = 1
bitline = 1
[[smus]]
driver = "keithley_2600"
name = "smu1"
resource = "TCPIP::127.0.0.1::1::SOCKET"
read_voltage_v = 0.5
compliance_a = 1e-3
[[smus.devices]]
name = "cell"
wordline = 1
bitline = 1
wafer = "W7"
"""
LOOSER = {"max_read_v": 0.5, "max_per_second": 1000, "max_compliance_a": 1e-3}


def site_file(folder: Path, text: str = TWO_UNITS) -> Path:
    """Write a site, and beside it the looser limits of each of its devices."""
    overrides = [
        {
            "instrument": smu["name"],
            "device": device["name"],
            "limit": limit,
            "value": value,
            "name": "me",
            "reason": "simulated",
            "expires": dt.date(2099, 12, 31),
            "mock_only": True,
        }
        for smu in msgspec.toml.decode(text)["smus"]
        for device in smu["devices"]
        for limit, value in LOOSER.items()
    ]
    limits = {"schema_version": 1, "site": "lab", "overrides": overrides}
    (folder / "limits.toml").write_bytes(msgspec.toml.encode(limits))
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path
