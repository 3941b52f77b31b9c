"""The trace view: all channels of the amplifier, live or scrolled back."""

import dataclasses

import numpy as np
import numpy.typing as npt
from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QKeyEvent, QWheelEvent
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from app.console.feed import ChannelCondition, ChannelStates, EnvelopeBatch, FeedFormat, Span
from app.gui.drawing.cell_grid import CellGrid, electrode_cells, lanes
from app.gui.drawing.column_history import DEFAULT_BYTES, ColumnHistory
from app.gui.drawing.history_scroll_bar import HistoryScrollBar
from app.gui.drawing.palette import DARK, Palette
from app.gui.drawing.time_position import TimePosition
from app.gui.drawing.trace_canvas import Pointed, TraceCanvas
from app.gui.drawing.trace_controls import TraceControls
from app.gui.drawing.trace_data import NO_SOURCE, TraceData
from app.gui.drawing.trace_image import TraceImage
from app.gui.drawing.trace_keys import change_for
from app.gui.drawing.trace_scales import COMMON_UV, TraceScales
from app.gui.drawing.trace_settings import TraceSettings
from app.gui.drawing.trace_text import pointed_text, state_text

MIN_LANE_PX = 3
SETTLED = {ChannelCondition.GOOD, ChannelCondition.UNKNOWN}


