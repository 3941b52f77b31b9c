"""The source of `loop.py`: a prepared signal, handed to the engine block by block as it is due."""

import ctypes
import threading
import time

import numba as nb
import numpy as np

from app.core.clock import monotonic_ns
from drivers.mea.protocol import SampleBlock, StreamFormat

RATE_HZ = 20_000
BLOCK_ROWS = 20
STEP_UV = 0.195
SPIKES_PER_S = 8.0
RING_S = 2
WATCH_NS = 250_000
"""Before a block is due, the clock is watched instead of slept through."""

_clock_gettime = ctypes.CDLL(None).clock_gettime
_clock_gettime.argtypes = (ctypes.c_int, ctypes.c_void_p)


@nb.njit(nogil=True)
def watch_until(due_ns: int, now: np.ndarray) -> None:
    """Watch the clock until it is time, without the interpreter lock; `now` is a timespec."""
    while now[0] * 1_000_000_000 + now[1] < due_ns:
        _clock_gettime(time.CLOCK_MONOTONIC, now.ctypes)


class PacedAmplifier:
    """Blocks of a prepared signal, each when its last sample is due; never more than due."""

    name = "paced"

    def __init__(self, n_channels: int, n_blocks: int, *, is_sleeping: bool) -> None:
        names = tuple(f"CH{c}" for c in range(n_channels))
        self.stream_format = StreamFormat(names, float(RATE_HZ), STEP_UV)
        self.n_blocks = n_blocks
        self.due_ns = 0
        self.in_hand_ns = 0
        self.is_done = threading.Event()
        self._watch_ns = 0 if is_sleeping else WATCH_NS
        self._signal = spiking_noise(n_channels)
        self._n_read = 0
        self._start_ns = 0

    def start(self) -> None:
        """Begin."""
        watch_until(0, np.zeros(2, np.int64))  # compiles
        self._start_ns = monotonic_ns()

    def read_block(self, timeout_s: float) -> SampleBlock | None:
        """Wait until the next block is due."""
        if self._n_read >= self.n_blocks:
            self.is_done.set()
            time.sleep(timeout_s)
            return None
        self.due_ns = self._start_ns + (self._n_read + 1) * BLOCK_ROWS * 10**9 // RATE_HZ
        wait_ns = self.due_ns - monotonic_ns() - self._watch_ns
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        if self._watch_ns:
            watch_until(self.due_ns, np.zeros(2, np.int64))
        first = self._n_read * BLOCK_ROWS
        row = first % len(self._signal)
        self._n_read += 1
        self.in_hand_ns = monotonic_ns()
        return SampleBlock(self._signal[row : row + BLOCK_ROWS], first, 0, self.in_hand_ns)

    def stop(self) -> None:
        """Do nothing."""


def spiking_noise(n_channels: int) -> np.ndarray:
    """Return int16 noise of 5 uV with spikes of 100 uV, `(RING_S * RATE_HZ, n_channels)`."""
    rng = np.random.default_rng(1)
    n_rows = RING_S * RATE_HZ
    signal_uv = rng.standard_normal((n_rows, n_channels), np.float32) * np.float32(5.0)
    shape_uv = np.float32(-100.0 * np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2))
    n_spikes = round(SPIKES_PER_S * RING_S * n_channels)
    rows = rng.integers(10, n_rows - 10, n_spikes)
    for row, channel in zip(rows, rng.integers(n_channels, size=n_spikes), strict=True):
        signal_uv[row - 6 : row + 7, channel] += shape_uv
    samples = np.rint(signal_uv / np.float32(STEP_UV)).astype(np.int16)
    samples.flags.writeable = False
    return samples
