"""The window of a command, which tells where everything is: `python x_window.py REPORT ...`.

What stands behind REPORT is the command line of `spikebridge`. The window is the real one on a real
X server; a timer beside it writes the places of buttons, fields and tabs on the screen, so that a
test can go there with the X server's own mouse and keyboard. No tests in here.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QPoint, QPointF, QTimer
from PyQt6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QTabBar,
    QWidget,
)

from app.cli import main
from app.gui import application
from app.gui.main_window import MainWindow

REPORT = Path(sys.argv[1])
TELL_MS = 100


class TellingWindow(MainWindow):
    """The window, and a timer that writes what is where."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._n_told = 0
        self._teller = QTimer(self)
        self._teller.timeout.connect(self._tell)
        self._teller.start(TELL_MS)

    def _tell(self) -> None:
        places: dict[str, list[int]] = {}
        for top in QApplication.topLevelWidgets():
            if top.isVisible():
                for widget in top.findChildren(QWidget):
                    if widget.isVisible() and not widget.visibleRegion().isEmpty():
                        _place(places, widget)
        self._places_of_signals(places)
        model = self.view.log.model
        self._n_told += 1
        bars = [bar for bar in self.findChildren(QTabBar) if bar.isVisible()]
        told = {
            "n": self._n_told,
            "on_top": [bar.tabText(bar.currentIndex()) for bar in bars],
            "places": places,
            "state": self.top_bar.state.text(),
            "is_fresh": self.link.is_fresh,
            "status": self.link.status,
            "said": self.said.text(),
            "threshold_uv": float(self.view.signals.scope.threshold_uv),
            "log": [model.text(row) for row in range(model.rowCount())],
            "texts": [w.text() for w in self.findChildren(QLabel) if w.isVisible() and w.text()],
        }
        part = REPORT.with_suffix(".part")
        part.write_text(json.dumps(told), encoding="utf-8")
        part.replace(REPORT)

    def _places_of_signals(self, places: dict[str, list[int]]) -> None:
        scope, rates = self.view.signals.scope, self.view.signals.rates
        if scope.isVisible():
            box = scope.plot.getPlotItem().getViewBox()
            (left, right), _ = box.viewRange()
            middle = QPointF((left + right) / 2, -scope.threshold_uv)
            _add(places, "threshold line", scope.plot, box.mapViewToScene(middle))
            deeper = QPointF((left + right) / 2, -2.5 * scope.threshold_uv)
            _add(places, "deeper threshold", scope.plot, box.mapViewToScene(deeper))
        grid = rates._grid
        if rates.isVisible() and grid is not None and rates._format is not None:
            box = rates.plot.getPlotItem().getViewBox()
            for index, name in enumerate(rates._format.channel_names):
                cell = QPointF(float(grid.column[index]) + 0.5, float(grid.row[index]) + 0.5)
                _add(places, f"electrode: {name}", rates.plot, box.mapViewToScene(cell))


def _place(places: dict[str, list[int]], widget: QWidget) -> None:
    """Add a widget that can be clicked, at the middle of what is seen of it."""
    seen = widget.visibleRegion().boundingRect().center()
    if isinstance(widget, QTabBar):
        for index in range(widget.count()):
            _add(places, f"tab: {widget.tabText(index)}", widget, widget.tabRect(index).center())
    elif isinstance(widget, QAbstractButton) and widget.text() and widget.isEnabled():
        _add(places, f"button: {widget.text().replace('&', '')}", widget, seen)
    elif isinstance(widget, QLineEdit):
        name = widget.accessibleName() or widget.placeholderText()
        if name:
            _add(places, f"field: {name}", widget, seen)
    elif isinstance(widget, QComboBox):
        _add(places, f"choice: {widget.currentText()}", widget, seen)


def _add(places: dict[str, list[int]], key: str, widget: QWidget, at: QPoint | QPointF) -> None:
    point = at.toPoint() if isinstance(at, QPointF) else at
    on_screen = widget.mapToGlobal(point)
    screen = widget.screen()
    if screen is not None and screen.geometry().contains(on_screen):
        places.setdefault(key, [on_screen.x(), on_screen.y()])


if __name__ == "__main__":
    application.MainWindow = TellingWindow  # type: ignore[misc]
    os.environ["QT_QPA_PLATFORM"] = "xcb"
    sys.exit(main(sys.argv[2:]))
