"""From what an engine's threads produce to what its consoles are shown."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from app.bridge.events import GapDeclared, LinkEvent, OffsetKnown, SpikesReceived
from app.console.column_kernel import warm_up
from app.console.feed import FEED_SNIPPET, FEED_SPIKE, NEURON_EVENT, Span, SpanKind
from app.console.live_feed import LiveFeed
from app.core.acquisition import Acquisition
from app.core.clock import ClockNs
from app.core.detector_results import DetectedSpikeRecords
from app.core.sample_clock import ClockMapping
from app.core.signal_view import SpikeDetails
from app.core.spikes import SpikeBatch, SpikeRecords
from app.engine.channel_view import ChannelView
from app.engine.row_words import happening_of
from app.recording.rows import Row
from drivers.mea.protocol import SampleBlock

LATE = 1
"""Flag of a neuron's event that was sent again, and so moved nothing."""


class Showing:
    """Fills a `LiveFeed`. Each method is called by the thread that makes what it takes."""

    def __init__(
        self,
        feed: LiveFeed,
        site_index: Mapping[str, int],
        clock_ns: ClockNs,
        *,
        blank_after_s: float = 0.0,
    ) -> None:
        self.feed = feed
        self._sites = dict(site_index)
        self._clock_ns = clock_ns
        self._blank_ns = round(blank_after_s * 1e9)
        self._mapping: ClockMapping | None = None
        self._offset_ns: dict[str, int] = {}
        self._last_frame_ns: dict[str, int] = {}

    def watch_detection(self, acquisition: Acquisition) -> None:
        """Show what this amplifier's detection makes of its channels; before anything runs."""
        warm_up()
        self.feed.set_envelopes(acquisition.envelopes)
        view = ChannelView(
            lambda: acquisition.detector_status, self.feed.show_channels, self._clock_ns
        )
        self.feed.refresh = view.refresh

    # --- the acquisition thread ---------------------------------------------------------------

    def mapping(self, mapping: ClockMapping) -> None:
        """Take a new relation of samples to time."""
        self._mapping = mapping
        self.feed.time_of = partial(_time_ns, mapping)

    def block(self, block: SampleBlock) -> None:
        """Take the stimuli that a block shows, pulse by pulse."""
        marks = (*block.stimuli, *block.repeats)
        if marks and self._mapping is not None:
            starts = {mark.sample_index for mark in marks}
            for start in sorted(starts):
                from_ns = _time_ns(self._mapping, start)
                span = Span(SpanKind.STIMULUS, from_ns, from_ns + self._blank_ns)
                self.feed.shade(span)

    def detected(self, spikes: DetectedSpikeRecords) -> None:
        """Take what detection found, on every channel."""
        mapping = self._mapping
        if mapping is None or not len(spikes):
            return
        records = np.zeros(len(spikes), FEED_SPIKE)
        records["time_ns"] = _times_ns(mapping, spikes["sample_index"])
        for name in ("sample_index", "channel", "amplitude_uv", "flags"):
            records[name] = spikes[name]
        self.feed.spikes.append(records)

    def details(self, details: SpikeDetails) -> None:
        """Take the surroundings of spikes, which follow them."""
        mapping = self._mapping
        if mapping is None or not self.feed.n_watchers:
            return
        records, snippets_uv = details.records, details.snippets_uv
        if self.feed.snippet_channels is not None:
            is_wanted = self.feed.snippet_channels[records["channel"]]
            if not is_wanted.any():
                return
            records, snippets_uv = records[is_wanted], snippets_uv[is_wanted]
        marks = np.zeros(len(records), FEED_SNIPPET)
        marks["sample_index"] = records["trough_index"]
        marks["channel"] = records["channel"]
        marks["time_ns"] = _times_ns(mapping, records["trough_index"])
        self.feed.offer_snippets(marks, snippets_uv, details.n_before)

    def sample_gap(self, first_sample: int, n_lost: int) -> None:
        """Take a gap in the samples; -1: of unknown length, and the clock begins anew."""
        now_ns = self._clock_ns()
        to_ns = now_ns if self._mapping is None else _time_ns(self._mapping, first_sample)
        from_ns = to_ns
        if n_lost < 0:
            self._mapping = self.feed.time_of = None
            text = "the sample counter began anew"
        else:
            text = f"{n_lost} samples lost"
            if self._mapping is not None:
                from_ns = _time_ns(self._mapping, first_sample - n_lost)
        self.feed.shade(Span(SpanKind.GAP, from_ns, to_ns, text=text))

    # --- streams and links --------------------------------------------------------------------

    def own_events(self, site: str, batch: SpikeBatch) -> None:
        """Take events of this site's own neurons."""
        self._events(site, batch.records, 0, 0)

    def link_event(self, event: LinkEvent) -> None:
        """Take what a link said."""
        match event:
            case SpikesReceived():
                offset_ns = self._offset_ns.get(event.site, 0)
                flags = LATE if event.is_resend else 0
                self._last_frame_ns[event.site] = event.received_ns
                self._events(event.site, event.batch.records, -offset_ns, flags)
            case OffsetKnown():
                self._offset_ns[event.site] = event.offset_ns
            case GapDeclared():
                now_ns = self._clock_ns()
                from_ns = self._last_frame_ns.get(event.site, now_ns)
                n = event.last_seq - event.first_seq + 1
                text = f"{n} frames of {event.site} will never come"
                self.feed.shade(Span(SpanKind.GAP, from_ns, now_ns, site=event.site, text=text))

    def _events(self, site: str, spikes: SpikeRecords, shift_ns: int, flags: int) -> None:
        if not len(spikes):
            return
        records = np.zeros(len(spikes), NEURON_EVENT)
        records["time_ns"] = spikes["time_ns"] + shift_ns
        records["neuron"] = spikes["neuron"]
        records["kind"] = spikes["kind"]
        records["site"] = self._sites.get(site, 255)
        records["flags"] = flags
        self.feed.events.append(records)

    # --- any thread ---------------------------------------------------------------------------

    def row(self, row: Row) -> None:
        """Take a row on its way to the record."""
        happening = happening_of(row)
        if happening is not None:
            self.feed.happened(happening)


def _time_ns(mapping: ClockMapping, sample_index: int) -> int:
    offset_ns = (sample_index - mapping.start_index) * mapping.ns_per_sample
    return mapping.start_ns + round(offset_ns)


def _times_ns(mapping: ClockMapping, sample_index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    offset_ns = (sample_index - mapping.start_index) * mapping.ns_per_sample
    times_ns: npt.NDArray[np.int64] = mapping.start_ns + np.rint(offset_ns).astype(np.int64)
    return times_ns
