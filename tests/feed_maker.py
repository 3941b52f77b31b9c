"""Small pieces of a live feed, as an engine would send them, for tests of the window."""

import numpy as np

from app.console.feed import FEED_SPIKE, EnvelopeBatch, FeedFormat

SAMPLES_PER_COLUMN = 20
SAMPLE_RATE_HZ = 20_000.0
COLUMN_NS = 1_000_000
UV_PER_COUNT = 0.5
START_NS = 5_000_000_000_000  # the site's clock does not begin with the samples


def feed_format(n_side: int = 4, site: str = "padova") -> FeedFormat:
    n = n_side**2
    x, y = np.meshgrid(np.arange(n_side), np.arange(n_side))
    return FeedFormat(
        site=site,
        channel_names=tuple(f"A-{i:03d}" for i in range(n)),
        sample_rate_hz=SAMPLE_RATE_HZ,
        microvolts_per_count=UV_PER_COUNT,
        samples_per_column=SAMPLES_PER_COLUMN,
        position_um=np.stack([x, y], -1).reshape(n, 2).astype(np.float32) * 100,
        sites=("padova", "zurich"),
        neurons=((1, "padova", "cell 1"), (7, "zurich", "silicon 7"), (9, "zurich", "silicon 9")),
    )


def column_ns(column: int) -> int:
    return START_NS + column * COLUMN_NS


def batch(
    first: int, low: np.ndarray, high: np.ndarray, *, is_filtered: bool = True
) -> EnvelopeBatch:
    return EnvelopeBatch(
        first_sample=first * SAMPLES_PER_COLUMN,
        time_ns=column_ns(first),
        samples_per_column=SAMPLES_PER_COLUMN,
        is_filtered=is_filtered,
        low=low,
        high=high,
    )


def level_batch(first: int, n: int, n_channels: int = 16, **kwargs: bool) -> EnvelopeBatch:
    """Return columns whose height tells their number and channel: ±(column % 100 + channel)."""
    high = (np.arange(first, first + n)[:, None] % 100 + np.arange(n_channels)).astype(np.int16)
    return batch(first, -high, high, **kwargs)


def spikes(columns: list[int], channels: list[int]) -> np.ndarray:
    records = np.zeros(len(columns), FEED_SPIKE)
    records["sample_index"] = np.array(columns) * SAMPLES_PER_COLUMN
    records["time_ns"] = [column_ns(c) for c in columns]
    records["channel"] = channels
    return records
