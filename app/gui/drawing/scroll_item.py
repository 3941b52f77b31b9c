"""Paints an image into a pyqtgraph view, one image pixel a pixel of the screen."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PyQt6.QtCore import QPointF, QRectF
from PyQt6.QtGui import QColor, QImage, QPainter, QStaticText


class ScrollItem(pg.GraphicsObject):
    """The child of a ViewBox that fills it with an image; it never scales one.

    The image is the caller's array, not a copy: draw into it, then call `show_image`.
    """

    def __init__(self, view_box: pg.ViewBox) -> None:
        super().__init__()
        self._view_box = view_box
        self.setParentItem(view_box)
        self.setZValue(-10)
        self._pixels: npt.NDArray[np.uint32] | None = None
        self._image = QImage()
        self._labels: list[tuple[QPointF, QStaticText]] = []
        self._label_colour = QColor()
        view_box.sigResized.connect(self.prepareGeometryChange)

    @property
    def size_px(self) -> tuple[int, int]:
        """Get width and height that an image should have, in pixels of the screen."""
        rect = self._view_box.rect()
        return round(rect.width() * self._ratio), round(rect.height() * self._ratio)

    @property
    def _ratio(self) -> float:
        view = self.getViewWidget()
        return 1.0 if view is None else float(view.devicePixelRatioF())

    @property
    def covered(self) -> QRectF:
        """Get the part of the scene that the image hides."""
        corner = self._view_box.sceneBoundingRect().topLeft()
        size = self._image.size()
        return QRectF(
            corner.x(), corner.y(), size.width() / self._ratio, size.height() / self._ratio
        )

    def show_image(self, pixels: npt.NDArray[np.uint32]) -> None:
        """Paint `pixels`, 0xAARRGGBB `(height, width)`, at the next turn."""
        self._pixels = pixels  # the QImage does not keep its memory alive
        height, width = pixels.shape
        kind, data = QImage.Format.Format_RGB32, pixels.data
        self._image = QImage(data, width, height, pixels.strides[0], kind)  # type: ignore[call-overload]
        self.update()

    def set_labels(self, labels: Sequence[tuple[float, float, str]], colour: int) -> None:
        """Write small texts over the image, each with its upper left corner in image pixels."""
        self._labels = []
        for x, y, text in labels:
            static = QStaticText(text)
            static.prepare()
            self._labels.append((QPointF(x / self._ratio, y / self._ratio), static))
        self._label_colour = QColor.fromRgba(colour)
        self.update()

    def boundingRect(self) -> QRectF:  # noqa: N802 - Qt's name
        """Return the view's own rectangle."""
        return QRectF(self._view_box.rect())

    def paint(self, painter: QPainter, *_: object) -> None:
        """Copy the image and write the labels."""
        if self._pixels is None:
            return
        transform, ratio = painter.transform(), self._ratio
        # Between two screen pixels the image would be blurred: begin on one.
        painter.translate(
            round(transform.dx() * ratio) / ratio - transform.dx(),
            round(transform.dy() * ratio) / ratio - transform.dy(),
        )
        painter.scale(1 / ratio, 1 / ratio)
        painter.drawImage(0, 0, self._image)
        painter.scale(ratio, ratio)
        painter.setPen(self._label_colour)
        for at, text in self._labels:
            painter.drawStaticText(at, text)
