"""The raster as its user meets it: bands, pause, what lies under the mouse, clicks."""

import numpy as np
import pytest
from feed_maker import COLUMN_NS, column_ns, feed_format, spikes
from PyQt6.QtCore import QPointF, Qt

from app.console.feed import NEURON_EVENT, Span, SpanKind
from app.gui.drawing.palette import DARK
from app.gui.drawing.raster_view import RasterView


@pytest.fixture
def view(qtbot):
    widget = RasterView()
    qtbot.addWidget(widget)
    widget.resize(900, 500)
    widget.set_format(feed_format())
    with qtbot.waitExposed(widget):
        widget.show()
    widget.set_window(2.0)
    widget.add_spikes(spikes(list(range(0, 3000, 10)), [i % 16 for i in range(300)]))
    widget.set_now(column_ns(3000))

    def is_settled() -> bool:
        widget.refresh()
        qtbot.wait(1)
        width, height = widget.canvas.size_px
        return widget._image is not None and widget._image.size == (width, height)

    qtbot.waitUntil(is_settled)
    return widget


def point(view: RasterView, row: int, column: int) -> QPointF:
    image = view._image
    x = (column_ns(column) // image._ns_per_pixel) - (image._end_pixel - image.pixels.shape[1])
    y = image.places.y[row] + image.places.height[row] / 2
    return view.canvas.view_box.mapToScene(QPointF(float(x) + 0.5, float(y)))


def test_the_screen_shows_the_image(view):
    picture = view.canvas.grab().toImage()
    corner = view.canvas.mapFromScene(view.canvas.view_box.sceneBoundingRect().topLeft())
    shown = view._image.pixels.copy()
    line = int(view._image.places.y[4] + 1)
    seen = [picture.pixel(corner.x() + x, corner.y() + line) for x in range(shown.shape[1])]
    np.testing.assert_array_equal(np.array(seen, np.uint32), shown[line])
    assert (shown[line] == DARK.sites[0]).sum() >= 10


def test_a_declared_gap_is_a_red_band_and_stays_when_time_passes(view):
    view.add_span(Span(SpanKind.GAP, column_ns(2500), column_ns(2700), site="zurich"))
    view.refresh()

    def n_red() -> np.ndarray:
        return (view._image.pixels.copy() == DARK.gap).sum(axis=1)

    width = view._image.pixels.shape[1]
    lines = view._image.lines_of(17, 19)
    assert abs(n_red()[lines[0]] - width / 10) <= 2
    assert n_red()[: view._image.lines_of(0, 16)[1]].sum() == 0
    view.set_now(column_ns(3400))
    view.refresh()
    assert abs(n_red()[lines[0]] - width / 10) <= 2


def test_pause_keeps_the_picture_and_live_catches_up(view, qtbot):
    qtbot.keyClick(view, Qt.Key.Key_Space)
    before = view._image.pixels.copy()
    view.add_spikes(spikes([3100], [3]))
    view.set_now(column_ns(3500))
    view.refresh()
    np.testing.assert_array_equal(view._image.pixels.copy(), before)
    assert "0.5 s behind" in view.controls.state_label.text()
    qtbot.keyClick(view, Qt.Key.Key_Space)
    after = view._image.pixels.copy()
    line = int(view._image.places.y[3] + 1)
    x = (column_ns(3100) - column_ns(3500)) // view._image._ns_per_pixel + after.shape[1]
    assert DARK.sites[0] in after[line, x - 3 : x + 3]


def test_scrolled_back_it_shows_what_was_live_then(view, qtbot):
    then = view._image.pixels.copy()
    view.set_now(column_ns(5000))
    view.refresh()
    qtbot.keyClick(view, Qt.Key.Key_Left)
    assert not view.is_live
    view.scroll_bar.moved.emit(column_ns(3000) // COLUMN_NS)
    np.testing.assert_array_equal(view._image.pixels.copy(), then)
    qtbot.keyClick(view, Qt.Key.Key_End)
    assert view.is_live


def test_the_mouse_says_who_and_when_and_a_click_selects(view, qtbot):
    view.canvas.scene().sigMouseMoved.emit(point(view, 18, 2000))
    assert "zurich silicon 9 at -1.00" in view.controls.state_label.text()
    position = view.canvas.mapFromScene(point(view, 5, 2000))
    with qtbot.waitSignal(view.channel_selected) as caught:
        qtbot.mouseClick(view.canvas.viewport(), Qt.MouseButton.LeftButton, pos=position)
    assert caught.args == [5]
    position = view.canvas.mapFromScene(point(view, 17, 2000))
    with qtbot.waitSignal(view.neuron_selected) as caught:
        qtbot.mouseClick(view.canvas.viewport(), Qt.MouseButton.LeftButton, pos=position)
    assert caught.args == [7]


def test_events_of_unknown_neurons_are_counted_in_sight(view):
    event = np.zeros(2, NEURON_EVENT)
    event["neuron"], event["site"] = 1234, 1
    view.add_events(event)
    view.refresh()
    assert "2 events of neurons that are not in the experiment" in view.controls.state_label.text()


def test_a_window_open_for_months_can_still_be_scrolled(view):
    month_ns = 30 * 24 * 3600 * 10**9
    view.set_now(column_ns(3000) + month_ns)
    view.refresh()
    assert view.is_live
    view.move_in_time(-1)
    assert not view.is_live
    assert "2.0 s behind" in view.controls.state_label.text()
