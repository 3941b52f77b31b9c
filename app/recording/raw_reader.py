"""Reading raw samples back: each recordingN as one memory map. Never writes."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.recording.errors import RecordingError
from drivers.mea.protocol import StreamFormat


@dataclass(frozen=True, slots=True, eq=False)
class RawSamples:
    """One recordingN; `samples` is int16 `(n_samples, n_channels)`, mapped, whole frames only."""

    folder: Path
    stream_format: StreamFormat
    first_sample: int
    samples: npt.NDArray[np.int16]


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
        stream = json.loads(oebin.read_bytes())["continuous"][0]
        channels = stream["channels"]
        stream_format = StreamFormat(
            channel_names=tuple(channel["channel_name"] for channel in channels),
            sample_rate_hz=float(stream["sample_rate"]),
            microvolts_per_count=float(channels[0]["bit_volts"]),
        )
        folder = oebin.parent / "continuous" / stream["folder_name"]
        first_sample = int(np.load(folder / "sample_numbers.npy", mmap_mode="r")[0])
        samples = _map_frames(folder / "continuous.dat", len(channels))
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise RecordingError(f"{oebin}: raw recording cannot be read: {exc}") from exc
    return RawSamples(oebin.parent, stream_format, first_sample, samples)


def _map_frames(path: Path, n_channels: int) -> npt.NDArray[np.int16]:
    n_samples = path.stat().st_size // (2 * n_channels)
    if n_samples == 0:
        return np.empty((0, n_channels), np.int16)
    return np.memmap(path, "<i2", "r", shape=(n_samples, n_channels))


def _numbers_in(path: Path) -> list[int]:
    parts = path.parts[-3:-1]
    return [int("".join(c for c in part if c.isdigit())) for part in parts]
