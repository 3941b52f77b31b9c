"""The waveform stream: bytes as they come, to gapless blocks of samples and our own stimuli."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentProtocolError
from drivers.mea.intan_rhx import wire
from drivers.mea.protocol import SampleBlock, StimMark

MAX_BLOCKS_AT_ONCE = 64
_HALF = 1 << 31


@dataclass(frozen=True, slots=True)
class StimColumns:
    """Which columns tell of stimulation, for which channels, and how."""

    columns: tuple[int, ...]
    channels: tuple[int, ...]
    """Index of each column's channel in the blocks."""
    step_a: float
    quiet_samples: tuple[int, ...]
    """By column: for so long after an onset current belongs to the same stimulus."""
    artefact_samples: int
    """A change of current so long after the last that was told is an artefact of its own."""


class WaveformStream:
    """Takes bytes of one connection; `begin` at each start of the controller. One thread.

    The stream has no header: that its columns are those we think shows in the block's first word
    and in 128 timestamps that count up at their places, and once more in the next block's first
    word. Anything else is an error, never searched past: a shifted column is a wrong electrode.
    """

    def __init__(
        self, name: str, n_columns: int, wide_columns: list[int], stim: StimColumns
    ) -> None:
        self._name = name
        self._dtype = wire.block_dtype(n_columns)
        self._wide = np.array(wide_columns)
        self.watch(stim)
        self._buffer = bytearray(self._dtype.itemsize * (MAX_BLOCKS_AT_ONCE + 1))
        self._n_bytes = 0
        self._ready: deque[SampleBlock] = deque()
        self._expected: int | None = None
        self._offset = 0
        """Sample index minus the controller's unwrapped timestamp."""
        self._end_sample = 0
        self._was_stopped = False
        self.n_discarded_bytes = 0
        """Bytes of an earlier run that were still under way at a start."""

    def watch(self, stim: StimColumns) -> None:
        """Look for other stimuli in the same columns; samples are counted on."""
        self._stim = stim
        self._current = np.zeros(len(stim.columns), np.uint16)
        """Of the last row: magnitude and sign as the stream tells them."""
        self._told_at = np.full(len(stim.columns), -(1 << 62))
        self._quiet_until = np.zeros(len(stim.columns), np.int64)

    def begin(self) -> None:
        """Expect a new run: its timestamps begin at 0 again."""
        self.n_discarded_bytes += self._n_bytes
        self._n_bytes = 0
        self._ready.clear()
        self._was_stopped = self._expected is not None
        self._expected = None

    def room(self) -> memoryview:
        """Return where the next bytes belong; never empty after `take`."""
        return memoryview(self._buffer)[self._n_bytes :]

    def took(self, n_bytes: int, received_ns: int) -> None:
        """Note that bytes were written into `room`; make blocks of what is whole.

        Raises
        ------
        InstrumentProtocolError
            The bytes are not the blocks that were asked for.
        """
        self._n_bytes += n_bytes
        n_whole = self._n_bytes // self._dtype.itemsize
        if n_whole == 0:
            return
        n_used = n_whole * self._dtype.itemsize
        blocks = np.frombuffer(bytes(memoryview(self._buffer)[:n_used]), self._dtype)
        left = bytes(memoryview(self._buffer)[n_used : self._n_bytes])
        self._buffer[: len(left)] = left
        self._n_bytes = len(left)
        self._check_magic(blocks, left)
        self._split(blocks["frames"].reshape(-1), received_ns)

    def next_block(self) -> SampleBlock | None:
        """Return the next block, or None if none is ready."""
        return self._ready.popleft() if self._ready else None

    def _check_magic(self, blocks: "npt.NDArray[np.void]", left: bytes) -> None:
        wrong = np.flatnonzero(blocks["magic"] != wire.WAVEFORM_MAGIC)
        if len(wrong):
            found = int(blocks["magic"][wrong[0]])
        elif len(left) >= 4 and int.from_bytes(left[:4], "little") != wire.WAVEFORM_MAGIC:
            found = int.from_bytes(left[:4], "little")
        else:
            return
        raise InstrumentProtocolError(
            f"{self._name}: a waveform block begins with {found:#010x} instead of "
            f"{wire.WAVEFORM_MAGIC:#010x}; the columns are not those that were enabled, "
            "or bytes were lost: stop and open again"
        )

    def _split(self, frames: "npt.NDArray[np.void]", received_ns: int) -> None:
        """Cut a stretch of frames at its gaps."""
        times = frames["timestamp"]
        cuts = np.flatnonzero(np.diff(times) != 1) + 1  # in 32-bit arithmetic, as it wraps
        if np.any(np.diff(cuts) < 4):
            raise InstrumentProtocolError(
                f"{self._name}: timestamps do not count up; the columns are not those that were "
                "enabled, or bytes were lost: stop and open again"
            )
        for piece in np.split(frames, cuts):
            self._ready.append(self._block(piece, received_ns))

    def _block(self, frames: "npt.NDArray[np.void]", received_ns: int) -> SampleBlock:
        n_lost = self._advance(int(frames["timestamp"][0]), len(frames))
        words = frames["words"]
        samples = wire.sample_counts(words[:, self._wide])
        samples.flags.writeable = False
        first_sample = self._end_sample - len(frames)
        if n_lost:
            self._current[:] = 0
        stimuli, repeats = self._marks(words, first_sample)
        return SampleBlock(samples, first_sample, n_lost, received_ns, stimuli, repeats)

    def _advance(self, timestamp: int, n_frames: int) -> int:
        """Move the 64-bit count on over a stretch; return how many samples are missing before."""
        if self._expected is None:
            unknown, missing = self._was_stopped, timestamp
            self._was_stopped = False
        else:
            missing = (timestamp - self._expected) & 0xFFFFFFFF
            unknown = missing >= _HALF
        self._expected = (timestamp + n_frames) & 0xFFFFFFFF
        if unknown:
            self._end_sample += n_frames
            return -1
        self._end_sample += missing + n_frames
        return missing

    def _marks(
        self, words: "npt.NDArray[np.uint16]", first_sample: int
    ) -> tuple[tuple[StimMark, ...], tuple[StimMark, ...]]:
        """Return where stimuli begin, and where else current changes enough later."""
        columns = self._stim.columns
        if not columns:
            return (), ()
        current = words[:, columns] & np.uint16(wire.STIM_MAGNITUDE | wire.STIM_IS_NEGATIVE)
        if not (current & np.uint16(wire.STIM_MAGNITUDE)).any() and not self._current.any():
            return (), ()
        current[(current & np.uint16(wire.STIM_MAGNITUDE)) == 0] = 0
        before = np.vstack([self._current, current[:-1]])
        self._current = current[-1].copy()
        stimuli, repeats = [], []
        for row, index in zip(*np.nonzero(current != before), strict=True):
            at = first_sample + int(row)
            is_onset = before[row, index] == 0
            if not is_onset and at - self._told_at[index] < self._stim.artefact_samples:
                continue
            self._told_at[index] = at
            steps = int(wire.stim_current_steps(current[row, index]))
            mark = StimMark(at, self._stim.channels[index], steps * self._stim.step_a)
            if not is_onset or at < self._quiet_until[index]:
                repeats.append(mark)
                continue
            self._quiet_until[index] = at + self._stim.quiet_samples[index]
            stimuli.append(mark)
        return tuple(stimuli), tuple(repeats)
