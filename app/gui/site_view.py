"""Everything about one site: its panels as docks that can be moved and are remembered."""

from itertools import pairwise
from typing import Any

from PyQt6.QtCore import QByteArray, Qt, QTimer
from PyQt6.QtGui import QShowEvent
from PyQt6.QtWidgets import QDockWidget, QMainWindow, QTabWidget, QWidget

from app.console.feed import FeedFormat
from app.gui.engine_link import EngineLink
from app.gui.faults import shielded
from app.gui.panel import Panel
from app.gui.panel_head import PanelHead
from app.gui.panels.bench import BenchPanel
from app.gui.panels.impedance import ImpedancePanel
from app.gui.panels.instruments import InstrumentsPanel
from app.gui.panels.links import LinksPanel
from app.gui.panels.log import LogPanel
from app.gui.panels.recording import RecordingPanel
from app.gui.panels.safety import SafetyPanel
from app.gui.panels.signals import SignalPanels
from app.gui.panels.synapses import SynapsesPanel
from app.gui.theme import Theme

_Area = Qt.DockWidgetArea
SIDE_WIDTH = 400
BELOW_HEIGHT = 230
_HORIZONTAL, _VERTICAL = Qt.Orientation.Horizontal, Qt.Orientation.Vertical


class SiteView(QMainWindow):
    """The panels of one engine."""

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__()
        self.link = link
        self.safety = SafetyPanel(link, theme)
        self.links = LinksPanel(link)
        self.synapses = SynapsesPanel(link, theme)
        self.bench = BenchPanel(link, theme)
        self.impedance = ImpedancePanel(link, theme)
        self.recording = RecordingPanel(link)
        self.instruments = InstrumentsPanel(link, theme)
        self.log = LogPanel(link, theme)
        self.signals = SignalPanels(link, theme)
        self.docks: dict[str, QDockWidget] = {}
        self.first_layout: QByteArray | None = None
        """How the docks were left the last time; None: not known."""
        self._is_laid_out = False
        self.panels: tuple[Panel, ...] = (
            self.safety,
            self.links,
            self.synapses,
            self.bench,
            self.impedance,
            self.recording,
            self.instruments,
            self.log,
        )
        self.setDockOptions(
            QMainWindow.DockOption.AllowTabbedDocks | QMainWindow.DockOption.AllowNestedDocks
        )
        self.setTabPosition(_Area.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self._make_docks()
        self._connect()

    def _make_docks(self) -> None:
        """Make the docks: signals left, what is dangerous right, the rest below."""
        views = (*self.signals.widgets, self.synapses, self.bench, self.impedance)
        main = [self._dock(w, w.windowTitle(), w.whatsThis()) for w in views]
        right = [self._panel_dock(p) for p in (self.safety, self.recording, self.instruments)]
        for dock in right:
            dock.setMinimumWidth(SIDE_WIDTH)
        below = [self._panel_dock(p) for p in (self.log, self.links)]
        for dock in below:
            dock.setMinimumHeight(BELOW_HEIGHT)
        self._groups = (
            (main, _Area.LeftDockWidgetArea),
            (right, _Area.RightDockWidgetArea),
            (below, _Area.BottomDockWidgetArea),
        )

    def place_docks(self) -> None:
        """Place the docks; once, when the window has its size, or Qt leaves stray tabs behind."""
        self.setCorner(Qt.Corner.BottomRightCorner, _Area.RightDockWidgetArea)
        for group, area in self._groups:
            self.addDockWidget(area, group[0])
            for before, dock in pairwise(group):
                self.tabifyDockWidget(before, dock)
            group[0].raise_()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Lay out the docks when this view is first seen: before, it has no size."""
        super().showEvent(event)
        if not self._is_laid_out:
            self._is_laid_out = True
            QTimer.singleShot(0, self._lay_out)

    def _lay_out(self) -> None:
        if self.first_layout is None or not self.restoreState(self.first_layout):
            self._arrange_sizes()

    def _arrange_sizes(self) -> None:
        main, right, below = (group[0] for group, _ in self._groups)
        width, height = self.width(), self.height()
        right_width = max(SIDE_WIDTH, width // 4)
        self.resizeDocks([main, right], [width - right_width, right_width], _HORIZONTAL)
        self.resizeDocks([main, below], [height * 7 // 10, height * 3 // 10], _VERTICAL)

    def _panel_dock(self, panel: Panel) -> QDockWidget:
        return self._dock(panel, panel.title, panel.explanation)

    def _dock(self, widget: QWidget, title: str, explanation: str) -> QDockWidget:
        dock = QDockWidget(title)
        dock.setObjectName(title)
        dock.setTitleBarWidget(PanelHead(title, explanation, dock))
        dock.setWidget(widget)
        dock.setFeatures(
            QDockWidget.DockWidgetFeature.DockWidgetMovable
            | QDockWidget.DockWidgetFeature.DockWidgetFloatable
        )
        self.docks[title] = dock
        return dock

    def _connect(self) -> None:
        link = self.link
        link.described.connect(self._described)
        link.status_came.connect(self._status)
        link.arrived.connect(self._take)
        link.detached.connect(self._detached)
        link.frame_ended.connect(self._frame)

    def show_panel(self, title: str) -> None:
        """Bring a panel to the front."""
        dock = self.docks[title]
        dock.show()
        dock.raise_()
        widget = dock.widget()
        if widget is not None:
            widget.setFocus()

    def save_layout(self) -> QByteArray:
        """Return where the docks are."""
        return self.saveState()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.signals.set_theme(theme)
        self.synapses.set_theme(theme)
        self.bench.set_theme(theme)
        self.impedance.set_theme(theme)
        self.instruments.set_theme(theme)
        self.safety.arm_form.button.set_theme(theme)
        self.log.model.theme = theme

    def _described(self, description: dict[str, Any]) -> None:
        for panel in self.panels:
            shielded(panel.show_description, description)

    def _status(self, status: dict[str, Any]) -> None:
        for panel in self.panels:
            shielded(panel.show_status, status)

    def _take(self, arrival: object) -> None:
        if isinstance(arrival, FeedFormat):
            has_amplifier = bool(arrival.channel_names)
            for widget in (*self.signals.amplifier_widgets, self.impedance):
                self.docks[widget.windowTitle()].setVisible(has_amplifier)
            if not has_amplifier:
                self.docks[self.synapses.title].raise_()
        self.signals.take(arrival)
        for panel in self.panels:
            shielded(panel.take, arrival)

    def _detached(self, reason: str) -> None:
        for panel in self.panels:
            shielded(panel.show_unknown, reason)

    def _frame(self) -> None:
        if not self.link.is_fresh and self.link.status:
            self.safety.show_unknown(_not_heard(self.link.status_age_s))
        if self.isVisible():
            self.signals.show_frame()
            for panel in self.panels:
                shielded(panel.show_frame)


def _not_heard(age_s: float | None) -> str:
    return "the engine has said nothing" + ("" if age_s is None else f" for {age_s:.1f} s")
