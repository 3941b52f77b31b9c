"""Smallest and largest sample of each channel per column of time, for the consoles' traces."""

import numpy as np
import numpy.typing as npt

from drivers.mea.protocol import SampleBlock


class EnvelopeMaker:
    """Cuts a stream into columns of `samples_per_column`. One thread calls it.

    Columns begin at multiples of their length, so that every console's columns agree. A column
    that a gap has cut is not shown: half of it would look like all of it.
    """

    def __init__(self, n_channels: int, samples_per_column: int) -> None:
        self.samples_per_column = samples_per_column
        self._column = np.empty((2, n_channels), np.int16)
        self._n_filled = 0
        self._next_sample = -1

    def take(self, block: SampleBlock) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]]:
        """Return the columns that this block completes.

        They are `(n_columns, 2, n_channels)`, low and high, with the index of each one's first
        sample, `(n_columns,)`.
        """
        samples, length = block.samples, self.samples_per_column
        if block.n_lost or block.first_sample != self._next_sample:
            self._n_filled = 0
        self._next_sample = block.end_sample
        position = block.first_sample
        if self._n_filled == 0:  # begin at the next column's border
            skipped = -position % length
            samples, position = samples[skipped:], position + skipped
        done: list[npt.NDArray[np.int16]] = []
        first = position - self._n_filled
        if self._n_filled:
            head = samples[: length - self._n_filled]
            self._merge(head)
            samples = samples[len(head) :]
            if self._n_filled == length:
                done.append(self._column[None].copy())
                self._n_filled = 0
        n_whole = len(samples) // length if self._n_filled == 0 else 0
        if n_whole:
            whole = samples[: n_whole * length].reshape(n_whole, length, -1)
            done.append(np.stack((whole.min(axis=1), whole.max(axis=1)), axis=1))
        rest = samples[n_whole * length :]
        if len(rest) and self._n_filled == 0:
            self._column[0], self._column[1] = np.int16(32767), np.int16(-32768)
            self._merge(rest)
        columns = np.concatenate(done) if done else np.empty((0, *self._column.shape), np.int16)
        return columns, first + length * np.arange(len(columns), dtype=np.int64)

    def _merge(self, samples: npt.NDArray[np.int16]) -> None:
        np.minimum(self._column[0], samples.min(axis=0), out=self._column[0])
        np.maximum(self._column[1], samples.max(axis=0), out=self._column[1])
        self._n_filled += len(samples)
