"""What the raster knows: events of the live feed by row, and where events are declared missing."""

import numpy as np
import numpy.typing as npt

from app.console.feed import FeedFormat, Span, SpanKind
from app.core.detector_results import DetectionFlag
from app.core.spikes import EventKind
from app.gui.drawing.event_history import N_EVENTS_MAX, EventHistory
from app.gui.drawing.palette import Palette
from app.gui.drawing.raster_image import MissingBand
from app.gui.drawing.raster_rows import rows_of

N_BANDS_MAX = 1000
CLOCK_RESTART_NS = 1_000_000_000
"""A newest time so much earlier than the last one is another clock."""
FLAG_LATE = 1  # of NEURON_EVENT: sent again or late


class RasterData:
    """Rows, events and bands of one feed format."""

    def __init__(self, feed_format: FeedFormat, n_events_max: int = N_EVENTS_MAX) -> None:
        self.format = feed_format
        self.rows = rows_of(feed_format)
        self.bands: list[MissingBand] = []
        self.n_unknown = 0
        """Events without a row: of neurons that are not in the format.

        Those of our own electrodes do not count, for their spikes have rows.
        """
        self._n_events_max = n_events_max
        self.history = EventHistory(n_events_max)
        n_sites = len(feed_format.sites)
        self._of_kind = np.full(256, 255, np.uint8)
        self._of_kind[EventKind.STIMULATED_SPIKE] = n_sites
        self._of_kind[EventKind.PSP_DELIVERED] = n_sites + 1
        self._muted = n_sites + 2
        sites = feed_format.sites
        self._own_site = sites.index(feed_format.site) if feed_format.site in sites else 0

    def lut(self, palette: Palette) -> list[int]:
        """Return the colour of each colour number."""
        n_sites = len(self.format.sites)
        sites = [palette.sites[i % len(palette.sites)] for i in range(n_sites)]
        return [*sites, palette.stimulated_spike, palette.delivered_psp, palette.muted]

    def set_now(self, now_ns: int) -> bool:
        """Show up to `now_ns`; return whether it is another clock, and all before was forgotten."""
        is_restart = now_ns < self.history.now_ns - CLOCK_RESTART_NS
        if is_restart:
            self.history = EventHistory(self._n_events_max)
            self.bands = []
        self.history.advance(now_ns)
        return is_restart

    def add_spikes(self, records: npt.NDArray[np.void]) -> None:
        """Take detected spikes, `FEED_SPIKE`, into the rows of their channels."""
        records = records[records["channel"] < self.format.n_channels]
        is_artefact = (records["flags"] & DetectionFlag.ARTEFACT) != 0
        colour = np.where(is_artefact, self._muted, self._own_site).astype(np.uint8)
        self.history.add(records["time_ns"], records["channel"].astype(np.int32), colour)

    def add_events(self, records: npt.NDArray[np.void]) -> None:
        """Take events of neurons, `NEURON_EVENT`, into the rows of their neurons."""
        rows = self.rows.neuron_rows
        row = np.array([rows.get(int(n), -1) for n in records["neuron"]], np.int32)
        has_row = (row >= 0) | ((records["site"] == self._own_site) & bool(self.format.n_channels))
        self.n_unknown += int((~has_row).sum())
        records, row = records[row >= 0], row[row >= 0]
        of_kind = self._of_kind[records["kind"]]
        colour = np.where(of_kind == 255, records["site"], of_kind)
        colour = np.where(records["flags"] & FLAG_LATE, self._muted, colour)
        self.history.add(records["time_ns"], row, np.minimum(colour, self._muted).astype(np.uint8))

    def add_span(self, span: Span) -> bool:
        """Take a declared gap as a band; other spans are not shown here. Return if it was one."""
        if span.kind != SpanKind.GAP:
            return False
        if span.channel >= 0:
            found = [(span.channel, span.channel + 1)]
        elif span.site in {"", self.format.site}:
            own = [g for g in self.rows.groups if g.site == self.format.site]
            found = [(g.first, g.stop) for g in own if g.is_channels or not self.format.n_channels]
        else:
            found = [(g.first, g.stop) for g in self.rows.groups if g.site == span.site]
        bands = [MissingBand(*rows, span.from_ns, span.to_ns) for rows in found]
        self.bands = [*self.bands, *bands][-N_BANDS_MAX:]
        return bool(bands)
