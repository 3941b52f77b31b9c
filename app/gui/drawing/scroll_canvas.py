"""A pyqtgraph plot that is filled by an image: axes around it, nothing else inside."""

import pyqtgraph as pg
from PyQt6.QtCore import QRectF, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QPainter, QPen, QRegion

from app.gui.drawing.list_axis import ListAxis
from app.gui.drawing.palette import Palette
from app.gui.drawing.scroll_item import ScrollItem


class ScrollCanvas(pg.PlotWidget):
    """The image must have the size that `size_px` says; `item.show_image` shows it."""

    left = pyqtSignal()
    """The mouse went elsewhere."""

    def __init__(self, sides: tuple[str, ...]) -> None:
        self.axes = {side: ListAxis(side) for side in sides}
        super().__init__(axisItems=self.axes)
        self.setMenuEnabled(False)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.setCacheMode(self.CacheModeFlag.CacheNone)  # see drawBackground
        viewport = self.viewport()
        viewport.setAutoFillBackground(False)
        viewport.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        for side in sides:
            self.showAxis(side)
        self.getPlotItem().layout.setContentsMargins(8, 8, 8, 4)
        self.view_box = self.getPlotItem().getViewBox()
        self.view_box.setDefaultPadding(0)
        self.view_box.invertY(True)
        self.item = ScrollItem(self.view_box)

    @property
    def size_px(self) -> tuple[int, int]:
        """Get width and height that the image must have."""
        return self.item.size_px

    def set_colours(self, palette: Palette) -> None:
        """Paint everything around the image in the palette's colours."""
        self.setBackground(QColor.fromRgba(palette.background))
        text, muted = QColor.fromRgba(palette.text), QColor.fromRgba(palette.muted)
        for axis in self.axes.values():
            axis.setPen(QPen(muted))
            axis.setTextPen(QPen(text))

    def drawBackground(self, painter: QPainter, rect: QRectF) -> None:  # noqa: N802 - Qt's name
        """Fill only around the image, which hides the rest: a quarter of the frame's cost."""
        hidden = self.item.covered.toAlignedRect().adjusted(1, 1, -1, -1)
        around = QRegion(rect.toAlignedRect()).subtracted(QRegion(hidden))
        painter.save()
        painter.setClipRegion(around, Qt.ClipOperation.IntersectClip)
        painter.fillRect(rect, self.backgroundBrush())
        painter.restore()

    def leaveEvent(self, event: object) -> None:  # noqa: N802 - Qt's name
        """Say that nothing is pointed at any more."""
        super().leaveEvent(event)
        self.left.emit()
