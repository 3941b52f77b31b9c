"""The spike scope: what is overlaid, and what a dragged threshold asks for."""

import numpy as np
import pytest
from feed_maker import feed_format
from PyQt6.QtCore import QPoint, QPointF, Qt

from app.console.feed import FEED_SNIPPET, ChannelStates, Snippets
from app.gui.drawing.palette import LIGHT
from app.gui.drawing.snippet_store import SnippetStore
from app.gui.drawing.spike_scope import SpikeScope
from app.gui.drawing.threshold_request import ThresholdRequest, request_at

SIGMA_UV = 8.0


def states(threshold_uv: float = 40.0, n_channels: int = 16) -> ChannelStates:
    def full(value: float) -> np.ndarray:
        return np.full(n_channels, value, np.float32)

    condition = np.full(n_channels, 2, np.uint8)
    return ChannelStates(full(threshold_uv), full(SIGMA_UV), full(3.0), condition)


def snippets(channels: list[int], n_samples: int = 40) -> Snippets:
    records = np.zeros(len(channels), FEED_SNIPPET)
    records["channel"] = channels
    samples_uv = -np.arange(len(channels), dtype=np.float32)[:, None] * np.ones(n_samples)
    return Snippets(records, samples_uv.astype(np.float32), n_before=10)


@pytest.fixture
def scope(qtbot):
    widget = SpikeScope()
    qtbot.addWidget(widget)
    widget.resize(600, 500)
    with qtbot.waitExposed(widget):
        widget.show()
    widget.set_format(feed_format())
    widget.select_channel(3)
    widget.set_states(states())
    return widget


def drag_line_to(scope: SpikeScope, qtbot, y_uv: float) -> None:
    """Take the line with the mouse and let it go at another potential."""
    viewport, view_box = scope.plot.viewport(), scope.plot.getPlotItem().getViewBox()

    def at(uv: float) -> QPoint:
        middle = view_box.viewRange()[0]
        scene = view_box.mapViewToScene(QPointF(sum(middle) / 2, uv))
        return scope.plot.mapFromScene(scene)

    start, stop = at(scope.line.value()), at(y_uv)
    qtbot.mouseMove(viewport, start)
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    for i in range(1, 11):
        qtbot.mouseMove(viewport, start + (stop - start) * i / 10)
        qtbot.wait(5)
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=stop)


def microvolts_a_pixel(scope: SpikeScope) -> float:
    return float(scope.plot.getPlotItem().getViewBox().viewPixelSize()[1])


def test_the_line_says_where_the_engine_has_its_threshold(scope):
    assert scope.line.value() == -40
    assert scope.line.words.toPlainText() == "−40.0 µV = −5.0 σ"
    scope.set_states(states(np.nan))
    assert not scope.line.isVisible()
    assert not scope.sigma_choice.isEnabled()


def test_dragging_the_line_in_microvolts_asks_for_where_it_was_dropped(scope, qtbot):
    scope.unit_choice.setCurrentIndex(1)
    with qtbot.waitSignal(scope.threshold_requested) as caught:
        drag_line_to(scope, qtbot, -60.0)
    request = caught.args[0]
    assert (request.channel, request.n_sigma) == (3, None)
    assert request.threshold_uv == pytest.approx(60.0, abs=3 * microvolts_a_pixel(scope))
    assert scope.line.words.toPlainText().endswith("asked for")


def test_dragging_the_line_in_sigma_for_all_asks_for_a_multiple_of_the_noise(scope, qtbot):
    scope.scope_choice.setCurrentIndex(1)
    with qtbot.waitSignal(scope.threshold_requested) as caught:
        drag_line_to(scope, qtbot, -64.0)
    request = caught.args[0]
    assert (request.channel, request.threshold_uv) == (None, None)
    assert request.n_sigma == pytest.approx(8.0, abs=3 * microvolts_a_pixel(scope) / SIGMA_UV)


def test_the_line_stays_where_it_was_asked_until_the_engine_has_it(scope, qtbot):
    scope._ask(ThresholdRequest(3, threshold_uv=50.0))
    scope.set_states(states(41.0))
    assert scope.line.value() == -50
    assert scope.line.pen.style() == Qt.PenStyle.DashLine
    scope.set_states(states(50.0))
    assert scope.line.value() == -50
    assert scope.line.pen.style() == Qt.PenStyle.SolidLine
    assert scope.answer.text() == ""


