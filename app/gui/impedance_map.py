"""The electrodes on their array, coloured by impedance; bad ones are crossed out and named."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PyQt6.QtCore import QEvent, QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QToolTip, QWidget

from app.gui.drawing.cell_grid import CellGrid, electrode_cells
from app.gui.impedance_scale import TICKS_OHM, ElectrodeShown, place_on_scale
from app.gui.numbers import with_prefix
from app.gui.theme import Theme

BAR_WIDTH = 14
MIN_TEXT_CELL = 30
N_COLOURS = 256


class ImpedanceMap(QWidget):
    """One cell an electrode, where it lies; the scale beside it is logarithmic, in ohm."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._names: tuple[str, ...] = ()
        self._grid: CellGrid | None = None
        self._shown: dict[str, ElectrodeShown] = {}
        self._colours = pg.colormap.get("viridis").getLookupTable(nPts=N_COLOURS)
        self.setMinimumSize(260, 220)
        self.setToolTip(
            "Impedance of each electrode, where it lies on the array, in ohm on a logarithmic "
            "scale. Crossed out: open or shorted. Grey: not measured in this session"
        )

    def set_electrodes(self, names: Sequence[str], position_um: npt.NDArray[np.float32]) -> None:
        """Lay out the array."""
        self._names = tuple(names)
        self._grid = electrode_cells(position_um) if self._names else None
        self.update()

    def show_impedances(self, electrodes: Sequence[ElectrodeShown]) -> None:
        """Colour the electrodes that were measured."""
        self._shown = {e.channel: e for e in electrodes}
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Paint the electrodes and the scale."""
        painter = QPainter(self)
        if self._grid is None:
            return
        for index in range(len(self._names)):
            self._paint_electrode(painter, index)
        self._paint_scale(painter)

    def _paint_electrode(self, painter: QPainter, index: int) -> None:
        box, t = self._box(index), self._theme
        shown = self._shown.get(self._names[index])
        painter.fillRect(box, QColor(t.border) if shown is None else self._colour(shown))
        if shown is None:
            return
        if shown.fault:
            painter.setPen(QPen(QColor(t.bad), 3))
            painter.drawRect(box.adjusted(1.5, 1.5, -1.5, -1.5))
            painter.drawLine(box.topLeft(), box.bottomRight())
            painter.drawLine(box.topRight(), box.bottomLeft())
        if box.width() >= MIN_TEXT_CELL:
            is_light = place_on_scale(shown.magnitude_ohm) > 0.55
            painter.setPen(QColor("#101418" if is_light else "#f2f5f8"))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, shown.short)

    def _paint_scale(self, painter: QPainter) -> None:
        right = self.width() - 86
        bar = QRectF(right, 16, BAR_WIDTH, max(20.0, self.height() - 44))
        step = bar.height() / N_COLOURS
        for index in range(N_COLOURS):
            red, green, blue = (int(c) for c in self._colours[N_COLOURS - 1 - index][:3])
            top = bar.top() + index * step
            painter.fillRect(QRectF(right, top, BAR_WIDTH, step + 1), QColor(red, green, blue))
        painter.setPen(QColor(self._theme.muted))
        for ohm in TICKS_OHM:
            y = bar.bottom() - place_on_scale(ohm) * bar.height()
            painter.drawText(QPointF(bar.right() + 5, y + 4), with_prefix(ohm, "ohm"))
        if self._grid is not None:
            area, below = self._area()
            words = "x on the array →   y ↑"
            if not self._grid.is_in_place:
                words = "electrodes in order, not in place"
            painter.drawText(
                QRectF(area.left(), area.bottom() + 3, area.width(), below),
                Qt.AlignmentFlag.AlignHCenter,
                words,
            )

    def _colour(self, shown: ElectrodeShown) -> QColor:
        index = round(place_on_scale(shown.magnitude_ohm) * (N_COLOURS - 1))
        red, green, blue = (int(c) for c in self._colours[index][:3])
        return QColor(red, green, blue)

    def _area(self) -> tuple[QRectF, float]:
        """Return where the electrodes lie, and how much room is below them."""
        if self._grid is None:
            return QRectF(), 0.0
        below = 22.0
        n_columns, n_rows = self._grid.n_columns, self._grid.n_rows
        cell = min((self.width() - 120) / n_columns, (self.height() - 16 - below) / n_rows)
        width = max(2.0, cell) * n_columns
        left = max(8.0, (self.width() - 110 - width) / 2)
        return QRectF(left, 12, width, max(2.0, cell) * n_rows), below

    def _box(self, index: int) -> QRectF:
        if self._grid is None:
            return QRectF()
        area, _ = self._area()
        cell = area.width() / self._grid.n_columns
        x = area.left() + int(self._grid.column[index]) * cell
        y = area.top() + int(self._grid.row[index]) * cell
        return QRectF(x + 1, y + 1, cell - 2, cell - 2)

    def event(self, event: QEvent | None) -> bool:
        """Say what is known of the electrode under the mouse."""
        if isinstance(event, QHelpEvent):
            point = QPointF(event.pos())
            found = [n for i, n in enumerate(self._names) if self._box(i).contains(point)]
            text = self.toolTip()
            if found:
                shown = self._shown.get(found[0])
                text = f"{found[0]}: not measured" if shown is None else shown.words
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))
