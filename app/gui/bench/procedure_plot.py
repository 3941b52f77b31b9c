"""A procedure's picture, live."""

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import QRectF
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from app.gui.bench.pictures import Curve, Picture
from app.gui.drawing.palette import palette_named
from app.gui.drawing.plot_colours import new_plot, paint_plot
from app.gui.theme import Theme

MAX_LABELS = 8
"""On each axis of a table."""
SIGNED_COLOURS = ((0.0, (36, 103, 164)), (0.5, (235, 235, 235)), (1.0, (192, 57, 43)))


class ProcedurePlot(QWidget):
    """Curves, or a table as colours with a scale beside it."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.plot = new_plot("Time since the start", "s", "Resistance", "ohm")
        self.shown: Picture | None = None
        self._theme = theme
        self._curves: list[pg.PlotDataItem] = []
        self._legend = self.plot.addLegend(offset=(-10, 10))
        self._band = pg.LinearRegionItem(orientation="horizontal", movable=False)
        self._band.setZValue(-10)
        self._image = pg.ImageItem()
        self._scale = pg.ColorBarItem(interactive=False, width=14)
        for item in (self._band, self._image):
            self.plot.addItem(item)
            item.setVisible(False)
        self.plot.getPlotItem().layout.addItem(self._scale, 2, 5)
        self._scale.setImageItem(self._image)
        self._scale.setVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        paint_plot(self.plot, palette_named(theme.name))
        band = pg.mkColor(theme.good)
        band.setAlpha(60)
        self._band.setBrush(band)
        self._scale.axis.setTextPen(pg.mkPen(theme.text))
        if self.shown is not None:
            self.show_picture(self.shown)

    def show_picture(self, picture: Picture) -> None:
        """Draw a picture in place of the last one."""
        self.shown = picture
        for side, (what, unit) in (("bottom", picture.x_axis), ("left", picture.y_axis)):
            self.plot.getAxis(side).setLabel(what, unit)
            self.plot.getAxis(side).setTicks(None)
        self._band.setVisible(picture.band is not None)
        if picture.band is not None:
            self._band.setRegion(picture.band)
        is_table = picture.table is not None and bool(np.isfinite(picture.table).any())
        self._image.setVisible(is_table)
        self._scale.setVisible(is_table)
        self._show_curves(picture.curves)
        self.plot.setLogMode(False, picture.is_log_y)
        self.plot.getViewBox().invertY(picture.table is not None and not picture.is_signed)
        if is_table:
            self._show_table(picture)
        else:
            self.plot.enableAutoRange()

    def _show_curves(self, curves: tuple[Curve, ...]) -> None:
        while len(self._curves) < len(curves):
            self._curves.append(pg.PlotDataItem(connect="finite"))
            self.plot.addItem(self._curves[-1])
        self._legend.clear()
        for item, curve in zip(self._curves, curves, strict=False):
            colour = self._colour(curve.role)
            item.setData(curve.x, curve.y)
            item.setPen(pg.mkPen(colour, width=1.5) if curve.is_line else None)
            item.setSymbol(curve.symbol)
            item.setSymbolSize(5 if curve.symbol == "o" else 9)
            item.setSymbolPen(pg.mkPen(colour))
            item.setSymbolBrush(pg.mkBrush(colour))
            if curve.label and len(curve.x):
                self._legend.addItem(item, curve.label)
        for item in self._curves[len(curves) :]:
            item.setData([], [])

    def _show_table(self, picture: Picture) -> None:
        table = picture.table
        if table is None:
            return
        low, high = float(np.nanmin(table)), float(np.nanmax(table))
        if picture.is_signed:
            high = max(abs(low), abs(high), 1e-9)
            low = -high
        self._scale.setColorMap(_colours(is_signed=picture.is_signed))
        self._scale.setLevels((low, max(high, low + 1e-9)))
        self._scale.setLabel("left", picture.legend)
        self._image.setImage(table.T, autoLevels=False, levels=(low, max(high, low + 1e-9)))
        n_rows, n_columns = table.shape
        self._image.setRect(QRectF(-0.5, -0.5, n_columns, n_rows))
        self.plot.getAxis("bottom").setTicks([_ticks(picture.columns)])
        self.plot.getAxis("left").setTicks([_ticks(picture.rows)])
        self.plot.setRange(xRange=(-0.5, n_columns - 0.5), yRange=(-0.5, n_rows - 0.5), padding=0)

    def _colour(self, role: str) -> str:
        t = self._theme
        return {"up": t.bad, "down": t.accent, "warning": t.warning}.get(role, t.accent)


def _colours(*, is_signed: bool) -> pg.ColorMap:
    if is_signed:
        places, colours = zip(*SIGNED_COLOURS, strict=True)
        return pg.ColorMap(places, colours)
    return pg.colormap.get("viridis")


def _ticks(labels: tuple[str, ...]) -> list[tuple[float, str]]:
    step = max(1, -(-len(labels) // MAX_LABELS))
    return [(float(i), label) for i, label in enumerate(labels) if i % step == 0]
