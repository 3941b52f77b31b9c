"""The plot of the trace view: the image, its axes, the cursor and the selected channel."""

from collections.abc import Sequence
from dataclasses import dataclass

from PyQt6.QtCore import QPointF, QRectF, pyqtSignal
from PyQt6.QtGui import QColor, QPen
from PyQt6.QtWidgets import QGraphicsLineItem, QGraphicsRectItem
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent

from app.gui.drawing.palette import Palette
from app.gui.drawing.scroll_canvas import ScrollCanvas
from app.gui.drawing.trace_axes import lane_ticks, scale_ticks, time_ticks
from app.gui.drawing.trace_image import TraceImage

N_LABELS_MAX = 128
MIN_LABEL_PX = 24
LABEL_HEIGHT_PX = 17.0


@dataclass(frozen=True, slots=True)
class Pointed:
    """What lies under the mouse."""

    channel: int
    pixel: int
    """Within the channel's cell."""


class TraceCanvas(ScrollCanvas):
    """Paints a `TraceImage`. The image must have the size that `size_px` says."""

    pointed = pyqtSignal(object)
    """A `Pointed`, or None when the mouse is elsewhere."""
    clicked = pyqtSignal(int)
    double_clicked = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__(("left", "bottom", "right"))
        self._cursor = QGraphicsLineItem(self.view_box)
        self._selection = QGraphicsRectItem(self.view_box)
        self._cursor.hide()
        self._selection.hide()
        self._image: TraceImage | None = None
        self._selected: int | None = None
        self.scene().sigMouseMoved.connect(self._moved)
        self.scene().sigMouseClicked.connect(self._clicked)
        self.left.connect(self._leave)

    def set_colours(self, palette: Palette) -> None:
        """Paint everything around the image in the palette's colours."""
        super().set_colours(palette)
        for item in (self._cursor, self._selection):
            item.setPen(QPen(QColor.fromRgba(palette.selected), 0))

    def arrange(
        self,
        image: TraceImage,
        names: Sequence[str],
        scales_uv: Sequence[float],
        window_s: float,
        palette: Palette,
    ) -> None:
        """Set axes and labels for an image; `scales_uv` per channel, from the middle of a cell."""
        self._image = image
        grid, rect = image.grid, self.view_box.rect()
        n_columns = image.size[0] / image.cell_width  # what is left over, included
        self.view_box.setRange(xRange=(0, n_columns), yRange=(0, grid.n_rows), padding=0)
        is_grid = grid.n_columns > 1
        if is_grid:  # all cells are alike: the axes describe the last row and the first column
            names_shown, scales_shown, first_row = [], list(scales_uv[:1]), grid.n_rows - 1
        else:
            rows = [grid.channel_at(0, row) for row in range(grid.n_rows)]
            shown = [channel for channel in rows if channel is not None]
            names_shown, first_row = [names[c] for c in shown], 0
            scales_shown = [scales_uv[c] for c in shown]
        if is_grid and len(set(scales_uv)) > 1:
            scales_shown = []  # each cell has its own: the cursor says which
        lane_px, cell_px = rect.height() / grid.n_rows, rect.width() / grid.n_columns
        left, right, bottom = (self.axes[side] for side in ("left", "right", "bottom"))
        left.set_ticks(lane_ticks(names_shown), rect.height())
        right.set_ticks(scale_ticks(scales_shown, lane_px, first_row), rect.height())
        bottom.set_ticks(time_ticks(window_s, cell_px), rect.width())
        in_cell = " in each cell" if is_grid else ""
        left.setLabel("Electrodes, as they lie" if is_grid else "Channel")
        right.setLabel(f"Potential{in_cell}", "µV")
        bottom.setLabel(f"Time before the right edge{in_cell}", "s")
        self._set_labels(image, names, palette.text)
        self.select(self._selected)

    def _set_labels(self, image: TraceImage, names: Sequence[str], colour: int) -> None:
        is_room = image.places.height >= MIN_LABEL_PX and image.places.width >= 2 * MIN_LABEL_PX
        shown = range(len(names)) if is_room and len(names) <= N_LABELS_MAX else ()
        if image.grid.n_columns == 1:
            shown = ()  # the axis names the lanes
        places = image.places
        low = places.height - LABEL_HEIGHT_PX
        labels = [(places.x[c] + 3.0, places.y[c] + low, names[c]) for c in shown]
        self.item.set_labels(labels, colour)

    def show_frame(self) -> None:
        """Paint the image as it is now."""
        if self._image is not None:
            self.item.show_image(self._image.pixels)

    def select(self, channel: int | None) -> None:
        """Frame a channel's cell."""
        self._selected = channel
        rect = None if channel is None else self._cell_rect(channel)
        self._selection.setVisible(rect is not None)
        if rect is not None:
            self._selection.setRect(rect)

    def _cell_rect(self, channel: int) -> QRectF | None:
        image = self._image
        if image is None or channel >= len(image.places.x) or image.places.x[channel] < 0:
            return None
        x, y = float(image.places.x[channel]), float(image.places.y[channel])
        ratio = self.devicePixelRatioF()
        width, height = float(image.places.width), float(image.places.height)
        return QRectF(x / ratio, y / ratio, width / ratio, height / ratio)

    def _pointed_at(self, scene_pos: QPointF) -> Pointed | None:
        at = self.view_box.mapFromScene(scene_pos) * self.devicePixelRatioF()
        if self._image is None or not self.view_box.sceneBoundingRect().contains(scene_pos):
            return None
        found = self._image.cell_at(at.x(), at.y())
        return None if found is None else Pointed(*found)

    def _moved(self, scene_pos: QPointF) -> None:
        pointed = self._pointed_at(scene_pos)
        self._cursor.setVisible(pointed is not None)
        if pointed is not None and self._image is not None:
            rect = self._cell_rect(pointed.channel) or QRectF()
            x = rect.left() + pointed.pixel / self.devicePixelRatioF()
            if self._image.grid.n_columns == 1:
                rect = self.view_box.rect()  # one time for all lanes: a line across channels
            self._cursor.setLine(x, rect.top(), x, rect.bottom())
        self.pointed.emit(pointed)

    def _leave(self) -> None:
        self._cursor.hide()
        self.pointed.emit(None)

    def _clicked(self, event: MouseClickEvent) -> None:
        pointed = self._pointed_at(event.scenePos())
        if pointed is not None:
            (self.double_clicked if event.double() else self.clicked).emit(pointed.channel)
