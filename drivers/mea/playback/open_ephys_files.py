"""An Open Ephys binary recording on disk: which files, what they say, and whether that fits.

Source: Open Ephys GUI documentation, "Binary format" (structure.oebin version 0.6 and later, and
the names of the .npy files of version 0.5).
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentError, InstrumentProtocolError
from drivers.mea.npy_rows import map_whole_numbers
from drivers.mea.playback.recording import Recording, check_rate, selected_rows
from drivers.mea.protocol import StreamFormat

MAX_DESCRIPTION_BYTES = 32 * 2**20

DESCRIPTION = "structure.oebin"


def is_open_ephys(path: Path) -> bool:
    """Say whether there is an Open Ephys binary recording at or below a folder."""
    return path.is_dir() and next(path.rglob(DESCRIPTION), None) is not None


def open_open_ephys(folder: Path, stream_name: str = "") -> Recording:
    """Map the electrode channels of one stream of the first recording at or below a folder.

    It is the first stream that has any, or the one that is named. Channels whose unit is not uV
    (the ADC inputs of a board) are left out.

    Raises
    ------
    InstrumentError
        There is none, or it cannot be read.
    InstrumentProtocolError
        Its files do not fit each other.
    """
    oebin, *others = _find(folder)
    streams = _streams(oebin)
    stream = _chosen(oebin, streams, stream_name)
    stream_format, columns, n_columns = _format(oebin, stream)
    data = oebin.parent / "continuous" / _name(stream)
    try:
        n_bytes = (data / "continuous.dat").stat().st_size
        if n_bytes == 0:
            raise InstrumentProtocolError(f"{data / 'continuous.dat'}: holds no samples")
        if n_bytes % (2 * n_columns):
            raise InstrumentProtocolError(
                f"{data / 'continuous.dat'}: {n_bytes} bytes are no whole rows of {n_columns} "
                "int16 samples; was it cut off?"
            )
        n_rows = n_bytes // (2 * n_columns)
        samples = np.memmap(data / "continuous.dat", "<i2", "r", shape=(n_rows, n_columns))
        numbers = _sample_numbers(data)
    except (OSError, ValueError, EOFError) as exc:
        raise InstrumentError(f"{data}: cannot be read: {exc}") from exc
    if len(numbers) != n_rows:
        raise InstrumentProtocolError(
            f"{data}: {len(numbers)} sample numbers for {n_rows} rows; was it cut off?"
        )
    jumps = np.flatnonzero(np.diff(numbers) != 1) + 1
    starts = (0, *(int(row) for row in jumps))
    return Recording(
        stream_format,
        selected_rows(samples, columns, n_columns),
        starts,
        tuple(int(numbers[row]) for row in starts),
        not_read=(
            *(f"stream {_name(other)}" for other in streams if other is not stream),
            *(str(other.parent.relative_to(folder)) for other in others),
        ),
    )


def _find(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("structure.oebin")) if folder.is_dir() else []
    if not found:
        raise InstrumentError(
            f"{folder}: no structure.oebin at or below it; name the folder of an Open Ephys "
            "recording in binary format"
        )
    return found


def _streams(oebin: Path) -> list[dict[str, Any]]:
    try:
        streams = list(json.loads(read_description(oebin))["continuous"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as exc:
        raise InstrumentProtocolError(f"{oebin}: names no continuous stream: {exc}") from exc
    if not streams or not all(isinstance(stream, dict) for stream in streams):
        raise InstrumentProtocolError(f"{oebin}: names no continuous stream")
    return streams


def _name(stream: dict[str, Any]) -> str:
    return str(stream.get("folder_name", "")).strip("/")


def _chosen(oebin: Path, streams: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    """Return the stream of a name, its own or its folder's; "" is the first with electrodes."""
    if not wanted:
        return next((stream for stream in streams if _has_electrodes(stream)), streams[0])
    found = [s for s in streams if wanted in (_name(s), s.get("stream_name"))]
    if len(found) != 1:
        raise InstrumentProtocolError(
            f"{oebin}: {len(found) or 'no'} streams are called {wanted!r}; there are "
            f"{', '.join(_name(stream) for stream in streams)}"
        )
    return found[0]


def _has_electrodes(stream: dict[str, Any]) -> bool:
    channels = stream.get("channels")
    return isinstance(channels, list) and any(
        isinstance(channel, dict) and channel.get("units") != "V" for channel in channels
    )


def _format(oebin: Path, stream: dict[str, Any]) -> tuple[StreamFormat, list[int], int]:
    """Return the format of the electrode channels, their columns, and how many columns there are.

    Raises
    ------
    InstrumentProtocolError
        The description contradicts itself, or cannot be.
    """
    try:
        channels = stream["channels"]
        n_columns = stream.get("num_channels", len(channels))
        columns = [c for c, channel in enumerate(channels) if channel.get("units") != "V"]
        names = tuple(channels[c]["channel_name"] for c in columns)
        scales = {float(channels[c]["bit_volts"]) for c in columns}
        rate_hz = float(stream["sample_rate"])
    except (ValueError, LookupError, TypeError, OverflowError, AttributeError) as exc:
        raise InstrumentProtocolError(f"{oebin}: {exc!r} in the stream's description") from exc
    if n_columns != len(channels):
        raise InstrumentProtocolError(
            f"{oebin}: num_channels {n_columns} but {len(channels)} channels are described"
        )
    for name in names:
        if not (isinstance(name, str) and name):
            raise InstrumentProtocolError(f"{oebin}: channel name {name!r}, expected a word")
    if not names or len(set(names)) != len(names):
        raise InstrumentProtocolError(f"{oebin}: channels must be one or more, each named once")
    check_rate(str(oebin), rate_hz)
    if len(scales) != 1 or not all(0 < scale < math.inf for scale in scales):
        raise InstrumentProtocolError(
            f"{oebin}: bit_volts {sorted(scales)}, must be one positive number for all channels"
        )
    return StreamFormat(names, rate_hz, scales.pop()), columns, n_columns


def _sample_numbers(data: Path) -> npt.NDArray[np.int64]:
    """Return the sample number of each row; before GUI version 0.6 they stood in timestamps.npy."""
    path = data / "sample_numbers.npy"
    if not path.exists():
        path = data / "timestamps.npy"
    try:
        return map_whole_numbers(path)
    except TypeError as exc:
        raise InstrumentProtocolError(str(exc)) from exc


def read_description(oebin: Path) -> bytes:
    """Return a description's bytes. Raises ValueError if it is no file or too large to be one."""
    if not oebin.is_file() or oebin.stat().st_size > MAX_DESCRIPTION_BYTES:
        raise ValueError(f"no file of at most {MAX_DESCRIPTION_BYTES} bytes")
    return oebin.read_bytes()
