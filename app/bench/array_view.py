"""What is known of each device of a laboratory, over all sessions.

One JSON file beside `site.toml`, written so that a reader sees all of it or none. Pulses that count
against a device's budget are not counted here but in the dose history, from the audit.
"""

import datetime as dt
import enum
from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.config.load import ConfigError, read_bounded

NEVER = "never"


class DeviceState(enum.StrEnum):
    """What a device is good for, by what was last found."""

    UNKNOWN = "unknown"
    WORKING = "working"
    OUT_OF_WINDOW = "out of its window"
    STUCK = "stuck"
    UNREADABLE = "unreadable"


class Forming(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to form a device."""

    utc: str
    who: str
    before_ohm: float | None
    after_ohm: float | None
    last_amplitude_v: float
    n_pulses: int
    outcome: str


class DeviceRecord(msgspec.Struct, kw_only=True):
    """One device."""

    instrument: str
    name: str
    wordline: int
    bitline: int
    wafer: str = ""
    die: str = ""
    state: DeviceState = DeviceState.UNKNOWN
    resistance_ohm: float | None = None
    read_voltage_v: float | None = None
    read_utc: str = NEVER
    n_pulses: int = 0
    """In its life, as far as this record and the dose history know."""
    budget_pulses: int | None = None
    formings: list[Forming] = []
    frozen: dict[str, str] = {}
    """Direction ("up", "down") to the reason."""

    def age_s(self, now: dt.datetime) -> float | None:
        """Return how old the last reading is; None: there is none."""
        if self.read_utc == NEVER:
            return None
        return (now - dt.datetime.fromisoformat(self.read_utc)).total_seconds()


class _File(msgspec.Struct, kw_only=True):
    schema_version: int = 1
    devices: list[DeviceRecord] = []


class ArrayView:
    """All devices of a site. One thread changes them; any may go through them.

    Raises
    ------
    ConfigError
        The file is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        file = _File()
        if path.exists():
            try:
                file = msgspec.json.decode(read_bounded(path), type=_File)
            except msgspec.DecodeError as exc:
                raise ConfigError(f"{path}: {exc}; move it away to begin anew") from exc
        self._devices = {(d.instrument, d.wordline, d.bitline): d for d in file.devices}

    def __iter__(self) -> Iterator[DeviceRecord]:
        """Go through all devices: instrument, word line, bit line."""
        return iter([self._devices[key] for key in sorted(self._devices)])

    def at(self, instrument: str, wordline: int, bitline: int) -> DeviceRecord:
        """Return a device's record; a new one if nothing was known."""
        key = (instrument, wordline, bitline)
        if key not in self._devices:
            self._devices[key] = DeviceRecord(
                instrument=instrument,
                name=f"W{wordline}B{bitline}",
                wordline=wordline,
                bitline=bitline,
            )
        return self._devices[key]

    def note_reading(
        self, record: DeviceRecord, resistance_ohm: float | None, read_voltage_v: float
    ) -> None:
        """Keep a reading; None: there was no believable one."""
        record.resistance_ohm = resistance_ohm
        record.read_voltage_v = read_voltage_v
        record.read_utc = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        if resistance_ohm is None:
            record.state = DeviceState.UNREADABLE
        elif record.state in (DeviceState.UNKNOWN, DeviceState.UNREADABLE):
            record.state = DeviceState.WORKING

    def save(self) -> None:
        """Write the file."""
        file = _File(devices=list(self))
        part = self._path.with_suffix(".part")
        part.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")
        part.replace(self._path)


def array_file(site_file: Path, site: str, *, is_mock: bool) -> Path:
    """Return the file of a site's array view; simulated devices have one of their own."""
    return site_file.parent / f"{site}.{'mock-' if is_mock else ''}devices.json"
