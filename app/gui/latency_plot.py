"""The loop's latencies as a histogram over decades of time."""

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PyQt6.QtWidgets import QLabel, QVBoxLayout, QWidget

from app.gui.drawing.palette import palette_named
from app.gui.drawing.plot_colours import new_plot, paint_plot
from app.gui.numbers import with_prefix
from app.gui.theme import Theme


class LatencyPlot(QWidget):
    """How long it took from a spike's arrival here to its bytes on the instrument's wire."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.plot = new_plot("Spike arrived to bytes on the wire", "ms", "Events", "count")
        self.plot.setFixedHeight(170)
        self.plot.setToolTip(
            "From the arrival of a spike in this engine to the bytes of its stimulus on the "
            "instrument's wire, the Gate's decision and the audit row included."
        )
        self.bars = pg.BarGraphItem(x=[], height=[], width=0.1)
        self.plot.addItem(self.bars)
        ticks = [(float(p), f"{10.0**p:g}") for p in range(-1, 5)]
        self.plot.getAxis("bottom").setTicks([ticks])
        self.plot.setXRange(-1, 4, padding=0)
        self.text = QLabel("nothing yet")
        self.text.setWordWrap(True)
        self.text.setToolTip("Deliveries of this session: median and 99th percentile of the above")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)
        column.addWidget(self.text)
        self._edges = np.empty(0)
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        paint_plot(self.plot, palette_named(theme.name))
        self.bars.setOpts(brush=theme.accent, pen=theme.panel)

    def set_edges(self, edges_s: Sequence[float]) -> None:
        """Take the borders between bins, in seconds."""
        self._edges = np.log10(np.array(edges_s) * 1e3)

    def show_counts(self, counts: Sequence[int]) -> None:
        """Show how many fell into each bin; the first and last are open."""
        if len(counts) != len(self._edges) + 1:
            return
        inner = np.array(counts[1:-1])
        centres = (self._edges[:-1] + self._edges[1:]) / 2
        width = float(self._edges[1] - self._edges[0])
        self.bars.setOpts(x=centres, height=inner, width=width * 0.92)
        self.plot.setYRange(0, max(1, int(inner.max(initial=0))))
        self.text.setText(self._words(counts))

    def _words(self, counts: Sequence[int]) -> str:
        n = sum(counts)
        if not n:
            return "nothing was delivered yet"
        shares = np.cumsum(counts) / n
        below = [int(np.searchsorted(shares, share)) for share in (0.5, 0.99)]
        upper = [self._upper_s(index) for index in below]
        return f"{n} deliveries: half within {upper[0]}, 99 % within {upper[1]}"

    def _upper_s(self, index: int) -> str:
        if index >= len(self._edges):
            return "more than 10 s"
        return with_prefix(float(10 ** self._edges[index]) / 1e3, "s", 2)
