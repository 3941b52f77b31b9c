"""The trace view as its user meets it: what is on the screen, pause, scroll back, cursor, keys."""

import dataclasses

import numpy as np
import pytest
from feed_maker import COLUMN_NS, UV_PER_COUNT, column_ns, feed_format, level_batch, spikes
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QColor
from pytestqt.qtbot import QtBot

from app.console.feed import ChannelStates, Span, SpanKind
from app.core.detector_results import DetectionFlag
from app.gui.drawing.column_history import ColumnFlag
from app.gui.drawing.palette import DARK, LIGHT
from app.gui.drawing.time_position import TimePosition
from app.gui.drawing.trace_settings import TraceSettings, round_up_125
from app.gui.drawing.trace_view import TraceView


@pytest.fixture
def view(qtbot):
    widget = TraceView(n_bytes=4 << 20)
    qtbot.addWidget(widget)
    widget.resize(900, 600)
    widget.set_format(feed_format())
    widget.add_columns(level_batch(0, 3000))
    with qtbot.waitExposed(widget):
        widget.show()
    settle(widget, qtbot)
    return widget


def settle(view: TraceView, qtbot: QtBot) -> None:
    """Draw until axes and image agree about their sizes."""

    def is_settled() -> bool:
        view.refresh()
        qtbot.wait(1)
        width, height = view.canvas.size_px
        return view._image is not None and view._image.size == (width, height)

    qtbot.waitUntil(is_settled)


def place_of(view: TraceView, channel: int, fraction: float = 0.5) -> QPoint:
    """Return a point of a channel's cell in the viewport, at a fraction of its width."""
    image = view._image
    x = image.places.x[channel] + fraction * (image.places.width - 1)
    y = image.places.y[channel] + image.places.height / 2
    scene = view.canvas.view_box.mapToScene(QPointF(x, y))
    return view.canvas.mapFromScene(scene)


def screen(view: TraceView) -> np.ndarray:
    """Return the pixels that the view box has on the screen."""
    picture = view.canvas.grab().toImage()
    corner = view.canvas.mapFromScene(view.canvas.view_box.sceneBoundingRect().topLeft())
    width, height = view.canvas.size_px
    return np.array(
        [
            [picture.pixel(corner.x() + x, corner.y() + y) for x in range(width)]
            for y in range(0, height, 7)
        ],
        np.uint32,
    )


def test_the_screen_shows_the_pixels_of_the_image(view, qtbot):
    view.set_settings(dataclasses.replace(view.settings, is_grid=False, n_lanes=4))
    settle(view, qtbot)
    # The line of an axis may lie on the image's outermost pixels.
    np.testing.assert_array_equal(screen(view)[:, 1:-1], view._image.pixels[::7, 1:-1])


@pytest.mark.parametrize("palette", [DARK, LIGHT])
def test_both_palettes_colour_the_background(view, palette):
    view.set_colours(palette)
    view.refresh()
    corner = view.canvas.grab().toImage().pixelColor(2, 2)
    assert corner == QColor.fromRgba(palette.background)


def test_pause_keeps_the_picture_while_columns_come_and_live_shows_them(view):
    view.toggle_pause()
    assert not view.is_live
    before = view._image.pixels.copy()
    view.add_columns(level_batch(3000, 500))
    view.refresh()
    np.testing.assert_array_equal(view._image.pixels.copy(), before)
    assert "0.5 s behind" in view.controls.state_label.text()
    view.toggle_pause()
    assert view.is_live
    assert (view._image.pixels.copy() != before).any()
    assert view.controls.state_label.text() == "live"


