"""Two histograms of one electrode or neuron: intervals between spikes, spikes around stimuli."""

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PyQt6.QtGui import QColor, QPen
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.gui.drawing.interval_counts import (
    INTERVAL_EDGES_S,
    REFRACTORY_S,
    IntervalCounts,
    StimulusCounts,
)
from app.gui.drawing.palette import DARK, Palette
from app.gui.drawing.plot_colours import new_plot, paint_plot

NOTHING_SELECTED = "Select an electrode or a neuron"


class _Histogram(QWidget):
    """A step curve with a line of text above and a button that begins anew."""

    def __init__(self, plot: pg.PlotWidget, palette: Palette) -> None:
        super().__init__()
        self.plot = plot
        self.curve = pg.PlotCurveItem(fillLevel=0)
        plot.addItem(self.curve)
        self.mark = pg.InfiniteLine(angle=90)
        plot.addItem(self.mark)
        self.title = QLabel(NOTHING_SELECTED)
        self.title.setToolTip("Whose events are counted, and how many since it was selected")
        self.reset_button = QPushButton("Begin anew")
        self.reset_button.setToolTip("forget what was counted; nothing recorded is touched")
        self.reset_button.clicked.connect(self.reset)
        row = QHBoxLayout()
        row.addWidget(self.title, 1)
        row.addWidget(self.reset_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 2, 6, 2)
        column.addLayout(row)
        column.addWidget(plot, 1)
        self._name = ""
        self._is_changed = True
        self.set_colours(palette)

    def set_colours(self, palette: Palette) -> None:
        """Use a dark or a light palette."""
        paint_plot(self.plot, palette)
        self.curve.setPen(QPen(QColor.fromRgba(palette.trace), 0))
        self.curve.setBrush(QColor.fromRgba(palette.trace))
        pen = QPen(QColor.fromRgba(palette.clipped), 2)
        pen.setCosmetic(True)
        self.mark.setPen(pen)

    def set_source(self, name: str) -> None:
        """Count for another electrode or neuron from now on; an empty name: for none."""
        self._name = name
        if not name:
            self.title.setText(NOTHING_SELECTED)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._clear()
        self._is_changed = True
        self.refresh()

    def refresh(self) -> None:
        """Draw what changed; a few times a second is enough."""
        if self._is_changed and self.isVisible():
            self._is_changed = False
            self._redraw()

    def _say(self, text: str) -> None:
        if self._name:
            self.title.setText(f"{self._name}: {text}")

    def _clear(self) -> None:
        raise NotImplementedError

    def _redraw(self) -> None:
        raise NotImplementedError


class IntervalHistogram(_Histogram):
    """Intervals between the spikes of one source, on a logarithmic axis.

    `set_source`, then `add_times`; `mark_gap` where spikes are declared missing.
    """

    def __init__(self, palette: Palette = DARK) -> None:
        self.counts = IntervalCounts()
        super().__init__(
            new_plot("Interval to the spike before", "s", "Intervals", "count"), palette
        )
        self.plot.setLogMode(x=False, y=False)
        decades = [(float(e), f"{10.0**e:g}") for e in range(-3, 2)]
        self.plot.getAxis("bottom").setTicks([decades, []])
        self.plot.setXRange(-3, 1, padding=0)
        self.mark.setValue(np.log10(REFRACTORY_S))
        self.mark.setToolTip("no neuron fires twice within 2 ms: left of this line is noise")

    def add_times(self, time_ns: npt.NDArray[np.int64]) -> None:
        """Take spikes of the source, times on the site's clock."""
        if len(time_ns):
            self.counts.add(time_ns)
            self._is_changed = True

    def mark_gap(self) -> None:
        """Say that spikes are missing between the last and the next."""
        self.counts.mark_gap()

    def _clear(self) -> None:
        self.counts = IntervalCounts()

    def _redraw(self) -> None:
        counts = self.counts
        self.curve.setData(np.log10(INTERVAL_EDGES_S), counts.counts, stepMode="center")
        self.plot.setYRange(0, max(1, int(counts.counts.max())), padding=0.05)
        share = 100 * counts.n_refractory / max(1, counts.n_intervals)
        self._say(f"{counts.n_intervals} intervals, {share:.1f} % below 2 ms")


class StimulusHistogram(_Histogram):
    """The rate of one source by the time since a stimulus.

    `set_source`, then `add_times`, `add_stimuli`, and `advance` with the newest time.
    """

    def __init__(self, palette: Palette = DARK) -> None:
        self.counts = StimulusCounts()
        plot = new_plot("Time since the stimulus", "ms", "Firing rate", "spikes/s")
        super().__init__(plot, palette)
        edges_ms = self.counts.edges_s * 1e3
        self.plot.setXRange(edges_ms[0], edges_ms[-1], padding=0)
        self.mark.setValue(0)

    def add_times(self, time_ns: npt.NDArray[np.int64]) -> None:
        """Take spikes of the source, times on the site's clock."""
        self.counts.add(time_ns)

    def add_stimuli(self, time_ns: npt.NDArray[np.int64]) -> None:
        """Take beginnings of stimuli."""
        self.counts.add_stimuli(time_ns)

    def advance(self, now_ns: int) -> None:
        """Say up to which time spikes and stimuli are known."""
        before = self.counts.n_stimuli
        self.counts.advance(now_ns)
        self._is_changed |= self.counts.n_stimuli != before

    def _clear(self) -> None:
        self.counts = StimulusCounts()

    def _redraw(self) -> None:
        rate_hz = np.nan_to_num(self.counts.rate_hz)
        self.curve.setData(self.counts.edges_s * 1e3, rate_hz, stepMode="center")
        self.plot.setYRange(0, max(1.0, float(rate_hz.max())), padding=0.05)
        self._say(f"{self.counts.n_stimuli} stimuli")