def test_a_refusal_puts_the_line_back_and_says_why(scope):
    scope._ask(ThresholdRequest(3, threshold_uv=4.0))
    scope.show_refusal("4 µV is below the noise floor of 8 µV")
    assert scope.line.value() == -40
    assert scope.answer.text() == "Refused: 4 µV is below the noise floor of 8 µV"


def test_choosing_a_multiple_asks_for_it(scope, qtbot):
    with qtbot.waitSignal(scope.threshold_requested) as caught:
        index = scope.sigma_choice.findData(6.0)
        scope.sigma_choice.setCurrentIndex(index)
        scope.sigma_choice.activated.emit(index)
    assert caught.args[0] == ThresholdRequest(3, n_sigma=6.0)
    assert scope.line.value() == -48


@pytest.mark.parametrize(
    ("y_uv", "sigma_uv", "in_sigma", "expected"),
    [
        (-41.37, 8.0, False, ThresholdRequest(2, threshold_uv=41.5)),
        (-41.37, 8.0, True, ThresholdRequest(2, n_sigma=5.2)),
        (5.0, 8.0, False, None),
        (-40.0, float("nan"), True, None),
        (-40.0, 0.0, True, None),
    ],
)
def test_where_a_line_is_dropped_becomes_a_request(y_uv, sigma_uv, in_sigma, expected):
    assert request_at(y_uv, 2, sigma_uv, in_sigma=in_sigma) == expected


@pytest.mark.parametrize("given", [{}, {"threshold_uv": 5.0, "n_sigma": 5.0}, {"n_sigma": -1.0}])
def test_a_request_says_one_thing(given):
    with pytest.raises(ValueError, match="give one of them"):
        ThresholdRequest(1, **given)


def test_only_snippets_of_the_selected_electrode_are_overlaid(scope):
    scope.add_snippets(snippets([3, 4, 3, 5, 3]))
    scope.refresh()
    x, y = scope._old.getData()
    assert sorted(set(y.tolist())) == [-4.0, -2.0, 0.0]
    assert x[10] == 0.0
    assert scope._new.getData()[1].tolist() == [-4.0] * 40
    assert scope.title.text() == "A-003: 3 spikes since it was selected"
    scope.select_channel(4)
    assert len(scope._old.getData()[0]) == 0


def test_the_scale_fits_the_widest_spike_until_another_electrode_is_selected(scope, qtbot):
    def reach_uv() -> float:
        return float(scope.plot.getPlotItem().getViewBox().viewRange()[1][1])

    assert reach_uv() == 100.0  # one and a half times a threshold of 40
    scope.add_snippets(snippets([3] * 150))
    scope.refresh()
    assert reach_uv() == 200.0
    scope.add_snippets(snippets([3] * 60))
    scope.refresh()
    assert reach_uv() == 200.0
    scope.select_channel(4)
    assert reach_uv() == 100.0
    scope.scale_choice.setCurrentIndex(scope.scale_choice.findData(50.0))
    scope._rescale()
    assert reach_uv() == 50.0


def test_snippets_are_not_joined_to_each_other():
    store = SnippetStore(n_max=4)
    store.add(np.ones((6, 5), np.float32), 2)
    x, y, is_joined = store.as_curve(10, 20_000.0)
    assert len(x) == len(y) == 20
    assert np.flatnonzero(~is_joined).tolist() == [4, 9, 14, 19]
    assert x[:5] == pytest.approx([-0.1, -0.05, 0, 0.05, 0.1])
    store.add(np.ones((1, 8), np.float32), 2)
    assert store.newest(10).shape == (1, 8)


def test_samples_that_do_not_exist_are_neither_drawn_nor_joined():
    store = SnippetStore()
    store.add(np.array([[1, 2, 3, np.nan, np.nan], [np.nan, 4, 5, 6, 7]], np.float32), 1)
    _, y, is_joined = store.as_curve(10, 20_000.0)
    assert np.isfinite(y).all()
    assert np.flatnonzero(is_joined).tolist() == [0, 1, 6, 7, 8]


def test_both_palettes_and_no_source_at_all(qtbot):
    widget = SpikeScope(LIGHT)
    qtbot.addWidget(widget)
    widget.select_channel(3)
    widget.add_snippets(snippets([3]))
    widget.refresh()
    assert widget.title.text() == "Select an electrode"
