"""The spike raster: every channel and every neuron of the experiment, live or scrolled back."""

import numpy as np
import numpy.typing as npt
from PyQt6.QtCore import QPointF, Qt, pyqtSignal
from PyQt6.QtGui import QKeyEvent, QWheelEvent
from PyQt6.QtWidgets import QVBoxLayout, QWidget
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent

from app.console.feed import FeedFormat, Span
from app.gui.drawing.history_scroll_bar import HistoryScrollBar
from app.gui.drawing.list_axis import MIN_TEXT_PX
from app.gui.drawing.palette import DARK, Palette
from app.gui.drawing.raster_controls import RasterControls
from app.gui.drawing.raster_data import RasterData
from app.gui.drawing.raster_image import RasterImage
from app.gui.drawing.raster_rows import TITLE_PX
from app.gui.drawing.scroll_canvas import ScrollCanvas
from app.gui.drawing.time_position import TimePosition
from app.gui.drawing.trace_axes import time_ticks
from app.gui.drawing.trace_data import NO_SOURCE
from app.gui.drawing.trace_text import state_text


class RasterView(QWidget):
    """Give it what the feed carries, `set_now` and `refresh` about 30 times a second.

    Rows are the channels of this site at the top, then the neurons, site by site. A red band is
    where events are declared missing. Space pauses; the wheel and the arrows scroll back.
    """

    channel_selected = pyqtSignal(int)
    neuron_selected = pyqtSignal(int)

    def __init__(self, palette: Palette = DARK) -> None:
        super().__init__()
        self._palette = palette
        self._data = RasterData(NO_SOURCE, 1)
        self._image: RasterImage | None = None
        self._position = TimePosition()
        self._pointed = ""
        self._silence = ""
        self._has_new_bands = False
        self.canvas = ScrollCanvas(("left", "bottom"))
        self.scroll_bar = HistoryScrollBar()
        self.controls = RasterControls()
        self._arrange()
        self._connect()
        self.set_colours(palette)

    def _arrange(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.controls)
        column.addWidget(self.canvas, 1)
        column.addWidget(self.scroll_bar)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.canvas.setFocusProxy(self)

    def _connect(self) -> None:
        self.controls.window_chosen.connect(self._restart_image)
        self.controls.pause_clicked.connect(self.toggle_pause)
        self.scroll_bar.moved.connect(self._scroll_to_ms)
        self.canvas.scene().sigMouseMoved.connect(self._move)
        self.canvas.scene().sigMouseClicked.connect(self._click)
        self.canvas.left.connect(lambda: self._point(""))

    # What the feed brings

    def set_format(self, feed_format: FeedFormat) -> None:
        """Begin with a feed; go on if rows and sites are the same."""
        old = self._data.format
        is_same = (old.site, old.channel_names, old.sites, old.neurons) == (
            feed_format.site,
            feed_format.channel_names,
            feed_format.sites,
            feed_format.neurons,
        )
        if not is_same:
            self._data = RasterData(feed_format)
            self._position.resume()
            self._show_legend()
            self._restart_image()

    def add_spikes(self, records: npt.NDArray[np.void]) -> None:
        """Take detected spikes of this site's channels, `FEED_SPIKE` records."""
        self._data.add_spikes(records)

    def add_events(self, records: npt.NDArray[np.void]) -> None:
        """Take events of neurons, here or at another site, `NEURON_EVENT` records."""
        self._data.add_events(records)

    def add_span(self, span: Span) -> None:
        """Take a declared gap; other spans are not for this view."""
        self._has_new_bands |= self._data.add_span(span)

    def set_now(self, now_ns: int) -> None:
        """Say up to which time of the site's clock the feed has told what happened."""
        if self._data.set_now(now_ns):
            self._position.resume()
            self._restart_image()

    def set_silence(self, silence: str) -> None:
        """Say in place of "live" why nothing new comes; empty while all is well."""
        self._silence = silence

    # What the operator chooses

    @property
    def is_live(self) -> bool:
        """Say whether the view follows what arrives."""
        return self._position.is_live

    @property
    def window_s(self) -> float:
        """Get the length of the window in seconds."""
        return self.controls.window_s

    def set_window(self, window_s: float) -> None:
        """Show another window, one of `raster_controls.WINDOWS_S`."""
        self.controls.set_window(window_s)

    def set_colours(self, palette: Palette) -> None:
        """Use a dark or a light palette."""
        self._palette = palette
        self.canvas.set_colours(palette)
        self._show_legend()
        self._restart_image()

    def toggle_pause(self) -> None:
        """Stop the picture, or follow the newest event again."""
        if self._position.is_live:
            self._position.pause(self._data.history.now_ns)
        else:
            self._position.resume()
        self.refresh()

    def move_in_time(self, windows: float) -> None:
        """Go later (positive) or earlier by a share of the window; this pauses."""
        history, window_ns = self._data.history, round(self.window_s * 1e9)
        step = round(windows * window_ns)
        self._position.move(step, history.oldest_ns, history.now_ns, window_ns)
        self.refresh()

    # Frames

    def refresh(self) -> None:
        """Draw what is new. Costs next to nothing while hidden or without news."""
        history = self._data.history
        if not self._data.rows.n_rows or not self.isVisible() or history.now_ns < 0:
            return
        width, height = self.canvas.size_px
        if self._image is None or self._image.size != (width, height):
            self._rebuild(width, height)
        if self._image is not None:
            if self._has_new_bands:
                self._image.set_bands(self._data.bands)
                self._has_new_bands = False
            if self._image.draw(history, self._position.end(history.now_ns)):
                self.canvas.item.show_image(self._image.pixels)
            self._show_state()

    def _restart_image(self) -> None:
        self._image = None

    def _rebuild(self, width: int, height: int) -> None:
        if width < 2 or height < 2:
            return
        data = self._data
        image = RasterImage(data.rows, width, height, self._palette, data.lut(self._palette))
        image.set_window(round(self.window_s * 1e9))
        image.set_bands(data.bands)
        self._image = image
        self._show_axes(image, width, height)

    def _show_axes(self, image: RasterImage, width: int, height: int) -> None:
        ratio = self.canvas.devicePixelRatioF()
        self.canvas.view_box.setRange(xRange=(0, 1), yRange=(0, height), padding=0)
        ticks, titles = [], []
        for group in image.rows.groups:
            top, bottom = image.lines_of(group.first, group.stop)
            pitch = (bottom - top) / len(group.names)
            every = max(1, int(np.ceil(MIN_TEXT_PX * ratio / pitch)))
            for row in range(group.first, group.stop, every):
                middle = image.places.y[row] + image.places.height[row] / 2
                ticks.append((float(middle), group.names[row - group.first]))
            if top >= TITLE_PX:
                titles.append((4.0, float(top - TITLE_PX), group.title))
        self.canvas.axes["left"].set_ticks(ticks)
        self.canvas.axes["left"].setLabel("Channel or neuron")
        self.canvas.axes["bottom"].set_ticks(time_ticks(self.window_s, width / ratio), width)
        self.canvas.axes["bottom"].setLabel("Time before the right edge", "s")
        self.canvas.item.set_labels(titles, self._palette.text)

    def _show_legend(self) -> None:
        colours = self._data.lut(self._palette)
        self.controls.show_legend(self._data.format.sites, colours, self._palette)

    def _show_state(self) -> None:
        history = self._data.history
        end = self._position.end(history.now_ns)
        text = state_text(self._position.is_live, (history.now_ns - end) * 1e-9, self._silence)
        if self._data.n_unknown:
            text += f"   {self._data.n_unknown} events of neurons that are not in the experiment"
        self.controls.show_state(text + self._pointed, is_live=self._position.is_live)
        window_ms = round(self.window_s * 1000)
        now_ms = history.now_ns // 1_000_000
        self.scroll_bar.follow(history.oldest_ns // 1_000_000, now_ms, end // 1_000_000, window_ms)

    # Mouse and keys

    def _scroll_to_ms(self, end_ms: int) -> None:
        shown_ns = self._position.end(self._data.history.now_ns)
        self.move_in_time((end_ms * 1_000_000 - shown_ns) * 1e-9 / self.window_s)

    def _row_at(self, scene_pos: QPointF) -> tuple[int, int] | None:
        """Return row and time under the mouse."""
        if self._image is None or not self.canvas.view_box.sceneBoundingRect().contains(scene_pos):
            return None
        at = self.canvas.view_box.mapFromScene(scene_pos) * self.canvas.devicePixelRatioF()
        row = self._image.row_at(at.y())
        return None if row is None else (row, self._image.time_at(at.x()))

    def _move(self, scene_pos: QPointF) -> None:
        found = self._row_at(scene_pos)
        if found is None:
            self._point("")
            return
        row, time_ns = found
        group = self._data.rows.group_of(row)
        end = self._position.end(self._data.history.now_ns)
        if group is not None:
            name = group.names[row - group.first]
            self._point(f"   {group.site} {name} at {(time_ns - end) * 1e-9:.3f} s")

    def _point(self, text: str) -> None:
        self._pointed = text
        self._show_state()

    def _click(self, event: MouseClickEvent) -> None:
        self.setFocus()
        found = self._row_at(event.scenePos())
        if found is None:
            return
        group = self._data.rows.group_of(found[0])
        if group is not None and group.is_channels:
            self.channel_selected.emit(found[0])
        elif group is not None:
            by_row = {row: neuron for neuron, row in self._data.rows.neuron_rows.items()}
            self.neuron_selected.emit(by_row[found[0]])

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Obey Space, arrows, End, plus and minus."""
        if event is None:
            return
        match event.key():
            case Qt.Key.Key_Space:
                self.toggle_pause()
            case Qt.Key.Key_Left:
                self.move_in_time(-0.1)
            case Qt.Key.Key_Right:
                self.move_in_time(0.1)
            case Qt.Key.Key_End:
                self._position.resume()
                self.refresh()
            case Qt.Key.Key_Plus | Qt.Key.Key_Equal:
                self.controls.step_window(-1)
            case Qt.Key.Key_Minus:
                self.controls.step_window(1)
            case _:
                super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Scroll back and forth in time."""
        if event is not None:
            self.move_in_time(-event.angleDelta().y() / 1200)
