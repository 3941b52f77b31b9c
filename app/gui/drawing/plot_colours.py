"""Paints a plain pyqtgraph plot in the palette's colours, with its titles and units."""

import pyqtgraph as pg
from PyQt6.QtGui import QColor, QPen

from app.gui.drawing.palette import Palette


def new_plot(x_label: str, x_units: str, y_label: str, y_units: str) -> pg.PlotWidget:
    """Return a plot that the mouse does not move, with a unit on each axis.

    Axes show the values as they are: pyqtgraph would turn 2000 µV into "2 kµV".
    """
    plot = pg.PlotWidget()
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(False, False)
    plot.hideButtons()
    plot.getPlotItem().layout.setContentsMargins(8, 8, 12, 4)
    for side, label, units in (("bottom", x_label, x_units), ("left", y_label, y_units)):
        axis = plot.getAxis(side)
        axis.enableAutoSIPrefix(False)
        axis.setStyle(hideOverlappingLabels=False)
        axis.setLabel(label, units)
    return plot


def paint_plot(plot: pg.PlotWidget, palette: Palette) -> None:
    """Set background, axes and text of a plot."""
    plot.setBackground(QColor.fromRgba(palette.background))
    for side in ("bottom", "left"):
        axis = plot.getAxis(side)
        axis.setPen(QPen(QColor.fromRgba(palette.muted)))
        axis.setTextPen(QPen(QColor.fromRgba(palette.text)))
