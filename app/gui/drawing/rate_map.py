"""The firing rate of every electrode, where it lies on the array."""

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import QPointF, QRectF, pyqtSignal
from PyQt6.QtGui import QColor, QPen
from PyQt6.QtWidgets import QGraphicsRectItem, QHBoxLayout, QLabel, QVBoxLayout, QWidget
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent

from app.console.feed import ChannelStates, FeedFormat
from app.gui.drawing.cell_grid import CellGrid, electrode_cells
from app.gui.drawing.palette import DARK, Palette
from app.gui.drawing.plot_colours import new_plot, paint_plot
from app.gui.drawing.rate_scale import TICKS_HZ, channel_text, map_pixels, place_on_scale

COLOUR_MAP = "viridis"
N_AXIS_TEXTS_MAX = 9


class RateMap(QWidget):
    """Give it `set_format`, and `set_states` whenever the feed brings them: it redraws then."""

    channel_selected = pyqtSignal(int)

    def __init__(self, palette: Palette = DARK) -> None:
        super().__init__()
        self._palette = palette
        self._format: FeedFormat | None = None
        self._states: ChannelStates | None = None
        self._grid: CellGrid | None = None
        self._selected: int | None = None
        self._colours = pg.colormap.get(COLOUR_MAP).getLookupTable(nPts=256, alpha=True)
        self.plot = new_plot("x on the array", "µm", "y on the array", "µm")
        self.plot.setAspectLocked(True)
        self.plot.invertY(True)
        self._image = pg.ImageItem(axisOrder="row-major")
        self._frame = QGraphicsRectItem()
        self._frame.setZValue(10)
        self.plot.addItem(self._image)
        self.plot.addItem(self._frame)
        self.bar = new_plot("", "", "Firing rate", "spikes/s")
        self._show_bar()
        self.text = QLabel("Point at an electrode: its rate, threshold and noise")
        self.text.setWordWrap(True)
        self.text.setToolTip(
            "rate: detected spikes a second; grey: no rate, detection is off or settling there; "
            "orange: suspended, it fired more often than a neuron can"
        )
        row = QHBoxLayout()
        row.addWidget(self.plot, 1)
        row.addWidget(self.bar)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row, 1)
        column.addWidget(self.text)
        self.plot.scene().sigMouseMoved.connect(self._move)
        self.plot.scene().sigMouseClicked.connect(self._click)
        self.set_colours(palette)

    def _show_bar(self) -> None:
        scale = pg.ImageItem(self._colours[:, None, :], axisOrder="row-major")
        scale.setRect(QRectF(0, 0, 1, 1))
        self.bar.addItem(scale)
        self.bar.setRange(xRange=(0, 1), yRange=(0, 1), padding=0)
        self.bar.setFixedWidth(90)
        self.bar.hideAxis("bottom")
        places = place_on_scale(np.array(TICKS_HZ, np.float32))
        ticks = [(float(p), f"{hz:g}") for p, hz in zip(places, TICKS_HZ, strict=True)]
        self.bar.getAxis("left").setTicks([ticks, []])

    def set_format(self, feed_format: FeedFormat) -> None:
        """Lay out the array."""
        self._format, self._states, self._selected = feed_format, None, None
        self._grid = electrode_cells(feed_format.position_um)
        self._image.clear()
        self._frame.setVisible(False)
        n_columns, n_rows = self._grid.n_columns, self._grid.n_rows
        self.plot.setRange(xRange=(0, n_columns), yRange=(0, n_rows), padding=0.02)
        self._show_axis("bottom", self._grid.column, feed_format.position_um[:, 0], n_columns)
        self._show_axis("left", self._grid.row, feed_format.position_um[:, 1], n_rows)

    def _show_axis(
        self, side: str, cell: np.ndarray, position_um: np.ndarray, n_cells: int
    ) -> None:
        """Write positions below cells; where cells are only in order, there is nothing to write."""
        axis = self.plot.getAxis(side)
        if self._grid is None or not self._grid.is_in_place:
            axis.setTicks([[], []])
            axis.setLabel("electrodes in order, not in place" if side == "bottom" else "", "")
            return
        axis.setLabel(f"{'x' if side == 'bottom' else 'y'} on the array", "µm")
        um = {
            int(i): float(p) + 0.0 for i, p in zip(cell, position_um, strict=True) if np.isfinite(p)
        }
        every = -(-n_cells // N_AXIS_TEXTS_MAX)
        shown = [(i + 0.5, f"{um[i]:g}") for i in sorted(um)[::every]]
        axis.setTicks([shown, []])

    def set_states(self, states: ChannelStates) -> None:
        """Colour every electrode."""
        if self._grid is None or len(states.rate_hz) != len(self._grid.column):
            return
        self._states = states
        if self._grid.n_rows and len(self._grid.column):
            pixels = map_pixels(self._grid, states, self._colours, self._palette)
            self._image.setImage(pixels, autoLevels=False, levels=(0, 255))

    def select_channel(self, channel: int) -> None:
        """Frame an electrode; nothing is emitted."""
        if self._grid is None or not 0 <= channel < len(self._grid.column):
            return
        self._selected = channel
        column, row = float(self._grid.column[channel]), float(self._grid.row[channel])
        self._frame.setRect(column, row, 1, 1)
        self._frame.setVisible(True)

    def set_colours(self, palette: Palette) -> None:
        """Use a dark or a light palette."""
        self._palette = palette
        for plot in (self.plot, self.bar):
            paint_plot(plot, palette)
        pen = QPen(QColor.fromRgba(palette.selected), 3)
        pen.setCosmetic(True)
        self._frame.setPen(pen)
        if self._states is not None:
            self.set_states(self._states)

    def _channel_at(self, scene_pos: QPointF) -> int | None:
        if self._grid is None:
            return None
        at = self.plot.getPlotItem().getViewBox().mapSceneToView(scene_pos)
        return self._grid.channel_at(int(np.floor(at.x())), int(np.floor(at.y())))

    def _move(self, scene_pos: QPointF) -> None:
        channel = self._channel_at(scene_pos)
        if channel is None or self._format is None:
            return
        name = self._format.channel_names[channel]
        known = None if self._states is None else channel_text(name, self._states, channel)
        self.text.setText(known or f"{name}: nothing known yet")

    def _click(self, event: MouseClickEvent) -> None:
        channel = self._channel_at(event.scenePos())
        if channel is not None:
            self.select_channel(channel)
            self.channel_selected.emit(channel)
