"""Reading raw samples back: each recordingN as one memory map. Never writes."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.recording.errors import RecordingError
from app.recording.files import read_small
from drivers.mea.npy_rows import map_whole_numbers
from drivers.mea.protocol import StreamFormat


@dataclass(frozen=True, slots=True, eq=False)
class RawSamples:
    """One recordingN; `samples` is int16 `(n_samples, n_channels)`, mapped, whole frames only."""

    folder: Path
    stream_format: StreamFormat
    first_sample: int
    samples: npt.NDArray[np.int16]


_UNREADABLE = (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError)


def read_raw(node_folder: Path) -> list[RawSamples]:
    """Return every recordingN under one record node, in the order in which they were written.

    Raises
    ------
    RecordingError
        One of them cannot be read; its path is in the message.
    """
    found = node_folder.glob("experiment*/recording*/structure.oebin")
    return [_read_raw(path) for path in sorted(found, key=_numbers_in)]


def _read_raw(oebin: Path) -> RawSamples:
    try:
        stream = json.loads(read_small(oebin))["continuous"][0]
        channels = stream["channels"]
        stream_format = StreamFormat(
            channel_names=tuple(channel["channel_name"] for channel in channels),
            sample_rate_hz=float(stream["sample_rate"]),
            microvolts_per_count=float(channels[0]["bit_volts"]),
        )
        _must_make_sense(stream_format, stream["folder_name"])
        folder = oebin.parent / "continuous" / stream["folder_name"]
        first_sample = int(map_whole_numbers(folder / "sample_numbers.npy")[0])
        samples = _map_frames(folder / "continuous.dat", len(channels))
    except _UNREADABLE as exc:
        raise RecordingError(f"{oebin}: raw recording cannot be read: {exc}") from exc
    return RawSamples(oebin.parent, stream_format, first_sample, samples)


def _must_make_sense(stream_format: StreamFormat, folder_name: object) -> None:
    scale, rate_hz = stream_format.microvolts_per_count, stream_format.sample_rate_hz
    if not (0 < scale < math.inf and 0 < rate_hz < math.inf):
        raise ValueError(f"{scale} uV per count at {rate_hz} Hz")
    if not all(isinstance(name, str) for name in stream_format.channel_names):
        raise ValueError("a channel's name is no text")
    if not isinstance(folder_name, str) or ".." in folder_name or folder_name.startswith("/"):
        raise ValueError(f"folder name {folder_name!r}")


def _map_frames(path: Path, n_channels: int) -> npt.NDArray[np.int16]:
    n_samples = path.stat().st_size // (2 * n_channels)
    if n_samples == 0:
        return np.empty((0, n_channels), np.int16)
    return np.memmap(path, "<i2", "r", shape=(n_samples, n_channels))


def _numbers_in(path: Path) -> list[int]:
    parts = path.parts[-3:-1]
    return [int("".join(c for c in part if c.isdecimal()) or "0") for part in parts]
