"""Scroll-back: bounded, joined without losing an extreme, honest about what it does not have."""

import numpy as np
import pytest

from app.gui.drawing.cell_grid import electrode_cells, lanes
from app.gui.drawing.column_history import ColumnFlag, ColumnHistory


def ramp(first: int, n: int, n_channels: int = 2) -> tuple[np.ndarray, np.ndarray]:
    high = np.repeat((np.arange(first, first + n) % 1000)[:, None], n_channels, 1)
    return (-high).astype(np.int16), high.astype(np.int16)


def test_memory_does_not_grow_and_old_columns_stay_at_less_resolution():
    history = ColumnHistory(2, n_bytes=60_000)
    n_bytes = history.n_bytes
    for first in range(0, 60_000, 500):
        history.append(first, *ramp(first, 500))
    assert history.n_bytes == n_bytes <= 60_000
    fine = history.levels[0]
    assert history.begin < fine.begin < history.end == 60_000
    column = fine.begin - 100
    value = history.values(column, column + 1, 1)
    assert value.n_joined == 8
    newest_joined = column // 8 * 8 + 7
    assert (value.low, value.high) == (-(newest_joined % 1000), newest_joined % 1000)
    assert history.values(history.begin - 64, history.begin, 0) is None
    assert history.values(60_000, 60_010, 0) is None


def test_a_view_of_the_past_uses_the_finest_level_that_reaches_it():
    history = ColumnHistory(2, n_bytes=60_000)
    history.append(0, *ramp(0, 20_000))
    assert history.level_for(19_000, 1000, 500).n_joined == 1
    assert history.level_for(history.levels[0].begin - 1, 1000, 500).n_joined == 8
    assert history.level_for(history.begin, 1000, 500).n_joined == 64
    assert history.level_for(12_000, 8000, 1000).n_joined == 8


def test_columns_left_out_are_missed_until_a_gap_is_declared():
    history = ColumnHistory(1)
    history.append(0, *ramp(0, 4, 1))
    history.append(8, *ramp(8, 4, 1))
    value = history.values(4, 8, 0)
    assert value.low > value.high
    assert value.flags == ColumnFlag.MISSED
    history.flag(ColumnFlag.GAP, 4, 8)
    assert history.values(4, 8, 0).flags == ColumnFlag.GAP
    assert history.values(8, 9, 0).flags == 0


def test_what_is_announced_before_its_columns_is_marked_when_they_come():
    history = ColumnHistory(2)
    history.append(0, *ramp(0, 4))
    history.flag(ColumnFlag.STIMULUS, 3, 9, 1)
    assert history.mark_spikes(np.array([2, 6]), np.array([0, 0])) == 2
    history.append(4, *ramp(4, 3))
    history.append(7, *ramp(7, 4))
    stimulus = [bool(history.values(i, i + 1, 1).flags & ColumnFlag.STIMULUS) for i in range(11)]
    assert stimulus == [3 <= i < 9 for i in range(11)]
    spikes = [bool(history.values(i, i + 1, 0).flags & ColumnFlag.SPIKE) for i in range(11)]
    assert spikes == [i in (2, 6) for i in range(11)]


def test_a_source_that_begins_anew_is_a_new_history():
    history = ColumnHistory(1)
    history.append(500, *ramp(500, 20, 1))
    history.append(0, *ramp(0, 3, 1))
    assert (history.begin, history.end) == (0, 3)
    assert history.values(1, 2, 0).high == 1
    history.append(3, *ramp(3, 600, 1))
    assert history.values(0, 600, 0).flags == 0


def test_columns_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"takes \(n_columns, 3\)"):
        ColumnHistory(3).append(0, *ramp(0, 5, 2))


def test_read_only_strided_columns_are_taken():
    history = ColumnHistory(2)
    both = np.zeros((6, 2, 2), np.int16)
    both[:, 1] = 7
    both.flags.writeable = False
    history.append(0, both[:, 0], both[:, 1])
    assert (history.values(3, 4, 1).low, history.values(3, 4, 1).high) == (0, 7)


def test_cells_lie_as_the_electrodes_do():
    x, y = np.meshgrid(np.arange(4), np.arange(3))
    position_um = np.stack([x, y], -1).reshape(-1, 2).astype(np.float32) * 100
    grid = electrode_cells(position_um)
    assert (grid.n_columns, grid.n_rows, grid.is_in_place) == (4, 3, True)
    assert grid.channel_at(0, 2) == 0  # y up: the first electrode is at the lower left
    assert grid.channel_at(3, 0) == 11


def test_electrodes_without_a_grid_or_a_position_all_get_a_cell_of_their_own():
    rng = np.random.default_rng(1)
    position_um = rng.uniform(0, 1000, (30, 2)).astype(np.float32)
    position_um[[4, 9, 20]] = np.nan
    grid = electrode_cells(position_um)
    assert not grid.is_in_place
    places = set(zip(grid.column.tolist(), grid.row.tolist(), strict=True))
    assert len(places) == 30
    assert all(0 <= c < grid.n_columns and 0 <= r < grid.n_rows for c, r in places)


def test_no_positions_at_all_give_a_square():
    grid = electrode_cells(np.full((10, 2), np.nan, np.float32))
    assert (grid.n_columns, grid.n_rows) == (4, 3)


def test_lanes_show_a_page():
    grid = lanes(10, first=4, n_shown=3)
    assert [grid.channel_at(0, row) for row in range(3)] == [4, 5, 6]
    assert grid.column[3] == grid.column[7] == -1


def test_peaks_are_the_largest_distance_from_zero_and_ignore_empty_columns():
    history = ColumnHistory(2)
    history.append(0, np.array([[-30, -5]], np.int16), np.array([[10, 7]], np.int16))
    history.append(5, np.array([[-1, -32768]], np.int16), np.array([[1, 0]], np.int16))
    assert history.peaks(0, 5).tolist() == [30, 7]
    assert history.peaks(0, 6).tolist() == [30, 32768]
    assert history.peaks(100, 200).tolist() == [0, 0]
