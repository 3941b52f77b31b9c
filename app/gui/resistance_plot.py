"""One memristor's resistance over time, with every pulse and what it did."""

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QBrush, QColor, QPen
from PyQt6.QtWidgets import QGraphicsRectItem, QVBoxLayout, QWidget

from app.console.happenings import DevicePulse, Hole
from app.gui.device_history import DeviceHistory
from app.gui.drawing.palette import palette_named
from app.gui.drawing.plot_colours import new_plot, paint_plot
from app.gui.theme import Theme

SHOWN_S = 120.0
_NOT_APPLIED = frozenset({"refused", "late", "not sent"})


class ResistancePlot(QWidget):
    """Resistance in kilo-ohms against seconds before now.

    A triangle up is an LTP pulse, one down an LTD pulse; hollow ones were wanted and not applied.
    """

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.plot = new_plot("Time before now", "s", "Resistance", "kΩ")
        self.plot.setXRange(-SHOWN_S, 0, padding=0)
        self.line = pg.PlotDataItem(connect="finite", stepMode="right")
        self.line.setZValue(1)
        self.pulses = pg.ScatterPlotItem()
        self.edges = [pg.InfiniteLine(angle=0) for _ in range(2)]
        for item in (*self.edges, self.line, self.pulses):
            self.plot.addItem(item)
        self._holes: list[QGraphicsRectItem] = []
        self._theme = theme
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        paint_plot(self.plot, palette_named(theme.name))
        self.line.setPen(pg.mkPen(theme.accent, width=2))
        for line in self.edges:
            line.setPen(pg.mkPen(theme.muted, width=1, style=Qt.PenStyle.DashLine))

    def show_window(self, window_ohm: tuple[float, float] | None) -> None:
        """Show the window in which the device may be moved."""
        for index, line in enumerate(self.edges):
            line.setVisible(window_ohm is not None)
            if window_ohm is not None:
                line.setValue(window_ohm[index] / 1e3)

    def show_device(self, device: DeviceHistory, holes: list[Hole], now_ns: int) -> None:
        """Draw what is known of one device up to now."""
        since_ns = now_ns - round(SHOWN_S * 1.2e9)
        reads = [(t, r) for t, r in device.reads if t >= since_ns]
        times = np.array([(t - now_ns) / 1e9 for t, _ in reads] + [0.0] * bool(reads))
        values = np.array([r / 1e3 for _, r in reads] + [r / 1e3 for _, r in reads[-1:]])
        self.line.setData(times, values, stepMode="right")
        self.pulses.setData([self._spot(p, now_ns) for p in device.pulses if p.time_ns >= since_ns])
        self._show_holes(holes, now_ns)

    def _spot(self, pulse: DevicePulse, now_ns: int) -> dict[str, object]:
        t = self._theme
        is_ltp = pulse.direction == "LTP"
        known = pulse.after_ohm if pulse.after_ohm is not None else pulse.before_ohm
        colour = QColor(t.good if is_ltp else t.bad)
        is_applied = pulse.verdict not in _NOT_APPLIED
        return {
            "pos": ((pulse.time_ns - now_ns) / 1e9, (known or 0.0) / 1e3),
            "symbol": "t1" if is_ltp else "t",
            "size": 10 if is_applied else 6,
            "pen": QPen(colour if is_applied else QColor(t.muted)),
            "brush": QBrush(colour) if is_applied else QBrush(Qt.BrushStyle.NoBrush),
        }

    def _show_holes(self, holes: list[Hole], now_ns: int) -> None:
        for item in self._holes:
            self.plot.removeItem(item)
        self._holes = []
        low, high = self.plot.getViewBox().viewRange()[1]
        for hole in holes[-10:]:
            left, right = (hole.from_ns - now_ns) / 1e9, (hole.to_ns - now_ns) / 1e9
            item = QGraphicsRectItem(QRectF(left, low, max(right - left, 0.2), high - low))
            colour = QColor(self._theme.bad)
            colour.setAlpha(70)
            item.setBrush(colour)
            item.setPen(QPen(Qt.PenStyle.NoPen))
            item.setToolTip(f"HOLE: {hole.reason}; the rule holds")
            self.plot.addItem(item, ignoreBounds=True)
            self._holes.append(item)
