"""An Open Ephys binary recording on disk: which files, what they say, and whether that fits.

Source: Open Ephys GUI documentation, "Binary format" (structure.oebin version 0.6 and later, and
the names of the .npy files of version 0.5).
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentError, InstrumentProtocolError
from drivers.mea.protocol import StreamFormat

MAX_RATE_HZ = 200_000.0


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The first continuous stream of a recording, mapped read-only.

    `samples` is int16, `(n_samples, n_channels)`. `starts` are the rows at which the recording's
    own sample numbers begin anew or jump, the first being 0; `numbers` are the sample numbers
    there.
    """

    stream_format: StreamFormat
    samples: npt.NDArray[np.int16]
    starts: tuple[int, ...]
    numbers: tuple[int, ...]


def open_recording(folder: Path) -> Recording:
    """Map the first stream of the first recording at or below a folder.

    Raises
    ------
    InstrumentError
        There is none, or it cannot be read.
    InstrumentProtocolError
        Its files do not fit each other.
    """
    oebin = _find(folder)
    stream = _first_stream(oebin)
    stream_format = _format(oebin, stream)
    data = oebin.parent / "continuous" / str(stream.get("folder_name", "")).strip("/")
    n_channels = stream_format.n_channels
    try:
        n_bytes = (data / "continuous.dat").stat().st_size
        if n_bytes == 0 or n_bytes % (2 * n_channels):
            raise InstrumentProtocolError(
                f"{data / 'continuous.dat'}: {n_bytes} bytes are no whole rows of {n_channels} "
                "int16 samples; was it cut off?"
            )
        n_rows = n_bytes // (2 * n_channels)
        samples = np.memmap(data / "continuous.dat", "<i2", "r", shape=(n_rows, n_channels))
        numbers = _sample_numbers(data)
    except (OSError, ValueError, EOFError) as exc:
        raise InstrumentError(f"{data}: cannot be read: {exc}") from exc
    if len(numbers) != n_rows:
        raise InstrumentProtocolError(
            f"{data}: {len(numbers)} sample numbers for {n_rows} rows; was it cut off?"
        )
    jumps = np.flatnonzero(np.diff(numbers) != 1) + 1
    starts = (0, *(int(row) for row in jumps))
    return Recording(stream_format, samples, starts, tuple(int(numbers[row]) for row in starts))


def first_channel_name(folder: Path) -> str:
    """Return the name of the first channel of the first stream. Raises as `open_recording`."""
    oebin = _find(folder)
    return _format(oebin, _first_stream(oebin)).channel_names[0]


def _find(folder: Path) -> Path:
    found = sorted(folder.rglob("structure.oebin")) if folder.is_dir() else []
    if not found:
        raise InstrumentError(
            f"{folder}: no structure.oebin at or below it; name the folder of an Open Ephys "
            "recording in binary format"
        )
    return found[0]


def _first_stream(oebin: Path) -> dict[str, Any]:
    try:
        stream = json.loads(oebin.read_bytes())["continuous"][0]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as exc:
        raise InstrumentProtocolError(f"{oebin}: names no continuous stream: {exc}") from exc
    if not isinstance(stream, dict):
        raise InstrumentProtocolError(f"{oebin}: names no continuous stream")
    return stream


def _format(oebin: Path, stream: dict[str, Any]) -> StreamFormat:
    try:
        channels = stream["channels"]
        names = tuple(channel["channel_name"] for channel in channels)
        scales = {float(channel["bit_volts"]) for channel in channels}
        rate_hz = float(stream["sample_rate"])
        n_channels = stream.get("num_channels", len(channels))
    except (ValueError, LookupError, TypeError, OverflowError) as exc:
        raise InstrumentProtocolError(f"{oebin}: {exc!r} in the stream's description") from exc
    if n_channels != len(names):
        raise InstrumentProtocolError(
            f"{oebin}: num_channels {n_channels} but {len(names)} channels are described"
        )
    for name in names:
        if not (isinstance(name, str) and name):
            raise InstrumentProtocolError(f"{oebin}: channel name {name!r}, expected a word")
    if not names or len(set(names)) != len(names):
        raise InstrumentProtocolError(f"{oebin}: channels must be one or more, each named once")
    if not (1.0 <= rate_hz <= MAX_RATE_HZ):
        raise InstrumentProtocolError(
            f"{oebin}: sample rate {rate_hz} Hz, allowed 1 to {MAX_RATE_HZ:g} Hz"
        )
    if len(scales) != 1 or not all(0 < scale < math.inf for scale in scales):
        raise InstrumentProtocolError(
            f"{oebin}: bit_volts {sorted(scales)}, must be one positive number for all channels"
        )
    return StreamFormat(names, rate_hz, scales.pop())


def _sample_numbers(data: Path) -> npt.NDArray[np.int64]:
    """Return the sample number of each row; before GUI version 0.6 they stood in timestamps.npy."""
    path = data / "sample_numbers.npy"
    if not path.exists():
        path = data / "timestamps.npy"
    # np.load would take an archive too, and return something that is no array
    numbers: npt.NDArray[np.int64] = np.lib.format.open_memmap(path, mode="r")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise InstrumentProtocolError(f"{path}: {numbers.dtype} {numbers.shape}, expected integers")
    return numbers
