"""What the amplifier and the neurons do: the drawing views, fed from the engine's live feed."""

from collections.abc import Callable, Iterable
from typing import Any

from PyQt6.QtWidgets import QWidget

from app.console.feed import (
    ChannelStates,
    EnvelopeBatch,
    FeedFormat,
    NeuronEvents,
    Snippets,
    Span,
    SpikeMarks,
)
from app.console.messages import Reply
from app.gui.drawing.palette import palette_named
from app.gui.drawing.raster_view import RasterView
from app.gui.drawing.rate_map import RateMap
from app.gui.drawing.spike_histograms import SpikeHistograms
from app.gui.drawing.spike_scope import SpikeScope
from app.gui.drawing.threshold_request import ThresholdRequest
from app.gui.drawing.trace_view import TraceView
from app.gui.engine_link import EngineLink
from app.gui.faults import shielded
from app.gui.numbers import duration
from app.gui.theme import Theme

FEED_DELAY_NS = 60_000_000
"""The feed tells within this time what happened: one display frame and detection's look-ahead."""
FRAMES_PER_SCOPE = 3
MAX_AGE_NS = 1_000_000_000
"""A newest column that is older than this is not called live."""
NOT_HEARD = "NOT LIVE: the engine is not heard"


class SignalPanels:
    """Hands each feed item to the views that draw it, and has them draw once a frame.

    An electrode that is chosen in one view is chosen in all.
    """

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        self._link = link
        palette = palette_named(theme.name)
        self.traces = _named(
            TraceView(palette),
            "Traces",
            "The voltage of every electrode, newest at the right, in microvolts. Spikes are "
            "marked; stimulation is shaded; a red band says that samples are missing.",
        )
        self.raster = _named(
            RasterView(palette),
            "Raster",
            "Every spike as a dot: electrodes above, then the neurons of all sites. A red band "
            "says that events are declared missing: nobody knows what happened there.",
        )
        self.rates = _named(
            RateMap(palette),
            "Rates",
            "How often each electrode fires, where it lies on the array. Spikes per second, over "
            "the last seconds.",
        )
        self.scope = _named(
            SpikeScope(palette),
            "Spike scope",
            "The last spikes of one electrode, one above the other. Drag the line to move the "
            "threshold that makes a deflection a spike.",
        )
        self.histograms = _named(
            SpikeHistograms(palette),
            "Intervals",
            "Left: the times between the spikes of the electrode or neuron that is selected. "
            "Right: how often it fires before and after this site's stimuli.",
        )
        self.amplifier_widgets: tuple[QWidget, ...] = (self.traces, self.rates, self.scope)
        self.widgets: tuple[QWidget, ...] = (
            self.traces, self.raster, self.rates, self.scope, self.histograms,
        )  # fmt: skip
        self._format: FeedFormat | None = None
        self._n_frames = 0
        for view in (self.traces, self.raster, self.rates):
            view.channel_selected.connect(self.select_channel)
        self.raster.neuron_selected.connect(self.histograms.select_neuron)
        self.scope.threshold_requested.connect(self._ask_threshold)
        self.traces.settings_changed.connect(self._ask_columns)
        link.attached.connect(self._ask_columns)
        link.described.connect(self._described)
        link.detached.connect(self._detached)

    def select_channel(self, channel: int) -> None:
        """Show one electrode in every view that can."""
        self.traces.show_selected(channel)
        self.rates.select_channel(channel)
        self.scope.select_channel(channel)
        self.histograms.select_channel(channel)
        self._ask_columns()

    def take(self, arrival: object) -> None:
        """Hand on one feed item; nothing is drawn yet."""
        traces, raster, histograms = self.traces, self.raster, self.histograms
        match arrival:
            case EnvelopeBatch():
                _each((traces.add_columns,), arrival)
            case SpikeMarks():
                adds = (traces.add_spikes, raster.add_spikes, histograms.add_spikes)
                _each(adds, arrival.records)
            case NeuronEvents():
                _each((raster.add_events, histograms.add_events), arrival.records)
            case Snippets():
                _each((self.scope.add_snippets,), arrival)
            case Span():
                _each((traces.add_span, raster.add_span, histograms.add_span), arrival)
            case ChannelStates():
                _each((view.set_states for view in (traces, self.rates, self.scope)), arrival)
            case FeedFormat():
                self._begin(arrival)

    def show_frame(self) -> None:
        """Draw what is new."""
        self._n_frames += 1
        now_ns = self._link.site_now_ns
        if now_ns is not None:
            _each((self.raster.set_now, self.histograms.set_now), now_ns - FEED_DELAY_NS)
        self.traces.set_silence(_silence(now_ns, self.traces.newest_ns))
        self.raster.set_silence("" if now_ns is not None else NOT_HEARD)
        _each((self.traces.refresh, self.raster.refresh))
        if self._n_frames % FRAMES_PER_SCOPE == 0:
            _each((self.scope.refresh, self.histograms.refresh))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for view in (self.traces, self.raster, self.rates, self.scope, self.histograms):
            view.set_colours(palette_named(theme.name))

    def _begin(self, feed_format: FeedFormat) -> None:
        self._format = feed_format
        views = (self.traces, self.raster, self.rates, self.scope, self.histograms)
        _each((view.set_format for view in views), feed_format)
        if feed_format.channel_names:
            self.select_channel(0)

    def _described(self, description: dict[str, Any]) -> None:
        for amplifier in description["amplifiers"]:  # a site has one, or none
            self.scope.set_polarity(amplifier["detection"]["polarity"])

    def _detached(self, _reason: str) -> None:
        for view in (self.traces, self.raster):
            view.set_silence(NOT_HEARD)
            shielded(view.refresh)

    def _ask_columns(self, _settings: object = None) -> None:
        channel = self.scope.channel
        self._link.call("show", is_filtered=self.traces.settings.is_filtered, channel=channel)

    def _ask_threshold(self, request: ThresholdRequest) -> None:
        feed_format = self._format
        if feed_format is None:
            return
        channel = None if request.channel is None else feed_format.channel_names[request.channel]
        self._link.call(
            "threshold",
            self._threshold_answered,
            channel=channel,
            sigma=request.n_sigma,
            microvolts=request.threshold_uv,
        )

    def _threshold_answered(self, reply: Reply) -> None:
        if reply.is_ok:
            self.scope.show_applied()
        else:
            self.scope.show_refusal(reply.error)


def _silence(now_ns: int | None, newest_ns: int | None) -> str:
    """Return why traces that end at `newest_ns` are not live; empty: they are."""
    if now_ns is None:
        return NOT_HEARD
    if newest_ns is None:
        return "NO SAMPLES yet"
    age_ns = now_ns - newest_ns
    return "" if age_ns <= MAX_AGE_NS else f"NO SAMPLES for {duration(age_ns / 1e9)}"


def _each(calls: Iterable[Callable[..., object]], *arguments: object) -> None:
    """Call each; a view that fails takes no other with it."""
    for call in calls:
        shielded(call, *arguments)


def _named(view: Any, title: str, explanation: str) -> Any:
    view.setWindowTitle(title)
    view.setWhatsThis(explanation)
    return view
