"""The rate map: colours by rate, honest about electrodes without one, clicks."""

import dataclasses

import numpy as np
import pytest
from feed_maker import feed_format
from PyQt6.QtCore import QPointF, Qt

from app.console.feed import ChannelCondition, ChannelStates
from app.gui.drawing.palette import DARK, LIGHT
from app.gui.drawing.rate_map import RateMap
from app.gui.drawing.rate_scale import place_on_scale, rgba


def states(n_channels: int = 16) -> ChannelStates:
    rate_hz = np.linspace(0, 40, n_channels).astype(np.float32)
    condition = np.full(n_channels, ChannelCondition.GOOD, np.uint8)
    special = [
        ChannelCondition.UNKNOWN,
        ChannelCondition.SUSPENDED,
        ChannelCondition.DEAD,
        ChannelCondition.EXCLUDED,
    ]
    condition[:4] = special[:n_channels]
    known = np.full(n_channels, 5.0, np.float32)
    return ChannelStates(known * 5, known, rate_hz, condition)


@pytest.fixture
def rates(qtbot):
    widget = RateMap()
    qtbot.addWidget(widget)
    widget.resize(500, 420)
    with qtbot.waitExposed(widget):
        widget.show()
    widget.set_format(feed_format())
    widget.set_states(states())
    return widget


def scene_point(rates: RateMap, channel: int) -> QPointF:
    x, y = rates._grid.column[channel] + 0.5, rates._grid.row[channel] + 0.5
    return rates.plot.getPlotItem().getViewBox().mapViewToScene(QPointF(float(x), float(y)))


def seen(rates: RateMap, channel: int) -> tuple[int, int, int]:
    at = rates.plot.mapFromScene(scene_point(rates, channel))
    return rates.plot.grab().toImage().pixelColor(at).getRgb()[:3]


def test_channels_without_a_rate_have_no_colour_of_the_scale(rates):
    assert seen(rates, 0) == rgba(DARK.separator)[:3]
    assert seen(rates, 1) == rgba(DARK.clipped)[:3]
    assert seen(rates, 2) == rgba(DARK.muted)[:3]
    assert seen(rates, 3) == rgba(DARK.separator)[:3]


def test_a_faster_electrode_is_further_on_the_colour_scale(rates):
    colours = [tuple(c[:3]) for c in rates._colours.tolist()]
    places = [colours.index(seen(rates, c)) for c in range(4, 16)]
    assert places == sorted(places)
    assert places[0] < places[-1]


def test_the_scale_is_logarithmic_and_ends_at_its_ends():
    rate_hz = np.array([0, 0.1, 1, 10, 100, 5000], np.float32)
    assert place_on_scale(rate_hz) == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1], abs=1e-6)


def test_pointing_says_what_detection_knows(rates):
    rates.plot.scene().sigMouseMoved.emit(scene_point(rates, 15))
    text = rates.text.text()
    assert text == "A-015: good, 40.00 spikes/s, threshold 25.0 µV, noise σ 5.0 µV"


def test_a_click_selects_and_frames(rates, qtbot):
    at = rates.plot.mapFromScene(scene_point(rates, 9))
    with qtbot.waitSignal(rates.channel_selected) as caught:
        qtbot.mouseClick(rates.plot.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert caught.args == [9]
    assert rates._frame.isVisible()


def test_axes_say_micrometres_only_where_electrodes_are_in_place(rates):
    assert "µm" in rates.plot.getAxis("bottom").labelString()
    scattered = dataclasses.replace(feed_format(), position_um=np.full((16, 2), np.nan, np.float32))
    rates.set_format(scattered)
    rates.set_states(states())
    assert "µm" not in rates.plot.getAxis("bottom").labelString()


def test_states_of_another_source_and_a_site_without_amplifier_do_no_harm(rates):
    rates.set_states(states(9))
    rates.set_colours(LIGHT)
    none = dataclasses.replace(
        feed_format(), channel_names=(), position_um=np.empty((0, 2), np.float32)
    )
    rates.set_format(none)
    rates.set_states(states(0))
    rates.select_channel(2)
