"""Where the electrodes of the simulated culture lie, and which of them reach a target neuron."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

N_CHANNELS_PER_PORT = 32
N_CHANNELS_PER_LARGE_PORT = 128
"""Of the 1024-channel controller, which has eight ports as well."""
N_PORTS = 8
TARGET_OFFSET_UM = (10.0, 6.0)
"""A cell body never sits exactly on the centre of its electrode."""


def channel_names(n_channels: int) -> tuple[str, ...]:
    """Return native names in channel order: A-000 to A-031 (or A-127), then B-000 and so on.

    Raises ValueError for more channels than a controller has.
    """
    is_large = n_channels > N_PORTS * N_CHANNELS_PER_PORT
    n_per_port = N_CHANNELS_PER_LARGE_PORT if is_large else N_CHANNELS_PER_PORT
    if n_channels > N_PORTS * n_per_port:
        raise ValueError(f"{n_channels} channels; a controller has {N_PORTS * n_per_port} at most")
    return tuple(
        f"{chr(ord('A') + i // n_per_port)}-{i % n_per_port:03d}" for i in range(n_channels)
    )


@dataclass(frozen=True)
class CultureLayout:
    """A square grid of electrodes, numbered row by row; its four corners may be missing."""

    n_columns: int = 8
    n_rows: int = 8
    pitch_um: float = 200.0
    is_without_corners: bool = True

    @cached_property
    def grid(self) -> tuple[tuple[int, int], ...]:
        """Return (column, row) of each electrode, in channel order."""
        corner_columns, corner_rows = (0, self.n_columns - 1), (0, self.n_rows - 1)
        return tuple(
            (column, row)
            for row in range(self.n_rows)
            for column in range(self.n_columns)
            if not (self.is_without_corners and column in corner_columns and row in corner_rows)
        )

    @cached_property
    def position_um(self) -> NDArray[np.float64]:
        """Return positions, shape (n_electrodes, 2), x along columns and y along rows."""
        return np.array(self.grid, dtype=np.float64) * self.pitch_um

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the amplifier channel of each electrode."""
        return channel_names(self.n_electrodes)

    @property
    def n_electrodes(self) -> int:
        """Return the number of electrodes, one amplifier channel each."""
        return len(self.grid)

    def electrode_at(self, column: int, row: int) -> int:
        """Return the electrode at a grid place; raises ValueError where there is none."""
        if (column, row) not in self.grid:
            raise ValueError(
                f"culture layout: no electrode at column {column}, row {row} of a "
                f"{self.n_columns} x {self.n_rows} grid; choose a place inside it, not a corner"
            )
        return self.grid.index((column, row))


@dataclass(frozen=True, slots=True)
class TargetElectrodes:
    """Channel names that record and drive one target neuron; all of them distinct.

    With 2 uA x 200 us per phase on each electrode, `weak` and `medium` stay below threshold up to
    50 Hz, `strong` fires the cell once per stimulus.
    """

    recording: str
    weak: tuple[str, ...]
    medium: tuple[str, ...]
    strong: tuple[str, ...]

    @property
    def all_names(self) -> tuple[str, ...]:
        """Return every channel named here, the recording one first."""
        return (self.recording, *self.weak, *self.medium, *self.strong)


def target_electrodes(layout: CultureLayout, column: int, row: int) -> TargetElectrodes:
    """Return the electrodes of the target neuron beside the electrode at (column, row).

    The four nearest neighbours make the strong pattern, three of the four diagonal ones the weak
    and the medium pattern. Raises ValueError if the eight neighbours do not all exist.
    """

    def names(*steps: tuple[int, int]) -> tuple[str, ...]:
        return tuple(layout.names[layout.electrode_at(column + x, row + y)] for x, y in steps)

    return TargetElectrodes(
        recording=names((0, 0))[0],
        weak=names((-1, -1)),
        medium=names((1, -1), (-1, 1)),
        strong=names((-1, 0), (1, 0), (0, -1), (0, 1)),
    )


def target_position_um(layout: CultureLayout, column: int, row: int) -> NDArray[np.float64]:
    """Return where the body of the target neuron beside (column, row) lies, shape (2,)."""
    place = layout.position_um[layout.electrode_at(column, row)]
    return np.asarray(place + np.array(TARGET_OFFSET_UM), dtype=np.float64)


def distances_um(
    layout: CultureLayout, position_um: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance of each electrode from a place, shape (n_electrodes,)."""
    offset = layout.position_um - np.asarray(position_um, dtype=np.float64)
    return np.asarray(np.hypot(offset[:, 0], offset[:, 1]), dtype=np.float64)
