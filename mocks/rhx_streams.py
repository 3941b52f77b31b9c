"""Bytes of RHX's waveform and spike sockets (Intan RHX 3.4: blocks of 128 frames, 14-byte spikes).

All numbers are little-endian. Nothing here knows sockets or time.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WAVEFORM_MAGIC = 0x2EF07A08
SPIKE_MAGIC = 0x3AE2710F
N_FRAMES = 128
AMPLIFIER_UV_PER_STEP = 0.195
DC_V_PER_STEP = 0.019_23
SIGNALS = ("wide", "low", "high", "dc", "stim")
"""The order of one amplifier channel's columns; the spike output goes to the other socket."""

STIM_NEGATIVE = 1 << 8
STIM_AMP_SETTLE = 1 << 13
STIM_CHARGE_RECOVERY = 1 << 14

_SPIKE = struct.Struct("<I5sIB")


@dataclass(frozen=True, slots=True)
class Column:
    """One enabled output: an amplifier channel by index and one of `SIGNALS`."""

    channel: int
    signal: str


class Columns:
    """The columns of a frame: channel by channel, each as WIDE, LOW, HIGH, DC, STIM.

    Channels in native order cover the ports one after the other, which is RHX's order too.
    Attributes: `order`, and `signals`, the names of those that occur.
    """

    def __init__(self, n_channels: int, is_enabled: Callable[[int, str], bool]) -> None:
        self.order = tuple(
            Column(channel, signal)
            for channel in range(n_channels)
            for signal in SIGNALS
            if is_enabled(channel, signal)
        )
        self.signals = frozenset(column.signal for column in self.order)
        self._places = {
            signal: np.array([i for i, c in enumerate(self.order) if c.signal == signal])
            for signal in self.signals
        }
        self._channels = {
            signal: np.array([c.channel for c in self.order if c.signal == signal])
            for signal in self.signals
        }

    def words(self, all_words: dict[str, NDArray[np.uint16]]) -> NDArray[np.uint16]:
        """Return the words of one block, shape (128, n_columns).

        `all_words` has, for each signal that occurs, the words of all channels.
        """
        words = np.empty((N_FRAMES, len(self.order)), dtype=np.uint16)
        for signal in self.signals:
            words[:, self._places[signal]] = all_words[signal][:, self._channels[signal]]
        return words


def amplifier_words(microvolts: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return amplifier samples as words, 0.195 uV per step around 32768; the range saturates."""
    steps = np.rint(microvolts / AMPLIFIER_UV_PER_STEP) + 32768
    return np.asarray(np.clip(steps, 0, 65535), dtype=np.uint16)


def dc_words(volts: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return DC amplifier samples as 10-bit words, -19.23 mV per step around 512."""
    steps = np.rint(512 - volts / DC_V_PER_STEP)
    return np.asarray(np.clip(steps, 0, 1023), dtype=np.uint16)


def waveform_block(
    first_timestamp: int, words: NDArray[np.uint16], magic: int = WAVEFORM_MAGIC
) -> bytes:
    """Return one block: magic, then 128 frames of a timestamp and one word per column.

    `words` has shape (128, n_columns); a block without columns is 516 bytes.
    """
    frames = np.empty((N_FRAMES, 2 + words.shape[1]), dtype="<u2")
    timestamps = (first_timestamp + np.arange(N_FRAMES)) & 0xFFFFFFFF
    frames[:, :2] = timestamps.astype("<u4").view("<u2").reshape(N_FRAMES, 2)
    frames[:, 2:] = words
    return struct.pack("<I", magic) + frames.tobytes()


def spike_record(
    channel_name: str, timestamp: int, spike_id: int, magic: int = SPIKE_MAGIC
) -> bytes:
    """Return one spike: magic, five characters of the native name, timestamp, id."""
    return _SPIKE.pack(magic, channel_name.encode("ascii"), timestamp & 0xFFFFFFFF, spike_id)