class TraceView(QWidget):
    """Give it what the feed carries, and call `refresh` about 30 times a second.

    `set_format` comes first; before it, and without an amplifier, the view is empty. Nothing is
    drawn by the `add_` methods, so any number of batches may come between two frames. Space
    pauses, the arrows scroll and scale, `trace_keys.KEYS` lists all keys.
    """

    channel_selected = pyqtSignal(int)
    settings_changed = pyqtSignal(object)
    """A `TraceSettings`; its `is_filtered` says which columns the engine should send."""

    def __init__(self, palette: Palette = DARK, n_bytes: int = DEFAULT_BYTES) -> None:
        super().__init__()
        self._palette = palette
        self._n_bytes = n_bytes
        self._data = TraceData(NO_SOURCE)
        self._image: TraceImage | None = None
        self._settings = TraceSettings()
        self._position = TimePosition()
        self._alone: int | None = None
        self._scales = TraceScales(0)
        self._selected: int | None = None
        self._is_muted = np.empty(0, np.bool_)
        self._pointed: Pointed | None = None
        self._silence = ""
        self._shown_end = -1
        self.canvas, self.controls = TraceCanvas(), TraceControls()
        self.scroll_bar = HistoryScrollBar()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (self.controls, self.canvas, self.scroll_bar):
            column.addWidget(widget)
        column.setStretchFactor(self.canvas, 1)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.canvas.setFocusProxy(self)
        self._connect()
        self.set_colours(palette)
        self.controls.show_settings(self._settings)

    def _connect(self) -> None:
        self.canvas.pointed.connect(self._point)
        self.canvas.clicked.connect(self.select_channel)
        self.canvas.double_clicked.connect(self._show_alone)
        self.controls.settings_wanted.connect(self._choose)
        self.controls.pause_clicked.connect(self.toggle_pause)
        self.controls.fit_clicked.connect(self.fit_scales)
        self.scroll_bar.moved.connect(self._scroll_to)

    # What the feed brings

    def set_format(self, feed_format: FeedFormat) -> None:
        """Begin with a source, or go on with it after a reattachment if it is the same."""
        if self._data.fits(feed_format):
            self._data.format = feed_format
        else:
            n = feed_format.n_channels
            self._data = TraceData(feed_format, self._n_bytes)
            self._scales, self._selected = TraceScales(n), None
            self.canvas.select(None)
            self._is_muted = np.zeros(n, np.bool_)
            self._position.resume()
        self._rebuild_later()

    def add_columns(self, batch: EnvelopeBatch) -> None:
        """Take envelope columns, filtered or raw."""
        changed = self._data.add_columns(batch)
        if batch.is_filtered == self._settings.is_filtered:
            self._invalidate(changed)

    def add_spikes(self, records: npt.NDArray[np.void]) -> None:
        """Mark detected spikes, `FEED_SPIKE` records."""
        self._invalidate(self._data.add_spikes(records))

    def add_span(self, span: Span) -> None:
        """Shade a gap, a stimulus or a blanking; one of another site's is not for this view."""
        self._invalidate(self._data.add_span(span))

    def set_states(self, states: ChannelStates) -> None:
        """Paint channels without detection in a muted colour."""
        is_muted = ~np.isin(states.condition, [int(c) for c in SETTLED])
        if len(is_muted) == len(self._is_muted) and (is_muted != self._is_muted).any():
            self._is_muted = is_muted
            self._paint_channels()

    @property
    def newest_ns(self) -> int | None:
        """Get the site time at the end of the newest column; None: none has come."""
        return self._data.newest_ns

    def set_silence(self, silence: str) -> None:
        """Say in place of "live" why nothing new comes; empty while all is well."""
        self._silence = silence

    # What the operator chooses

    @property
    def settings(self) -> TraceSettings:
        """Get what is set now."""
        return self._settings

    @property
    def is_live(self) -> bool:
        """Say whether the view follows what arrives."""
        return self._position.is_live

    def set_settings(self, settings: TraceSettings) -> None:
        """Show traces differently; announced by `settings_changed` if it is a change."""
        if settings == self._settings:
            return
        self._settings = settings
        self.controls.show_settings(settings)
        self._rebuild_later()
        self.settings_changed.emit(settings)

    def set_colours(self, palette: Palette) -> None:
        """Use a dark or a light palette."""
        self._palette = palette
        self.canvas.set_colours(palette)
        self._rebuild_later()

    def select_channel(self, channel: int) -> None:
        """Frame a channel, and say so by `channel_selected`."""
        self.show_selected(channel)
        self.setFocus()
        self.channel_selected.emit(channel)

    def show_selected(self, channel: int) -> None:
        """Frame a channel that was selected elsewhere."""
        if 0 <= channel < self._data.format.n_channels:
            self._selected = channel
            self.canvas.select(channel)

    def toggle_pause(self) -> None:
        """Stop the picture, or follow the newest column again."""
        if self._position.is_live:
            self._position.pause(self._history.end)
        else:
            self._position.resume()
        self.refresh()

    def move_in_time(self, windows: float) -> None:
        """Go later (positive) or earlier by a share of the window; this pauses."""
        n_window = self._data.n_columns(self._settings.window_s)
        history = self._history
        step = round(windows * n_window)
        self._position.move(step, history.begin, history.end, n_window)
        self.refresh()

    def go_live(self) -> None:
        """Follow the newest column."""
        self._position.resume()
        self.refresh()

    def turn_page(self, n_pages: int) -> None:
        """Show later (positive) or earlier lanes."""
        n_channels = self._data.format.n_channels
        n_lanes = self._n_lanes(self.canvas.size_px[1])
        self.set_settings(self._settings.with_page(n_pages, n_channels, n_lanes))

    def show_all(self) -> None:
        """Leave the view of a single channel."""
        self._alone = None
        self._rebuild_later()

    def fit_scales(self) -> None:
        """Give each channel a scale of its own, by what is on the screen; again: a common one."""
        is_own = not self._settings.is_scale_per_channel
        if is_own:
            end = self._position.end(self._history.end)
            start = end - self._data.n_columns(self._settings.window_s)
            peaks = self._history.peaks(start, end).astype(np.float64)
            self._scales.fit(peaks * self._data.format.microvolts_per_count)
        self._set_scale_kind(is_own=is_own)

    def scale_selected(self, n_steps: int) -> None:
        """Give the selected channel a wider (positive) or narrower scale than the others have."""
        if self._selected is not None:
            self._scales.step_one(self._selected, n_steps, self._settings)
            self._set_scale_kind(is_own=True)
            self._rebuild_later()

    def _set_scale_kind(self, *, is_own: bool) -> None:
        scale_uv = COMMON_UV if is_own else self._settings.scale_uv
        self.set_settings(
            dataclasses.replace(self._settings, is_scale_per_channel=is_own, scale_uv=scale_uv)
        )

    # Frames

    def refresh(self) -> None:
        """Draw what is new. Costs next to nothing while hidden, paused or without news."""
        if not self._data.format.n_channels or not self.isVisible():
            return
        width, height = self.canvas.size_px
        if self._image is None or self._image.size != (width, height):
            self._rebuild(width, height)
        if self._image is None:
            return
        history = self._history
        end = self._position.end(history.end)
        if self._image.draw(history, end) or end != self._shown_end:
            self.canvas.show_frame()
        self._shown_end = end
        self._show_state()

    @property
    def _history(self) -> ColumnHistory:
        return self._data.history(self._settings.is_filtered)

    def _invalidate(self, column: int | None) -> None:
        if self._image is not None and column is not None:
            self._image.invalidate(column)

    def _rebuild_later(self) -> None:
        self._image = None

    def _grid(self, height: int) -> CellGrid:
        feed_format, settings = self._data.format, self._settings
        if self._alone is not None and self._alone < feed_format.n_channels:
            return lanes(feed_format.n_channels, self._alone, 1)
        if settings.is_grid:
            return electrode_cells(feed_format.position_um)
        n_lanes = self._n_lanes(height)
        first = min(settings.first_lane, feed_format.n_channels - n_lanes)
        return lanes(feed_format.n_channels, first, n_lanes)

    def _n_lanes(self, height: int) -> int:
        """Return how many lanes there are on a page of so many pixels."""
        n_that_fit = max(1, height // MIN_LANE_PX)
        return max(1, min(self._settings.n_lanes, self._data.format.n_channels, n_that_fit))

    def _rebuild(self, width: int, height: int) -> None:
        grid = self._grid(height)
        if width < 2 * grid.n_columns or height < grid.n_rows:
            return
        feed_format, scales_uv = self._data.format, self._scales.uv(self._settings)
        image = TraceImage(grid, width, height, self._palette)
        image.set_window(self._data.n_columns(self._settings.window_s))
        image.set_scale(scales_uv / feed_format.microvolts_per_count)
        self._image = image
        self._paint_channels()
        self.canvas.arrange(
            image,
            feed_format.channel_names,
            scales_uv.tolist(),
            self._settings.window_s,
            self._palette,
        )

    def _paint_channels(self) -> None:
        if self._image is not None:
            colours = np.where(self._is_muted, self._palette.muted, self._palette.trace)
            self._image.set_trace_colours(colours.astype(np.uint32))

    # Mouse and keys

    def _point(self, pointed: Pointed | None) -> None:
        self._pointed = pointed
        self._show_state()

    def _show_state(self) -> None:
        history = self._history
        behind_s = (history.end - self._position.end(history.end)) * self._data.format.column_s
        text = state_text(self._position.is_live, behind_s, self._silence)
        span = None
        if self._pointed is not None and self._image is not None:
            span = self._image.columns_at(self._pointed.pixel)
        if self._pointed is not None and span is not None:
            right_edge = self._position.end(history.end)
            text += pointed_text(self._data, history, self._pointed.channel, span, right_edge)
        is_calm = self._position.is_live and not self._silence
        self.controls.show_state(text, self._position.is_live, is_calm=is_calm)
        n_window = self._data.n_columns(self._settings.window_s)
        shown = self._position.end(history.end)
        self.scroll_bar.follow(history.begin, history.end, shown, n_window)

    def _scroll_to(self, end: int) -> None:
        shown = self._position.end(self._history.end)
        self.move_in_time((end - shown) / self._data.n_columns(self._settings.window_s))

    def _show_alone(self, channel: int) -> None:
        self._alone = None if self._alone == channel else channel
        self._rebuild_later()

    def _choose(self, settings: TraceSettings) -> None:
        self.setFocus()
        self.set_settings(settings)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Obey the keys of `trace_keys`."""
        if event is None:
            return
        change = change_for(event)
        if change is None:
            super().keyPressEvent(event)
        else:
            change(self)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Scroll back and forth in time."""
        if event is not None:
            self.move_in_time(-event.angleDelta().y() / 1200)