def test_scrolling_back_shows_what_was_live_then(view, qtbot):
    then = view._image.pixels.copy()
    view.add_columns(level_batch(3000, 2000))
    view.refresh()
    qtbot.keyClick(view, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert not view.is_live
    np.testing.assert_array_equal(view._image.pixels.copy(), then)
    qtbot.keyClick(view, Qt.Key.Key_Home)
    assert "3.0 s behind" in view.controls.state_label.text()
    qtbot.keyClick(view, Qt.Key.Key_End)
    assert view.is_live


def test_the_cursor_says_channel_time_and_microvolts(view, qtbot):
    view.set_settings(dataclasses.replace(view.settings, window_s=0.2, is_grid=False, n_lanes=1))
    view.set_settings(view.settings.with_page(3, 16, 1))
    view.add_spikes(spikes([2899], [3]))
    view.refresh()
    pixel = 500
    view.canvas.scene().sigMouseMoved.emit(view.canvas.view_box.mapToScene(QPointF(pixel, 20)))
    first, stop = view._image.columns_at(pixel)
    assert stop == first + 1
    uv = (first % 100 + 3) * UV_PER_COUNT
    text = view.controls.state_label.text()
    assert f"A-003 at {(first - 3000) * 1e-3:.3f} s: -{uv:.1f} to {uv:.1f} µV" in text
    spike_pixel = next(x for x in range(2000) if view._image.columns_at(x)[0] == 2899)
    view.canvas.scene().sigMouseMoved.emit(
        view.canvas.view_box.mapToScene(QPointF(spike_pixel, 20))
    )
    assert view.controls.state_label.text().endswith("spike")


def test_what_crossed_on_most_channels_at_once_is_not_marked_as_a_spike(view):
    both = spikes([2900, 2950], [3, 3])
    both["flags"] = [DetectionFlag.ARTEFACT, DetectionFlag.TRUNCATED]
    view.add_spikes(both)
    marked = [ColumnFlag.SPIKE in view._history.values(c, c + 1, 3).flags for c in (2900, 2950)]
    assert marked == [False, True]


def test_spans_shade_their_time_and_channel(view):
    view.add_span(Span(SpanKind.GAP, column_ns(2000), column_ns(2100)))
    view.add_span(Span(SpanKind.STIMULUS, column_ns(2500), column_ns(2600), channel=5))
    view.add_span(Span(SpanKind.GAP, column_ns(2200), column_ns(2300), site="zurich"))
    view.refresh()
    shown = view._image.pixels.copy()
    places = view._image.places

    def background(channel: int, column: int) -> int:
        x = places.x[channel] + (column - 1000) * places.width // 2000
        return int(shown[places.y[channel] + 1, x])

    assert [background(c, 2050) for c in (0, 5, 15)] == [DARK.gap] * 3
    assert background(5, 2550) == DARK.stimulus
    assert background(6, 2550) == DARK.background
    assert background(0, 2250) == DARK.background


def test_a_click_selects_and_a_double_click_shows_one_channel_alone(view, qtbot):
    with qtbot.waitSignal(view.channel_selected) as caught:
        qtbot.mouseClick(view.canvas.viewport(), Qt.MouseButton.LeftButton, pos=place_of(view, 6))
    assert caught.args == [6]
    view._show_alone(6)
    view.refresh()
    assert view._image.grid.n_rows == 1
    assert view._image.grid.channel_at(0, 0) == 6
    qtbot.keyClick(view, Qt.Key.Key_Escape)
    view.refresh()
    assert view._image.grid.n_columns == 4


def test_keys_change_window_scale_signal_and_arrangement(view, qtbot):
    with qtbot.waitSignals([view.settings_changed] * 4):
        qtbot.keyClick(view, Qt.Key.Key_Plus)
        qtbot.keyClick(view, Qt.Key.Key_Down)
        qtbot.keyClick(view, Qt.Key.Key_F)
        qtbot.keyClick(view, Qt.Key.Key_L)
    assert view.settings == TraceSettings(1.0, 200.0, is_filtered=False, is_grid=False)
    assert view.controls.scale_choice.currentText() == "±200 µV"
    qtbot.keyClick(view, Qt.Key.Key_PageDown)
    assert view.settings.first_lane == 0  # sixteen channels are one page of sixteen


def test_pages_reach_every_channel_also_where_few_lanes_fit(view, qtbot):
    view.resize(900, 240)
    view.set_settings(dataclasses.replace(view.settings, is_grid=False, n_lanes=256))
    view.set_format(feed_format(16))
    settle(view, qtbot)
    shown: set[int] = set()
    for _ in range(20):
        shown |= set(np.flatnonzero(view._image.grid.column >= 0).tolist())
        qtbot.keyClick(view, Qt.Key.Key_PageDown)
        view.refresh()
    assert view._image.grid.n_rows < 128
    assert shown == set(range(256))


def test_nothing_is_drawn_or_painted_while_nothing_changes(view):
    view.toggle_pause()
    end = view._position.end(view._history.end)
    assert view._image.draw(view._history, end) == 0
    view.add_columns(level_batch(3000, 10))
    assert view._image.draw(view._history, end) == 0
    view.add_span(Span(SpanKind.GAP, column_ns(2900), column_ns(2950)))
    assert view._image.draw(view._history, end) > 0


def test_fit_gives_each_channel_a_scale_that_holds_it(view, qtbot):
    qtbot.keyClick(view, Qt.Key.Key_A)
    assert view.settings.is_scale_per_channel
    peaks_uv = (99 + np.arange(16)) * UV_PER_COUNT
    assert view._scales.uv(view.settings).tolist() == [50.0 if p <= 50 else 100.0 for p in peaks_uv]
    view.refresh()
    assert not (view._image.pixels == DARK.clipped).any()
    qtbot.keyClick(view, Qt.Key.Key_A)
    assert not view.settings.is_scale_per_channel


def test_the_selected_channel_can_have_another_scale_than_the_others(view, qtbot):
    view.show_selected(6)
    qtbot.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert view._scales.uv(view.settings).tolist() == [
        200.0 if c == 6 else 100.0 for c in range(16)
    ]
    view.show_selected(2)
    qtbot.keyClick(view, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    scales_uv = view._scales.uv(view.settings).tolist()
    assert (scales_uv[2], scales_uv[6], scales_uv[0]) == (50.0, 200.0, 100.0)
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert view._scales.uv(view.settings)[[2, 6, 0]].tolist() == [100.0, 400.0, 200.0]


def test_raw_and_filtered_are_kept_apart(view):
    view.add_columns(level_batch(0, 500, is_filtered=False))
    view.set_settings(dataclasses.replace(view.settings, is_filtered=False))
    view.refresh()
    assert view._history.end == 500
    view.set_settings(dataclasses.replace(view.settings, is_filtered=True))
    assert view._history.end == 3000


def test_the_same_source_goes_on_after_a_reattachment_and_another_begins_anew(view):
    view.set_format(feed_format())
    assert view._history.end == 3000
    view.add_columns(level_batch(3200, 10))
    assert view._history.values(3050, 3051, 0).low > view._history.values(3050, 3051, 0).high
    view.set_format(feed_format(3))
    view.refresh()
    assert view._history.end == 0
    view.set_format(dataclasses.replace(feed_format(), channel_names=()))
    view.refresh()


def test_channels_without_detection_are_muted(view):
    condition = np.full(16, 2, np.uint8)
    condition[4] = 3
    nothing = np.zeros(16, np.float32)
    view.set_states(ChannelStates(nothing, nothing, nothing, condition))
    view.refresh()
    places = view._image.places
    middle = view._image.pixels.copy()[places.y + places.height // 2, places.x + 50]
    assert middle[4] == DARK.muted
    assert middle[5] == DARK.trace


def test_the_scroll_bar_and_the_wheel_move_the_view_and_pause(view):
    view.add_columns(level_batch(3000, 3000))
    view.refresh()
    view.scroll_bar.moved.emit(4000)
    assert not view.is_live
    assert view.scroll_bar.shown == 4000
    assert (view.scroll_bar.minimum(), view.scroll_bar.maximum()) == (2000, 6000)


def test_a_resized_view_fills_its_new_size(view, qtbot):
    view.resize(700, 420)
    before = view._image.pixels.shape
    qtbot.waitUntil(lambda: view.canvas.size_px != before[::-1])
    settle(view, qtbot)
    assert view._image.pixels.shape < before


def test_a_hidden_view_draws_nothing_but_keeps_columns(view):
    view.hide()
    drawn = view._shown_end
    view.add_columns(level_batch(3000, 40))
    view.refresh()
    assert view._shown_end == drawn
    assert view._history.end == 3040


def test_position_never_leaves_what_is_kept():
    position = TimePosition()
    position.move(-(10**9), oldest=100, newest=5000, n_window=1000)
    assert position.end(5000) == 1100
    position.move(10**9, 100, 6000, 1000)
    assert (position.end(6000), position.end(7000), position.is_live) == (6000, 6000, False)


@pytest.mark.parametrize(("value", "rounded"), [(0, 1), (0.3, 0.5), (1, 1), (21, 50), (5000, 5000)])
def test_scales_are_round(value, rounded):
    assert round_up_125(value) == pytest.approx(rounded)


def test_steps_end_at_the_ends():
    assert TraceSettings(window_s=30.0).with_window(1).window_s == 30.0
    assert TraceSettings(window_s=0.2).with_window(-3).window_s == 0.2
    assert COLUMN_NS == 1_000_000
