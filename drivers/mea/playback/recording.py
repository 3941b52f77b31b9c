"""A recording on disk, whatever wrote it: what its samples mean, and rows of them on demand."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentProtocolError
from drivers.mea.protocol import StreamFormat

MIN_RATE_HZ = 1.0
MAX_RATE_HZ = 200_000.0


class SampleRows(Protocol):
    """The samples of a recording, read when they are asked for.

    A slice with start and stop gives int16, `(n_rows, n_channels)`, read-only.

    Raises
    ------
    InstrumentError
        The rows cannot be read.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> npt.NDArray[np.int16]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One continuous stream.

    `starts` are the rows at which the recording's own sample numbers begin anew or jump, the first
    being 0; `numbers` are the sample numbers there.
    """

    stream_format: StreamFormat
    samples: SampleRows
    starts: tuple[int, ...] = (0,)
    numbers: tuple[int, ...] = (0,)
    positions_um: npt.NDArray[np.float64] | None = None
    """`(n_channels, 2)`, where the recording knows its electrodes; nan for one it does not."""
    not_read: tuple[str, ...] = ()
    """What else was found there: other recordings and streams."""

    @property
    def duration_s(self) -> float:
        """Get the length of the samples that exist, gaps not counted."""
        return len(self.samples) / self.stream_format.sample_rate_hz

    def n_lost_before(self, start: int) -> int:
        """Return how many samples are missing before a row of `starts`; -1: not known."""
        at = self.starts.index(start)
        if at == 0:
            return 0
        expected = self.numbers[at - 1] + self.starts[at] - self.starts[at - 1]
        missing = self.numbers[at] - expected
        return missing if missing > 0 else -1

    def select(self, columns: list[int]) -> "Recording":
        """Return the recording with these columns only, in this order."""
        names = self.stream_format.channel_names
        return replace(
            self,
            stream_format=replace(
                self.stream_format, channel_names=tuple(names[column] for column in columns)
            ),
            samples=selected_rows(self.samples, columns, len(names)),
            positions_um=None if self.positions_um is None else self.positions_um[columns],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _SelectedRows:
    """Some columns of other rows."""

    samples: SampleRows
    columns: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, rows: slice, /) -> npt.NDArray[np.int16]:
        chosen = self.samples[rows].take(self.columns, axis=1)
        chosen.flags.writeable = False
        return chosen


def selected_rows(samples: SampleRows, columns: list[int], n_columns: int) -> SampleRows:
    """Return rows with these of their columns only."""
    if columns == list(range(n_columns)):
        return samples
    return _SelectedRows(samples, np.array(columns, np.intp))


def check_rate(source: str, rate_hz: float) -> float:
    """Return a sample rate that can be. Raises `InstrumentProtocolError`."""
    if not (MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ):
        raise InstrumentProtocolError(
            f"{source}: sample rate {rate_hz} Hz, allowed {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz"
        )
    return rate_hz
