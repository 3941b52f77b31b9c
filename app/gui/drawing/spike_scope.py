"""The spike scope: overlaid snippets of one electrode, and its threshold as a line to drag."""

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import pyqtSignal
from PyQt6.QtGui import QColor, QPen
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.console.feed import ChannelStates, FeedFormat, Snippets
from app.gui.drawing.audio_monitor import AudioMonitor
from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.drawing.palette import DARK, Palette
from app.gui.drawing.plot_colours import new_plot, paint_plot
from app.gui.drawing.snippet_store import SnippetStore
from app.gui.drawing.threshold_lines import SIGNS, ThresholdLines
from app.gui.drawing.threshold_request import ThresholdRequest, request_of
from app.gui.drawing.trace_settings import SCALES_UV, round_up_125

N_SHOWN = (20, 50, 100, 200)
N_SIGMA = (3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0)
OLD_ALPHA = 140


class SpikeScope(QWidget):
    """Give it `set_format`, `set_polarity`, `select_channel`, `add_snippets`, `set_states`.

    Call `refresh` to have it drawn. The line is where the engine says its threshold is, on the side
    of zero on which detection looks. Dragging it asks for another threshold by
    `threshold_requested`; it is dashed until `set_states` brings what was asked for, or
    `show_applied` or `show_refusal` tell the engine's answer.
    """

    threshold_requested = pyqtSignal(object)
    """A `ThresholdRequest`."""

    def __init__(self, palette: Palette = DARK) -> None:
        super().__init__()
        self._palette = palette
        self._format: FeedFormat | None = None
        self._states: ChannelStates | None = None
        self._channel: int | None = None
        self._asked: ThresholdRequest | None = None
        self._store = SnippetStore()
        self._n_drawn = -1
        self.plot = new_plot("Time from the trough", "ms", "Potential, filtered", "µV")
        self._old, self._new = pg.PlotCurveItem(), pg.PlotCurveItem()
        for item in (self._old, self._new):
            self.plot.addItem(item)
        self.lines = ThresholdLines(self.plot)
        self._sign = ""
        self.scope_choice = self._combo(
            [("this electrode", False), ("all electrodes", True)],
            "whose threshold the line and the choice of σ change",
        )
        self.unit_choice = self._combo(
            [("in σ", True), ("in µV", False)],
            "σ: a multiple of the electrode's own noise, which follows it; µV: a fixed potential",
        )
        self.sigma_choice = self._combo(
            [("set to ...", None), *(("", k) for k in N_SIGMA)],
            "set the threshold to this multiple of the noise",
        )
        self.scale_choice = self._combo(
            [("fits", None), *((f"±{s:g} µV", s) for s in SCALES_UV)],
            "scale; fits: as wide as the widest spike and the threshold since the selection",
        )
        self._widest_uv = 0.0
        self.n_choice = self._combo(
            [(f"{n} newest", n) for n in N_SHOWN], "how many snippets are shown, the newest ones"
        )
        self.n_choice.setCurrentIndex(N_SHOWN.index(50))
        self.audio = AudioMonitor()
        self.title, self.answer = QLabel("Select an electrode"), QLabel()
        self.answer.setWordWrap(True)
        self.title.setToolTip("The electrode that is selected, and its spikes since then")
        self.answer.setToolTip("What became of a threshold that was asked for")
        self._arrange()
        self._connect()
        self.set_polarity("neg")
        self.set_colours(palette)
        self._show_threshold()

    def _combo(self, choices: list[tuple[str, object]], tip: str) -> CalmComboBox:
        combo = CalmComboBox()
        combo.setToolTip(tip)
        for text, value in choices:
            combo.addItem(text, value)
        return combo

    def _arrange(self) -> None:
        top, bottom = QHBoxLayout(), QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.scale_choice)
        top.addWidget(self.n_choice)
        threshold = QLabel("Threshold of")
        threshold.setToolTip("Beyond this potential a deflection counts as a spike")
        bottom.addWidget(threshold)
        for combo in (self.scope_choice, self.unit_choice, self.sigma_choice):
            bottom.addWidget(combo)
        bottom.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 2, 6, 2)
        column.addLayout(top)
        column.addWidget(self.plot, 1)
        column.addLayout(bottom)
        column.addWidget(self.answer)
        column.addWidget(self.audio)

    def _connect(self) -> None:
        self.lines.dropped.connect(self._drop)
        self.sigma_choice.activated.connect(self._choose_sigma)
        self.scale_choice.activated.connect(self._rescale)
        self.n_choice.activated.connect(self._redraw)

    # What the feed brings

    def set_format(self, feed_format: FeedFormat) -> None:
        """Begin with a source."""
        self._format, self._states, self._channel = feed_format, None, None
        self._store.clear()
        self.audio.set_format(feed_format)
        self.title.setText("Select an electrode")
        self._forget_asked("")

    def set_polarity(self, polarity: str) -> None:
        """Take the side of zero on which detection looks for spikes: `neg`, `pos` or `both`."""
        self._sign = SIGNS[polarity]
        self.lines.set_polarity(polarity)
        for index, n_sigma in enumerate(N_SIGMA, start=1):
            self.sigma_choice.setItemText(index, f"{self._sign}{n_sigma:g} σ")
        extremum = {"neg": "trough", "pos": "peak", "both": "trough or peak"}[polarity]
        self.plot.setLabel("bottom", f"Time from the {extremum}", "ms")

    def select_channel(self, channel: int) -> None:
        """Show another electrode."""
        if self._format is None or not 0 <= channel < self._format.n_channels:
            return
        if channel != self._channel:
            self._channel = channel
            self.audio.select_channel(channel)
            self._store.clear()
            self._widest_uv = 0.0
            self._forget_asked("")
        self._redraw()

    def add_snippets(self, snippets: Snippets) -> None:
        """Take snippets; those of other electrodes are passed over."""
        self.audio.add_snippets(snippets)
        is_ours = snippets.records["channel"] == self._channel
        if self._channel is not None and is_ours.any():
            self._store.add(snippets.samples_uv[is_ours], snippets.n_before)

    def set_states(self, states: ChannelStates) -> None:
        """Show the thresholds that the engine has."""
        self._states = states
        if not self._store.n_total:
            self._rescale()  # there is only the threshold to go by
        if self._asked is not None and self._asked.is_met(self.threshold_uv, self.sigma_uv):
            self._forget_asked("")
        self._show_threshold()

    def show_applied(self) -> None:
        """Believe the engine's word that it took the threshold, before its next states say so."""
        self._forget_asked("")

    def show_refusal(self, text: str) -> None:
        """Put the line back to the engine's threshold and say why."""
        self._forget_asked(f"Refused: {text}")

    def set_colours(self, palette: Palette) -> None:
        """Use a dark or a light palette."""
        self._palette = palette
        paint_plot(self.plot, palette)
        old = QColor.fromRgba(palette.trace)
        old.setAlpha(OLD_ALPHA)
        self._old.setPen(QPen(old, 0))
        self._new.setPen(QPen(QColor.fromRgba(palette.spike), 0))
        self.lines.set_colours(palette)
        self._show_threshold()

    def refresh(self) -> None:
        """Draw new snippets and go on sounding; ten times a second is enough."""
        self.audio.refresh()
        if self.isVisible() and self._store.n_total != self._n_drawn:
            self._redraw()

    # Drawing

    def _redraw(self) -> None:
        if self._format is None:
            return
        n, rate_hz = self.n_choice.currentData(), self._format.sample_rate_hz
        x, y, is_joined = self._store.as_curve(n, rate_hz)
        self._old.setData(x, y, connect=is_joined)
        x, y, is_joined = self._store.as_curve(1, rate_hz)
        self._new.setData(x, y, connect=is_joined)
        self._n_drawn = self._store.n_total
        if len(x):
            self.plot.setXRange(x[0], x[-1], padding=0)
        if self._channel is not None:
            name = self._format.channel_names[self._channel]
            self.title.setText(f"{name}: {self._store.n_total} spikes since it was selected")
        self._rescale()
        self._show_threshold()

    def _rescale(self) -> None:
        scale_uv = self.scale_choice.currentData()
        if scale_uv is None:
            threshold_uv = np.nan_to_num(self.threshold_uv, nan=0.0)
            spike_uv = self._store.largest_uv(self.n_choice.currentData())
            widest_uv = max(1.1 * spike_uv, 1.5 * float(threshold_uv))
            self._widest_uv = max(self._widest_uv, widest_uv)  # it never jumps back by itself
            scale_uv = round_up_125(self._widest_uv)
        self.plot.setYRange(-scale_uv, scale_uv, padding=0)

    # The threshold

    @property
    def channel(self) -> int | None:
        """Get the shown electrode."""
        return self._channel

    @property
    def sigma_uv(self) -> float:
        """Get the noise of the shown electrode; nan while it is not known."""
        return self._state("sigma_uv")

    @property
    def threshold_uv(self) -> float:
        """Get the magnitude of the engine's threshold; nan while it is not known."""
        return self._state("threshold_uv")

    def _state(self, field: str) -> float:
        if self._states is None or self._channel is None:
            return float("nan")
        values = getattr(self._states, field)
        return float(values[self._channel]) if self._channel < len(values) else float("nan")

    def _show_threshold(self) -> None:
        """Put the line where the engine's threshold is, unless the operator holds another one."""
        is_known = bool(np.isfinite(self.threshold_uv))
        for choice in (self.sigma_choice, self.scope_choice, self.unit_choice):
            choice.setEnabled(is_known)
        self.lines.set_sigma(self.sigma_uv)
        if not is_known or not self.lines.is_held:
            self.lines.confirm(self.threshold_uv)

    def _drop(self, dropped_uv: float) -> None:
        in_sigma = bool(self.unit_choice.currentData())
        request = request_of(dropped_uv, self._scope(), self.sigma_uv, in_sigma=in_sigma)
        if request is None:
            self._forget_asked("The noise of this electrode is not known: choose µV")
        else:
            self._ask(request)

    def _choose_sigma(self) -> None:
        n_sigma = self.sigma_choice.currentData()
        self.sigma_choice.setCurrentIndex(0)
        if n_sigma is not None:
            self._ask(ThresholdRequest(self._scope(), n_sigma=n_sigma))

    def _scope(self) -> int | None:
        return None if self.scope_choice.currentData() else self._channel

    def _ask(self, request: ThresholdRequest) -> None:
        if self._channel is None or self._format is None:
            return
        self._asked = request
        self.lines.ask(request.magnitude_uv(self.sigma_uv))
        name = self._format.channel_names[self._channel]
        self.answer.setText("Asked for " + request.text(name, self._sign))
        self.threshold_requested.emit(request)

    def _forget_asked(self, answer: str) -> None:
        self._asked = None
        self.answer.setText(answer)
        self.lines.confirm(self.threshold_uv)
        self._show_threshold()
