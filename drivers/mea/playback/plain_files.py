"""Recordings that say little about themselves: WAV, and rows of int16 without any header.

Source of the WAV layout: Microsoft, "Multiple channel audio data and WAVE files" (RIFF chunks),
read by the standard library's `wave`.
"""

import math
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentError, InstrumentProtocolError
from drivers.mea.playback.recording import Recording, check_rate
from drivers.mea.protocol import StreamFormat

MAX_CHANNELS = 65_536
BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, slots=True)
class RawLayout:
    """What a file without a header cannot say: int16, little-endian, all channels of a row."""

    sample_rate_hz: float
    n_channels: int
    microvolts_per_count: float


def open_raw(path: Path, layout: RawLayout) -> Recording:
    """Map a file of plain int16 rows.

    Raises
    ------
    InstrumentError
        It cannot be read.
    InstrumentProtocolError
        It does not hold whole rows, or the layout cannot be.
    """
    stream_format = _format(path, layout)
    try:
        n_bytes = path.stat().st_size
        n_row_bytes = BYTES_PER_SAMPLE * layout.n_channels
        if n_bytes == 0:
            raise InstrumentProtocolError(f"{path}: holds no samples")
        if n_bytes % n_row_bytes:
            raise InstrumentProtocolError(
                f"{path}: {n_bytes} bytes are no whole rows of {layout.n_channels} int16 samples; "
                "correct the number of channels, or was it cut off?"
            )
        samples = np.memmap(path, "<i2", "r", shape=(n_bytes // n_row_bytes, layout.n_channels))
    except (OSError, ValueError) as exc:
        raise InstrumentError(f"{path}: cannot be read: {exc}") from exc
    return Recording(stream_format, samples)


def open_wav(path: Path, microvolts_per_count: float) -> Recording:
    """Open a WAV file of 16 bits; its channels are called CH1, CH2 ... Raises as `open_raw`."""
    try:
        with wave.open(str(path), "rb") as file:
            n_bytes, n_channels = file.getsampwidth(), file.getnchannels()
            n_rows, rate_hz = file.getnframes(), file.getframerate()
    except (OSError, EOFError, wave.Error) as exc:
        reason = str(exc) or "it ends before its samples begin"
        raise InstrumentError(f"{path}: cannot be read as WAV: {reason}") from exc
    if n_bytes != BYTES_PER_SAMPLE:
        raise InstrumentProtocolError(
            f"{path}: {8 * n_bytes} bits per sample; save it with 16 bits (PCM)"
        )
    stream_format = _format(path, RawLayout(float(rate_hz), n_channels, microvolts_per_count))
    samples = _WavRows(path, n_rows, n_channels)
    if n_rows and len(samples[n_rows - 1 : n_rows]) != 1:
        raise InstrumentProtocolError(
            f"{path}: has fewer samples than the {n_rows} that its header tells; was it cut off?"
        )
    return Recording(stream_format, samples)


@dataclass(frozen=True, slots=True)
class _WavRows:
    path: Path
    n_rows: int
    n_channels: int

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, rows: slice, /) -> npt.NDArray[np.int16]:
        start, stop, _ = rows.indices(self.n_rows)
        try:
            with wave.open(str(self.path), "rb") as file:
                file.setpos(start)
                data = file.readframes(stop - start)
        except (OSError, EOFError, wave.Error) as exc:
            raise InstrumentError(f"{self.path}: cannot be read: {exc}") from exc
        whole = len(data) // (BYTES_PER_SAMPLE * self.n_channels) * self.n_channels
        return np.frombuffer(data, "<i2", whole).reshape(-1, self.n_channels)


def _format(path: Path, layout: RawLayout) -> StreamFormat:
    if not (1 <= layout.n_channels <= MAX_CHANNELS):
        raise InstrumentProtocolError(
            f"{path}: {layout.n_channels} channels, allowed 1 to {MAX_CHANNELS}"
        )
    if not (0 < layout.microvolts_per_count < math.inf):
        raise InstrumentProtocolError(
            f"{path}: {layout.microvolts_per_count} uV per count, must be above 0 and finite"
        )
    check_rate(str(path), layout.sample_rate_hz)
    names = tuple(f"CH{number}" for number in range(1, layout.n_channels + 1))
    return StreamFormat(names, layout.sample_rate_hz, layout.microvolts_per_count)
