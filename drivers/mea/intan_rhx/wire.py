"""The words and bytes of Intan RHX's TCP interface as pure functions; no I/O.

Source: Intan RHX software user guide, "TCP Control" and "TCP Data Output", as of version 3.4; the
word layout of STIM columns is that of the RHS data file format.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

WAVEFORM_MAGIC = 0x2EF07A08
SPIKE_MAGIC = 0x3AE2710F
FRAMES_PER_BLOCK = 128
MICROVOLTS_PER_COUNT = 0.195
SPIKE_RECORD = np.dtype([("magic", "<u4"), ("channel", "S5"), ("timestamp", "<u4"), ("unit", "u1")])
STIM_MAGNITUDE = 0x00FF
"""Bits 13 to 15 of a STIM word tell of amplifier settling, charge recovery and compliance."""
STIM_IS_NEGATIVE = 0x0100
MAX_TRANSMISSION_BYTES = 1000
"""RHX takes what one read of its socket returns for one text: it must fit one segment."""
N_KEYS = 8

_CHANNEL = re.compile(r"([A-H])-(\d{3})")
_RETURN = "Return: "


def block_dtype(n_columns: int) -> "np.dtype[np.void]":
    """Return the layout of one waveform block with so many enabled columns."""
    frame = np.dtype([("timestamp", "<u4"), ("words", "<u2", (n_columns,))])
    return np.dtype([("magic", "<u4"), ("frames", frame, (FRAMES_PER_BLOCK,))])


def sample_counts(words: npt.NDArray[np.uint16]) -> npt.NDArray[np.int16]:
    """Turn amplifier words into signed counts: RHX adds 32768, one count is 0.195 uV."""
    return (words ^ np.uint16(0x8000)).view(np.int16)


def stim_current_steps(words: npt.NDArray[np.uint16]) -> npt.NDArray[np.int16]:
    """Turn STIM words into signed current in stimulation steps; 0 while none flows."""
    magnitude = (words & np.uint16(STIM_MAGNITUDE)).astype(np.int16)
    return np.where(words & np.uint16(STIM_IS_NEGATIVE), -magnitude, magnitude)


def is_channel_name(name: str) -> bool:
    """Say whether this is an amplifier channel's native name, such as "A-010"."""
    return _CHANNEL.fullmatch(name) is not None


def in_stream_order(channels: Iterable[str]) -> list[str]:
    """Return channels as RHX orders them: by port, then by number."""
    return sorted(channels)


def stream_columns(
    channels: Sequence[str], stim_channels: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Return the column of each channel's samples, and of each stimulation channel's STIM words.

    Within a port RHX sends channel by channel, each as WIDE, then STIM, of those enabled.
    """
    wide: dict[str, int] = {}
    stim: dict[str, int] = {}
    n_columns = 0
    for channel in in_stream_order({*channels, *stim_channels}):
        if channel in channels:
            wide[channel] = n_columns
            n_columns += 1
        if channel in stim_channels:
            stim[channel] = n_columns
            n_columns += 1
    return [wide[c] for c in channels], [stim[c] for c in stim_channels]


def transmissions(commands: Sequence[str], final_get: str) -> list[str]:
    """Join commands into texts that each end with a `get`, whose answer is the receipt."""
    texts = []
    now: list[str] = []
    n_bytes = len(final_get)
    for command in commands:
        if now and n_bytes + len(command) + 1 > MAX_TRANSMISSION_BYTES:
            texts.append(";".join([*now, final_get]))
            now, n_bytes = [], len(final_get)
        now.append(command)
        n_bytes += len(command) + 1
    texts.append(";".join([*now, final_get]))
    return texts


def split_reply(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Split what RHX sent into its complaint and the (parameter, value) pairs it returned.

    Replies have no terminator and may be glued together; whatever stands before the first
    "Return: " is the complaint, empty if all was well. The parameter is empty where RHX names none.
    """
    complaint, *returned = text.split(_RETURN)
    pairs = []
    for item in returned:
        name, _, value = item.strip().partition(" ")
        pairs.append((name, value.strip()) if value else ("", name))
    return complaint.strip(), pairs
