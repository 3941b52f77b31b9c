"""The spike scope: what is overlaid, and what a dragged threshold asks for."""

import numpy as np
import pytest
from feed_maker import feed_format
from PyQt6.QtCore import QPoint, QPointF, Qt

from app.console.feed import FEED_SNIPPET, ChannelStates, Snippets
from app.gui.drawing.palette import LIGHT
from app.gui.drawing.snippet_store import SnippetStore
from app.gui.drawing.spike_scope import SpikeScope
from app.gui.drawing.threshold_line import ThresholdLine
from app.gui.drawing.threshold_request import ThresholdRequest, request_of

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


def drag_line_to(scope: SpikeScope, qtbot, y_uv: float, line: ThresholdLine | None = None) -> None:
    """Take a line with the mouse and let it go at another potential."""
    line = line or scope.lines.below
    viewport, view_box = scope.plot.viewport(), scope.plot.getPlotItem().getViewBox()

    def at(uv: float) -> QPoint:
        middle = view_box.viewRange()[0]
        scene = view_box.mapViewToScene(QPointF(sum(middle) / 2, uv))
        return scope.plot.mapFromScene(scene)

    start, stop = at(line.value()), at(y_uv)
    qtbot.mouseMove(viewport, start)
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    for i in range(1, 11):
        qtbot.mouseMove(viewport, start + (stop - start) * i / 10)
        qtbot.wait(5)
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=stop)


def microvolts_a_pixel(scope: SpikeScope) -> float:
    return float(scope.plot.getPlotItem().getViewBox().viewPixelSize()[1])


def test_the_line_says_where_the_engine_has_its_threshold(scope):
    assert scope.lines.below.value() == -40
    assert scope.lines.below.words.toPlainText() == "−40.0 µV = −5.0 σ"
    scope.set_states(states(np.nan))
    assert not scope.lines.below.isVisible()
    assert not scope.sigma_choice.isEnabled()


def test_dragging_the_line_in_microvolts_asks_for_where_it_was_dropped(scope, qtbot):
    scope.unit_choice.setCurrentIndex(1)
    with qtbot.waitSignal(scope.threshold_requested) as caught:
        drag_line_to(scope, qtbot, -60.0)
    request = caught.args[0]
    assert (request.channel, request.n_sigma) == (3, None)
    assert request.threshold_uv == pytest.approx(60.0, abs=3 * microvolts_a_pixel(scope))
    assert scope.lines.below.words.toPlainText().endswith("asked for")


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
    assert scope.lines.below.value() == -50
    assert scope.lines.below.pen.style() == Qt.PenStyle.DashLine
    scope.set_states(states(50.0))
    assert scope.lines.below.value() == -50
    assert scope.lines.below.pen.style() == Qt.PenStyle.SolidLine
    assert scope.answer.text() == ""


def test_a_refusal_puts_the_line_back_and_says_why(scope):
    scope._ask(ThresholdRequest(3, threshold_uv=4.0))
    scope.show_refusal("4 µV is below the noise floor of 8 µV")
    assert scope.lines.below.value() == -40
    assert scope.answer.text() == "Refused: 4 µV is below the noise floor of 8 µV"


def test_choosing_a_multiple_asks_for_it(scope, qtbot):
    with qtbot.waitSignal(scope.threshold_requested) as caught:
        index = scope.sigma_choice.findData(6.0)
        scope.sigma_choice.setCurrentIndex(index)
        scope.sigma_choice.activated.emit(index)
    assert caught.args[0] == ThresholdRequest(3, n_sigma=6.0)
    assert scope.lines.below.value() == -48


@pytest.mark.parametrize(
    ("dropped_uv", "sigma_uv", "in_sigma", "expected"),
    [
        (41.37, 8.0, False, ThresholdRequest(2, threshold_uv=41.5)),
        (41.37, 8.0, True, ThresholdRequest(2, n_sigma=5.2)),
        (0.5, 8.0, True, ThresholdRequest(2, n_sigma=0.1)),
        (0.5, 8.0, False, ThresholdRequest(2, threshold_uv=0.5)),
        (40.0, float("nan"), True, None),
        (40.0, 0.0, True, None),
    ],
)
def test_where_a_line_is_dropped_becomes_a_request(dropped_uv, sigma_uv, in_sigma, expected):
    assert request_of(dropped_uv, 2, sigma_uv, in_sigma=in_sigma) == expected


@pytest.mark.parametrize(
    ("polarity", "potentials_uv", "words"),
    [
        ("neg", [-40.0], ["−40.0 µV = −5.0 σ"]),
        ("pos", [40.0], ["+40.0 µV = +5.0 σ"]),
        ("both", [-40.0, 40.0], ["−40.0 µV = −5.0 σ", "+40.0 µV = +5.0 σ"]),
    ],
)
def test_lines_stand_on_the_sides_on_which_detection_looks(scope, polarity, potentials_uv, words):
    scope.set_polarity(polarity)
    seen = [line for line in (scope.lines.below, scope.lines.above) if line.isVisible()]
    assert [line.value() for line in seen] == potentials_uv
    assert [line.words.toPlainText() for line in seen] == words
    assert (
        scope.sigma_choice.itemText(scope.sigma_choice.findData(6.0))
        == ({"neg": "−6 σ", "pos": "+6 σ", "both": "±6 σ"}[polarity])
    )
    scope.set_states(states(np.nan))
    assert not scope.lines.below.isVisible()
    assert not scope.lines.above.isVisible()


@pytest.mark.parametrize("side", [-1, +1])
@pytest.mark.parametrize("in_sigma", [True, False])
def test_either_line_of_both_asks_for_its_magnitude_and_takes_the_other_along(
    scope, qtbot, side, in_sigma
):
    scope.set_polarity("both")
    scope.unit_choice.setCurrentIndex(scope.unit_choice.findData(in_sigma))
    line = scope.lines.below if side < 0 else scope.lines.above
    with qtbot.waitSignal(scope.threshold_requested) as caught:
        drag_line_to(scope, qtbot, side * 64.0, line)
    request, slack_uv = caught.args[0], 3 * microvolts_a_pixel(scope)
    assert request.magnitude_uv(SIGMA_UV) == pytest.approx(64.0, abs=slack_uv)
    assert (request.n_sigma is not None) is in_sigma
    assert scope.lines.above.value() == -scope.lines.below.value()
    assert scope.answer.text().startswith("Asked for A-003: ±")


def test_a_positive_line_cannot_be_dragged_below_zero(scope, qtbot):
    scope.set_polarity("pos")
    with qtbot.waitSignal(scope.threshold_requested) as caught:
        drag_line_to(scope, qtbot, -50.0, scope.lines.above)
    assert caught.args[0].magnitude_uv(SIGMA_UV) == pytest.approx(0.1 * SIGMA_UV)
    assert scope.lines.above.value() > 0


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
    artefact = snippets([3])
    artefact.samples_uv[0, 30:] = 900.0  # of a stimulus beside the spike
    scope.add_snippets(artefact)
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
