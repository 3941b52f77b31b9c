"""What the trace view knows: the columns of the live feed, with spikes and spans marked in them."""

import numpy as np
import numpy.typing as npt

from app.console.feed import EnvelopeBatch, FeedFormat, Span, SpanKind
from app.core.detector_results import DetectionFlag
from app.gui.drawing.column_history import DEFAULT_BYTES, ColumnFlag, ColumnHistory

_FLAG = {
    SpanKind.GAP: ColumnFlag.GAP,
    SpanKind.STIMULUS: ColumnFlag.STIMULUS,
    SpanKind.ARTEFACT: ColumnFlag.ARTEFACT,
}


N_BEHIND_MAX = 1000
"""A signal that is so many columns behind the other is not being sent: it waits for no spikes."""
NO_SOURCE = FeedFormat("", (), 1.0, 1.0, 1, np.empty((0, 2), np.float32), (), ())
"""A site without an amplifier, or none yet."""


class TraceData:
    """Histories of the filtered and the raw signal; each takes memory as it fills.

    `n_bytes` is for one of them.

    Columns are numbered from the source's sample 0. Methods that change something return the first
    column that looks different now, or None.
    """

    def __init__(self, feed_format: FeedFormat, n_bytes: int = DEFAULT_BYTES) -> None:
        self.format = feed_format
        self._histories = {
            True: ColumnHistory(feed_format.n_channels, n_bytes),
            False: ColumnHistory(feed_format.n_channels, n_bytes),
        }
        self._anchor: tuple[int, int] | None = None
        self.newest_ns: int | None = None
        """Site time at the end of the newest column; None: none has come."""

    def history(self, is_filtered: bool) -> ColumnHistory:
        """Return the columns of one signal."""
        return self._histories[is_filtered]

    def fits(self, feed_format: FeedFormat) -> bool:
        """Say whether columns of `feed_format` continue these."""
        old, new = self.format, feed_format
        return (
            old.site == new.site
            and old.channel_names == new.channel_names
            and old.sample_rate_hz == new.sample_rate_hz
            and old.samples_per_column == new.samples_per_column
            and old.microvolts_per_count == new.microvolts_per_count
        )

    def add_columns(self, batch: EnvelopeBatch) -> int:
        """Take a batch; columns left out before it are shown as missed, or as a declared gap."""
        history = self._histories[batch.is_filtered]
        n = self.format.samples_per_column
        first = batch.first_sample // n
        if first == history.end - 1 and batch.first_sample % n:
            first += 1  # after a gap columns may begin within a column of the old count
        self._anchor = batch.first_sample, batch.time_ns
        self.newest_ns = batch.time_ns + round(len(batch.low) * self.format.column_s * 1e9)
        return history.append(first, batch.low, batch.high)

    def add_spikes(self, records: npt.NDArray[np.void]) -> int | None:
        """Mark spikes, `FEED_SPIKE` records, in both signals; artefacts are none."""
        records = records[(records["flags"] & DetectionFlag.ARTEFACT) == 0]
        columns = records["sample_index"] // self.format.samples_per_column
        channels = records["channel"].astype(np.int64)
        newest = max(h.end for h in self._histories.values())
        fed = [h for h in self._histories.values() if newest - h.end < N_BEHIND_MAX]
        changed = [h.mark_spikes(columns, channels) for h in fed]
        return min((c for c in changed if c is not None), default=None)

    def add_span(self, span: Span) -> int | None:
        """Shade a span; None for one of another site, or before anything is known of the time."""
        is_ours = span.site in {"", self.format.site}
        if not is_ours or self._anchor is None or span.channel >= self.format.n_channels:
            return None
        start, stop = self.column_at(span.from_ns), self.column_at(span.to_ns - 1) + 1
        for history in self._histories.values():
            history.flag(_FLAG[span.kind], start, stop, span.channel)
        return start

    def column_at(self, time_ns: int) -> int:
        """Return the column of a time on the site's clock, by the newest batch."""
        if self._anchor is None:
            raise ValueError("no columns have come: nothing is known of the samples' time")
        first_sample, anchor_ns = self._anchor
        sample = first_sample + (time_ns - anchor_ns) * 1e-9 * self.format.sample_rate_hz
        return int(np.floor(sample / self.format.samples_per_column))

    def n_columns(self, seconds: float) -> int:
        """Return how many columns a stretch of time has, at least one."""
        return max(1, round(seconds / self.format.column_s))
