"""Spikes: pixels against a slow reference, drawing bit by bit against at once, bands, memory."""

import dataclasses

import numpy as np
import pytest
from feed_maker import feed_format
from hypothesis import given, settings
from hypothesis import strategies as st

from app.console.feed import FEED_SPIKE, NEURON_EVENT, Span, SpanKind
from app.gui.drawing.event_history import EventHistory
from app.gui.drawing.palette import DARK
from app.gui.drawing.raster_data import RasterData
from app.gui.drawing.raster_image import WIDE_FROM_PX, MissingBand, RasterImage
from app.gui.drawing.raster_rows import place_rows, rows_of

MS = 1_000_000
ROWS = rows_of(feed_format(2))
LUT = [1, 2, 3]


def slow_raster(events, bands, width, height, ns_per_pixel, end_ns):
    """Draw by definition: background, bands, then each event in order of arrival."""
    places = place_rows(ROWS, height)
    picture = np.full((height, width), DARK.separator, np.uint32)
    for group in ROWS.groups:
        last = group.stop - 1
        bottom = places.y[last] + places.height[last]
        picture[places.y[group.first] : bottom] = DARK.background
    first = end_ns // ns_per_pixel + 1 - width
    for band in bands:
        last = band.stop_row - 1
        for p in range(band.from_ns // ns_per_pixel, band.to_ns // ns_per_pixel + 1):
            if first <= p < first + width:
                bottom = places.y[last] + places.height[last]
                picture[places.y[band.first_row] : bottom, p - first] = DARK.gap
    for time_ns, row, colour in events:
        x = time_ns // ns_per_pixel - first
        if 0 <= x < width:
            lines = slice(places.y[row], places.y[row] + places.height[row])
            picture[lines, x] = LUT[colour]
            if places.height[row] >= WIDE_FROM_PX and x > 0:
                picture[lines, x - 1] = LUT[colour]
    return picture


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(
        st.tuples(
            st.integers(0, 40),  # milliseconds that pass
            st.lists(st.tuples(st.integers(-30, 20), st.integers(0, 6), st.integers(0, 2))),
        ),
        min_size=1,
        max_size=8,
    ),
    size=st.tuples(st.integers(5, 60), st.integers(20, 120)),
    band=st.none() | st.tuples(st.integers(0, 100), st.integers(0, 50), st.integers(0, 6)),
)
def test_any_sequence_gives_the_pixels_of_the_definition(batches, size, band):
    width, height = size
    history = EventHistory(1000)
    now, window_ns = 1000 * MS, 80 * MS
    history.advance(now)
    live = RasterImage(ROWS, width, height, DARK, LUT)
    live.set_window(window_ns)
    bands = []
    for i, (passed, events) in enumerate(batches):
        if band is not None and i == len(batches) // 2:
            bands = [MissingBand(0, band[2] + 1, now - band[0] * MS, now + (band[1] - 60) * MS)]
            live.set_bands(bands)
        now += passed * MS
        arrays = np.array(events, np.int64).reshape(-1, 3)
        history.add(
            now + arrays[:, 0] * MS, arrays[:, 1].astype(np.int32), arrays[:, 2].astype(np.uint8)
        )
        history.advance(now)
        live.draw(history, now)
    n = history.n_total
    arrived = zip(history.time_ns[:n], history.row[:n], history.colour[:n], strict=True)
    expected = slow_raster(arrived, bands, width, height, round(window_ns / width), now)
    # A tick of two pixels at the left edge lost its left half only if it was drawn there.
    np.testing.assert_array_equal(live.pixels.copy()[:, 1:], expected[:, 1:])
    at_once = RasterImage(ROWS, width, height, DARK, LUT)
    at_once.set_window(window_ns)
    at_once.set_bands(bands)
    at_once.draw(history, now)
    np.testing.assert_array_equal(at_once.pixels.copy(), expected)


