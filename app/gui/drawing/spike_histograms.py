"""Both histograms of the electrode or neuron that is selected, fed from the live feed."""

import numpy as np
import numpy.typing as npt
from PyQt6.QtWidgets import QHBoxLayout, QWidget

from app.console.feed import FeedFormat, Span, SpanKind
from app.core.detector_results import DetectionFlag
from app.gui.drawing.histogram_views import IntervalHistogram, StimulusHistogram
from app.gui.drawing.palette import DARK, Palette


class SpikeHistograms(QWidget):
    """Intervals at the left, spikes around this site's stimuli at the right.

    Give it `set_format`, what the feed brings, `set_now`, and `refresh` a few times a second.
    Counting begins when an electrode or a neuron is selected.
    """

    def __init__(self, palette: Palette = DARK) -> None:
        super().__init__()
        self.intervals = IntervalHistogram(palette)
        self.around_stimuli = StimulusHistogram(palette)
        self._format: FeedFormat | None = None
        self._channel: int | None = None
        self._neuron: int | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.intervals)
        row.addWidget(self.around_stimuli)

    # What the feed brings

    def set_format(self, feed_format: FeedFormat) -> None:
        """Begin with a source."""
        self._format = feed_format
        self._select(None, None, "")

    def add_spikes(self, records: npt.NDArray[np.void]) -> None:
        """Take detected spikes, `FEED_SPIKE`; other electrodes' and artefacts are passed over."""
        if self._channel is not None:
            is_spike = (records["flags"] & DetectionFlag.ARTEFACT) == 0
            self._add_times(records["time_ns"][is_spike & (records["channel"] == self._channel)])

    def add_events(self, records: npt.NDArray[np.void]) -> None:
        """Take events of neurons, `NEURON_EVENT`; those of other neurons are passed over."""
        if self._neuron is not None:
            self._add_times(records["time_ns"][records["neuron"] == self._neuron])

    def add_span(self, span: Span) -> None:
        """Take a stimulus of this site, or a gap, over which no interval is counted."""
        if span.kind == SpanKind.GAP and self._concerns(span):
            self.intervals.mark_gap()
        elif span.kind == SpanKind.STIMULUS:
            self.around_stimuli.add_stimuli(np.array([span.from_ns], np.int64))

    def set_now(self, now_ns: int) -> None:
        """Say up to which time of the site's clock the feed has told what happened."""
        self.around_stimuli.advance(now_ns)

    # What the operator chooses

    def select_channel(self, channel: int) -> None:
        """Count an electrode's spikes from now on."""
        if self._format is not None and 0 <= channel < self._format.n_channels:
            self._select(channel, None, self._format.channel_names[channel])

    def select_neuron(self, neuron: int) -> None:
        """Count a neuron's events from now on."""
        if self._format is None:
            return
        for number, site, name in self._format.neurons:
            if number == neuron:
                self._select(None, neuron, f"{site} {name}")

    def set_colours(self, palette: Palette) -> None:
        """Use a dark or a light palette."""
        for view in (self.intervals, self.around_stimuli):
            view.set_colours(palette)

    def refresh(self) -> None:
        """Draw what changed."""
        for view in (self.intervals, self.around_stimuli):
            view.refresh()

    def _add_times(self, time_ns: npt.NDArray[np.int64]) -> None:
        for view in (self.intervals, self.around_stimuli):
            view.add_times(time_ns)

    def _concerns(self, span: Span) -> bool:
        """Say whether events of what is selected may be missing."""
        if self._format is None:
            return False
        if self._channel is not None:
            return span.site in {"", self._format.site} and span.channel in {-1, self._channel}
        sites = {site for number, site, _ in self._format.neurons if number == self._neuron}
        return (span.site or self._format.site) in sites

    def _select(self, channel: int | None, neuron: int | None, name: str) -> None:
        if (channel, neuron) == (self._channel, self._neuron) and name:
            return
        self._channel, self._neuron = channel, neuron
        for view in (self.intervals, self.around_stimuli):
            view.set_source(name)
