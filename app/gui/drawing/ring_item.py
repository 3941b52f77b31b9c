"""Paints an image whose columns are rings into a pyqtgraph view, one image pixel a screen pixel."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PyQt6.QtCore import QPointF, QRectF
from PyQt6.QtGui import QColor, QImage, QPainter, QStaticText

from app.gui.drawing.ring_strip import Strip


class RingItem(pg.GraphicsObject):
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
        self._strips: tuple[Strip, ...] = ()
        self._labels: list[tuple[QPointF, QStaticText]] = []
        self._label_colour = QColor()
        view_box.sigResized.connect(self.prepareGeometryChange)

    @property
    def size_px(self) -> tuple[int, int]:
        """Get width and height that an image must have, in pixels of the screen."""
        rect = self._view_box.rect()
        return round(rect.width() * self._ratio), round(rect.height() * self._ratio)

    @property
    def _ratio(self) -> float:
        view = self.getViewWidget()
        return 1.0 if view is None else float(view.devicePixelRatioF())

    @property
    def has_image(self) -> bool:
        """Say whether there is something to paint."""
        return self._pixels is not None

    def show_image(self, pixels: npt.NDArray[np.uint32], strips: tuple[Strip, ...]) -> None:
        """Paint `pixels`, 0xAARRGGBB `(height, width)`, unrolled by `strips`, at the next turn."""
        if self._pixels is not pixels:
            self._pixels = pixels
            height, width = pixels.shape
            kind, data = QImage.Format.Format_RGB32, pixels.data
            self._image = QImage(data, width, height, pixels.strides[0], kind)  # type: ignore[call-overload]
        self._strips = strips
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
        """Copy the two parts of every ring."""
        if self._pixels is None:
            return
        transform, ratio = painter.transform(), self._ratio
        # Between two screen pixels the image would be blurred: begin on one.
        painter.translate(
            round(transform.dx() * ratio) / ratio - transform.dx(),
            round(transform.dy() * ratio) / ratio - transform.dy(),
        )
        painter.scale(1 / ratio, 1 / ratio)
        height, width = self._pixels.shape
        right = 0
        for s in self._strips:
            n_old = s.width - s.phase
            self._copy(painter, s.x, s.x + s.phase, n_old, height)
            self._copy(painter, s.x + n_old, s.x, s.phase, height)
            right = s.x + s.width
            separator = (s.x + s.width, 1 if len(self._strips) > 1 else 0)
            self._copy(painter, separator[0], separator[0], separator[1], height)
        self._copy(painter, right, right, width - right, height)
        painter.scale(ratio, ratio)
        painter.setPen(self._label_colour)
        for at, text in self._labels:
            painter.drawStaticText(at, text)

    def _copy(self, painter: QPainter, to_x: int, from_x: int, width: int, height: int) -> None:
        if width > 0:
            painter.drawImage(to_x, 0, self._image, from_x, 0, width, height)