def test_events_of_the_future_wait_and_do_not_move_the_picture():
    history = EventHistory(10)
    history.advance(100)
    history.add(np.array([90, 10**18, 150]), np.zeros(3, np.int32), np.zeros(3, np.uint8))
    assert (history.n_total, history.now_ns) == (1, 100)
    history.advance(150)
    assert history.n_total == 2
    assert history.row_of_times(0, 0, 200).tolist() == [90, 150]


def test_the_oldest_events_make_room():
    history = EventHistory(5)
    history.advance(100)
    for start in (0, 4):
        times = np.arange(start, start + 4)
        history.add(times, np.zeros(4, np.int32), np.zeros(4, np.uint8))
    assert history.first == 3
    assert history.oldest_ns == 3
    assert sorted(history.row_of_times(0, 0, 100).tolist()) == [3, 4, 5, 6, 7]


def test_a_batch_larger_than_the_memory_leaves_its_newest_events():
    history = EventHistory(4)
    history.advance(100)
    history.add(np.arange(10), np.zeros(10, np.int32), np.zeros(10, np.uint8))
    assert sorted(history.row_of_times(0, 0, 100).tolist()) == [6, 7, 8, 9]


def test_rows_are_channels_then_the_neurons_of_this_and_the_other_sites():
    rows = rows_of(feed_format(2))
    assert [g.title for g in rows.groups] == [
        "padova: electrodes",
        "padova: neurons",
        "zurich: neurons",
    ]
    assert rows.neuron_rows == {1: 4, 7: 5, 9: 6}
    places = place_rows(rows, 200)
    assert (np.diff(places.y) > 0).all()
    assert places.y[-1] + places.height[-1] <= 200


@pytest.mark.parametrize("height", [3, 40, 500])
def test_a_thousand_channels_fit_any_height(height):
    places = place_rows(rows_of(feed_format(32)), height)
    assert places.y.min() >= 0
    assert (places.y + places.height).max() <= height
    assert places.height.min() >= 1


def test_kinds_late_events_and_artefacts_have_their_own_colours():
    data = RasterData(feed_format(2))
    data.set_now(1000)
    events = np.zeros(5, NEURON_EVENT)
    events["neuron"], events["site"] = [1, 7, 1, 99, 98], [0, 1, 0, 1, 0]
    events["kind"], events["flags"] = [0, 2, 1, 2, 2], [0, 0, 1, 0, 0]
    data.add_events(events)
    spikes = np.zeros(3, FEED_SPIKE)
    spikes["channel"], spikes["flags"] = [3, 2, 4], [0, 1, 0]
    data.add_spikes(spikes)
    n = data.history.n_total
    lut = data.lut(DARK)
    assert [lut[c] for c in data.history.colour[:n]] == [
        DARK.delivered_psp,
        DARK.sites[1],
        DARK.muted,
        DARK.sites[0],
        DARK.muted,
    ]
    assert data.history.row[:n].tolist() == [4, 5, 4, 3, 2]
    assert data.n_unknown == 1


def test_a_gap_is_one_band_over_the_rows_it_concerns():
    data = RasterData(feed_format(2))
    assert not data.add_span(Span(SpanKind.STIMULUS, 0, 10))
    for span in (
        Span(SpanKind.GAP, 0, 10),
        Span(SpanKind.GAP, 0, 10, channel=2),
        Span(SpanKind.GAP, 0, 10, site="zurich"),
    ):
        assert data.add_span(span)
    assert [(b.first_row, b.stop_row) for b in data.bands] == [(0, 4), (2, 3), (5, 7)]
    chip_only = RasterData(dataclasses.replace(feed_format(2), site="zurich", channel_names=()))
    assert chip_only.add_span(Span(SpanKind.GAP, 0, 10))
    assert [(b.first_row, b.stop_row) for b in chip_only.bands] == [(0, 2)]


def test_another_clock_begins_a_new_raster():
    data = RasterData(feed_format(2))
    data.set_now(10**12)
    assert not data.set_now(10**12 - 1000)
    assert data.history.now_ns == 10**12
    assert data.set_now(5 * 10**9)
    assert data.history.now_ns == 5 * 10**9
