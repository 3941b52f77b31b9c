"""What somebody sees who has never seen the window: titles, units, explanations.

The walk goes over every panel of the chain's three sites in a session that uses all of them.
"""

from collections.abc import Iterator

import pyqtgraph as pg
import pytest
from PyQt6.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QApplication,
    QComboBox,
    QDockWidget,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from app.gui.commands import CHAIN
from app.gui.main_window import MainWindow
from app.gui.scene import status as made
from app.gui.scene.screenshots import SITES, SceneLink, scene_window

CONTROLS = (QAbstractButton, QComboBox, QLineEdit, QPlainTextEdit, QAbstractSlider)
WITHOUT_UNIT = {
    "Channel", "Channel or neuron", "Electrodes, as they lie", "Neuron",
}  # fmt: skip
"""Axes that list names: a name has no unit."""
MIN_WORDS = 3
"""A tip that only repeats a label explains nothing."""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory, qapp: QApplication) -> Iterator[MainWindow]:
    folder = tmp_path_factory.mktemp("first")
    made = scene_window(CHAIN, folder / "window.ini")
    yield made
    made.close_unasked()
    made.deleteLater()
    qapp.processEvents()


def docks(window: MainWindow) -> Iterator[tuple[str, QDockWidget]]:
    """Every panel of every site that has one, on top and drawn."""
    for index, site in enumerate(SITES):
        window.choose_site(index)
        view = window.views[index]
        for title, dock in view.docks.items():
            if dock.isHidden():
                continue  # this site has no amplifier
            view.show_panel(title)
            for _ in range(3):
                QApplication.processEvents()
                window.link.frame_ended.emit()
            yield f"{site}, {title}", dock


def show_state(window: MainWindow, state: str) -> None:
    """Let every site be in a state, with a frozen device, a refusal, and something blocking."""
    frozen = [{"instrument": "arc1", "device": "w12b21", "direction": 1, "reason": "did not move"}]
    reports = [{"instrument": "mea1", "state": "sent", "detail": ""}]
    for site, link in zip(SITES, window.links, strict=True):
        assert isinstance(link, SceneLink)
        gate = made.gate(
            site, state, frozen=frozen, blocks={"x": "something is not settled"},
            n_refusals={"rate": 2}, last_refusal="mea1: too often",
        )  # fmt: skip
        off = {"why": "a fault", "time_ns": made.END_NS}
        link.show(made.status(site, gate=gate, safe_reports=reports, switched_off=off))


def tip_of(widget: QWidget | None, panel: QWidget) -> str:
    """Return what Qt would show: a widget's tip, or that of what it lies in."""
    while widget is not None:
        if widget.toolTip() or widget is panel:
            return widget.toolTip()
        widget = widget.parentWidget()
    return ""


def seen(panel: QWidget) -> Iterator[QWidget]:
    """Everything in a panel that says something or can be used."""
    for widget in panel.findChildren(QWidget):
        if isinstance(widget, QLabel):
            is_name = widget.property("role") in ("heading", "title")
            if is_name or not widget.text() or not widget.isVisibleTo(panel):
                continue
        elif not isinstance(widget, CONTROLS) or isinstance(widget, QScrollBar):
            continue
        is_part = isinstance(widget.parentWidget(), QComboBox | QLineEdit)
        if not is_part and widget.isVisibleTo(panel):
            yield widget


def test_every_panel_has_a_title_and_says_what_it_is(window: MainWindow) -> None:
    found = dict(docks(window))
    assert len(found) >= 3 * 8
    for where, dock in found.items():
        head, panel = dock.titleBarWidget(), dock.widget()
        assert dock.windowTitle(), where
        assert head is not None, where
        assert panel is not None, where
        assert len(head.toolTip().split()) > 8, f"{where}: {head.toolTip()!r}"


def test_every_axis_has_a_label_with_a_unit(window: MainWindow) -> None:
    n_axes = 0
    for where, dock in docks(window):
        for plot in dock.findChildren(pg.PlotWidget):
            for side in ("bottom", "left", "right"):
                axis = plot.getAxis(side)
                if not axis.isVisible():
                    continue
                n_axes += 1
                assert axis.labelText, f"{where}: an axis without a label ({side})"
                has_unit = bool(axis.labelUnits) or axis.labelText in WITHOUT_UNIT
                assert has_unit, f"{where}: {axis.labelText!r} has no unit"
    assert n_axes > 15


@pytest.mark.parametrize("state", ["armed", "disarmed", "tripped"])
def test_every_control_and_value_is_explained(window: MainWindow, state: str) -> None:
    show_state(window, state)
    n_explained, silent = 0, []
    for where, dock in docks(window):
        panel = dock.widget()
        assert panel is not None
        for widget in seen(panel):
            tip = tip_of(widget, panel)
            if len(tip.split()) >= MIN_WORDS:
                n_explained += 1
            else:
                silent.append(f"{where}: {type(widget).__name__} {words_of(widget)!r}: {tip!r}")
    assert not silent, "\n".join(silent)
    assert n_explained > 200


def test_what_is_always_in_sight_is_explained(window: MainWindow) -> None:
    silent = [
        words_of(widget) for widget in seen(window.top_bar) if not tip_of(widget, window.top_bar)
    ]
    assert not silent


def test_the_walk_finds_what_is_not_explained(qtbot: QtBot) -> None:
    panel = QWidget()
    qtbot.addWidget(panel)
    field = QLineEdit(panel)
    assert list(seen(panel)) == [field]
    assert tip_of(field, panel) == ""
    panel.setToolTip("what the panel is")
    assert tip_of(field, panel) == "what the panel is"


def words_of(widget: QWidget) -> str:
    text = getattr(widget, "text", None)
    return str(text()) if callable(text) else widget.objectName()
