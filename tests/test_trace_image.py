"""Traces: pixels against a slow reference, drawing bit by bit against drawing at once, gaps."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_traces import slow_picture

from app.gui.drawing.cell_grid import electrode_cells, lanes
from app.gui.drawing.column_history import JOINED, ColumnFlag, ColumnHistory
from app.gui.drawing.palette import DARK, LIGHT
from app.gui.drawing.scroll_buffer import N_SPARE, ScrollBuffer
from app.gui.drawing.trace_image import TraceImage

PITCH_UM = 200.0


def square(n_side: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(n_side), np.arange(n_side))
    return (np.stack([x, y], -1).reshape(-1, 2) * PITCH_UM).astype(np.float32)


def columns_of(rng: np.random.Generator, n: int, n_channels: int) -> tuple[np.ndarray, np.ndarray]:
    both = rng.normal(0, 120, (2, n, n_channels)).astype(np.int16)
    return both.min(axis=0), both.max(axis=0)


class Mirror:
    """The same columns in a dictionary, for the slow reference."""

    def __init__(self, n_channels: int) -> None:
        self.n_channels = n_channels
        self.columns: dict[tuple[int, int], tuple[int, int, int]] = {}
        self.end: int | None = None

    def append(self, first: int, low: np.ndarray, high: np.ndarray) -> None:
        if self.end is not None:
            for i in range(self.end, first):
                for c in range(self.n_channels):
                    self.columns[i, c] = (1, 0, int(ColumnFlag.MISSED))
        for i in range(len(low)):
            for c in range(self.n_channels):
                self.columns[first + i, c] = (int(low[i, c]), int(high[i, c]), 0)
        self.end = first + len(low)

    def flag(self, mask: int, start: int, stop: int, channel: int) -> None:
        for (i, c), (low, high, flags) in list(self.columns.items()):
            if start <= i < stop and channel in (-1, c):
                explained = ColumnFlag.MISSED if mask & ColumnFlag.GAP else 0
                self.columns[i, c] = (low, high, (flags | mask) & ~int(explained))


steps = st.lists(
    st.tuples(
        st.integers(0, 14),  # columns in the batch
        st.integers(0, 3),  # columns left out before it
        st.sampled_from([0, 1, 2, 4, 16]),  # flag set afterwards
        st.integers(0, 12),  # how far back the flag begins
        st.integers(1, 5),  # how long it is
        st.integers(-1, 3),  # of which channel
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=steps,
    n_window=st.integers(1, 50) | st.integers(100, 1500),
    size=st.tuples(st.integers(8, 90), st.integers(4, 60)),
    is_grid=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    palette=st.sampled_from([DARK, LIGHT]),
)
def test_any_sequence_gives_the_pixels_of_the_definition(
    steps, n_window, size, is_grid, seed, palette
):
    rng = np.random.default_rng(seed)
    n_channels = 4
    grid = electrode_cells(square(2)) if is_grid else lanes(n_channels)
    image = TraceImage(grid, *size, palette)
    image.set_window(n_window)
    counts = rng.uniform(50, 400, n_channels)
    image.set_scale(counts)
    history, mirror = ColumnHistory(n_channels, n_bytes=1 << 20), Mirror(n_channels)
    end = int(rng.integers(0, 1000))
    for n, n_left_out, flag, back, length, channel in steps:
        first = end + n_left_out
        low, high = columns_of(rng, n, n_channels)
        image.invalidate(history.append(first, low, high))
        mirror.append(first, low, high)
        end = first + n
        if flag:
            start = max(0, end - back)
            stop = min(end, start + length)
            image.invalidate(history.flag(flag, start, stop, channel))
            mirror.flag(flag, start, stop, channel)
        image.draw(history, end)
    n_joined = max(n for n in JOINED if n == 1 or n_window >= n * image.places.width)
    expected = slow_picture(
        mirror.columns,
        end,
        n_window,
        grid,
        image.places,
        counts,
        image.pixels.shape,
        palette,
        n_joined,
    )
    np.testing.assert_array_equal(image.pixels, expected)


@pytest.mark.parametrize("n_window", [5, 64, 700, 3000, 20_000])
def test_drawing_bit_by_bit_equals_drawing_at_once(n_window):
    rng = np.random.default_rng(n_window)
    history = ColumnHistory(16, n_bytes=4 << 20)
    grid = electrode_cells(square(4))
    live = TraceImage(grid, 400, 200, DARK)
    live.set_window(n_window)
    live.set_scale(np.full(16, 300.0))
    n_drawn = []
    for _ in range(60):
        first = history.end + int(rng.integers(0, 2))
        live.invalidate(history.append(first, *columns_of(rng, int(rng.integers(1, 90)), 16)))
        spikes = rng.integers(history.end - 30, history.end, 5), rng.integers(0, 16, 5)
        changed = history.mark_spikes(*spikes)
        live.invalidate(changed if changed is not None else history.end)
        n_drawn.append(live.draw(history, history.end))
    at_once = TraceImage(grid, 400, 200, DARK)
    at_once.set_window(n_window)
    at_once.set_scale(np.full(16, 300.0))
    at_once.draw(history, history.end)
    np.testing.assert_array_equal(live.pixels, at_once.pixels)
    if n_window >= 700:
        assert max(n_drawn[1:]) < live.places.width / 2


def test_the_window_moves_by_whole_pixels_without_changing_them():
    rng = np.random.default_rng(3)
    history = ColumnHistory(2, n_bytes=1 << 20)
    history.append(0, *columns_of(rng, 1000, 2))
    image = TraceImage(lanes(2), 100, 40, DARK)
    image.set_window(200)
    image.set_scale(np.full(2, 300.0))
    image.draw(history, 800)
    before = image.pixels.copy()
    image.draw(history, 820)
    np.testing.assert_array_equal(image.pixels.copy()[:, :-10], before[:, 10:])


def test_a_gap_has_no_trace_and_its_own_colour():
    history = ColumnHistory(1, n_bytes=1 << 20)
    flat = np.zeros((10, 1), np.int16)
    history.append(0, flat - 1000, flat - 900)
    history.append(20, flat + 900, flat + 1000)
    history.flag(ColumnFlag.GAP, 10, 15)
    image = TraceImage(lanes(1), 30, 21, DARK)
    image.set_window(30)
    image.set_scale(np.array([2000.0]))
    image.draw(history, 30)
    shown = image.pixels.copy()[: image.places.height]
    assert (shown[:, 10:15] == DARK.gap).all()
    assert (shown[:, 15:20] == DARK.missed).all()
    for x in (9, 20):  # nothing leads over the gap
        assert (shown[:, x] == DARK.trace).sum() <= 2


def test_what_leaves_the_scale_is_shown_at_the_edge():
    history = ColumnHistory(1, n_bytes=1 << 20)
    history.append(0, np.array([[-500]], np.int16), np.array([[50]], np.int16))
    image = TraceImage(lanes(1), 4, 11, DARK)
    image.set_window(4)
    image.set_scale(np.array([100.0]))
    image.draw(history, 1)
    column = image.pixels.copy()[: image.places.height, -1]
    assert column[-1] == DARK.clipped
    assert column[0] == DARK.background


def test_an_image_too_small_for_its_cells_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        TraceImage(electrode_cells(square(8)), 10, 100, DARK)


def test_a_scrolled_buffer_keeps_its_pixels_also_when_its_memory_is_used_up():
    buffer = ScrollBuffer(5, 3)
    rng = np.random.default_rng(0)
    shown = rng.integers(0, 2**32, (3, 5), dtype=np.uint32)
    buffer.pixels[:] = shown
    for n in (1, N_SPARE - 2, 0, 2, 3, 1):
        if n > 5:  # as if many frames had passed
            buffer.scroll(n)
            buffer.pixels[:] = shown
            continue
        buffer.scroll(n)
        np.testing.assert_array_equal(buffer.pixels[:, : 5 - n], shown[:, n:])
        new = rng.integers(0, 2**32, (3, n), dtype=np.uint32)
        buffer.pixels[:, 5 - n :] = new
        shown = np.concatenate([shown[:, n:], new], axis=1)
        np.testing.assert_array_equal(buffer.pixels, shown)
