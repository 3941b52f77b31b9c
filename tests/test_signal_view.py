"""What consoles are given of a stream: copies that a writer cannot tear, and honest counts."""

import math
import threading

import numpy as np
import pytest

from app.core.signal_view import EnvelopeRing, ThresholdChange


def write(ring: EnvelopeRing, start: int, stop: int) -> None:
    """Write columns whose every value is their own number."""
    for column in range(start, stop):
        row = column % len(ring.values)
        ring.extents[row] = column * ring.n_samples_per_column, ring.n_samples_per_column
        ring.marks[row] = column % 16
        ring.values[row, :2] = column
        ring.values[row, 2:] = -column
    ring.publish(stop)


def test_a_reader_gets_every_column_once_and_in_order() -> None:
    ring = EnvelopeRing(
        n_channels=3, n_samples_per_column=20, n_columns=16, microvolts_per_count=0.195
    )
    at, seen = ring.n_published, []
    for start, stop in ((0, 3), (3, 3), (3, 11), (11, 13)):
        write(ring, start, stop)
        columns = ring.take(at)
        at = columns.next_column
        assert columns.n_missed == 0
        assert columns.lowest.shape == (stop - start, 3)
        seen += columns.first_sample.tolist()
    assert seen == [20 * column for column in range(13)]


def test_what_was_taken_is_a_copy() -> None:
    ring = EnvelopeRing(1, 20, 8, 0.195)
    write(ring, 0, 2)
    columns = ring.take(0)
    write(ring, 2, 20)
    assert columns.highest[:, 0].tolist() == [0, 1]
    assert columns.raw_lowest[:, 0].tolist() == [0, -1]


def test_a_late_reader_is_told_what_it_missed() -> None:
    ring = EnvelopeRing(2, 20, 8, 0.195)
    write(ring, 0, 3)
    at = ring.take(0).next_column
    write(ring, 3, 103)
    columns = ring.take(at)
    assert columns.first_column == 99
    assert columns.n_missed == 96
    assert columns.lowest[:, 1].tolist() == [99, 100, 101, 102]
    assert columns.marks[:, 0].tolist() == [99 % 16, 100 % 16, 101 % 16, 102 % 16]
    assert ring.take(columns.next_column).n_missed == 0


def test_asking_for_the_future_gives_nothing_and_misses_nothing() -> None:
    ring = EnvelopeRing(2, 20, 8, 0.195)
    write(ring, 0, 3)
    columns = ring.take(50)
    assert len(columns.first_sample) == 0
    assert columns.n_missed == 0


def test_an_overtaken_reader_never_shows_a_torn_column() -> None:
    ring = EnvelopeRing(
        n_channels=64, n_samples_per_column=20, n_columns=32, microvolts_per_count=0.195
    )
    n_columns = 3000
    writer = threading.Thread(
        target=lambda: [write(ring, c, c + 8) for c in range(0, n_columns, 8)]
    )
    writer.start()
    at, n_seen, n_missed = 0, 0, 0
    while at < n_columns:
        columns = ring.take(at)
        number = np.arange(columns.first_column, columns.next_column)
        assert np.array_equal(columns.first_sample, 20 * number)
        assert np.all(columns.lowest == number[:, None])
        assert np.all(columns.raw_highest == -number[:, None])
        n_seen += len(number)
        n_missed += columns.n_missed
        at = columns.next_column
    writer.join()
    assert n_seen + n_missed == n_columns


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"threshold_sigma": 5.0, "threshold_uv": 50.0},
        {"threshold_sigma": math.nan},
        {"threshold_sigma": math.inf},
        {"threshold_uv": -50.0},
        {"threshold_uv": 0.0},
    ],
)
def test_an_impossible_threshold_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="threshold"):
        ThresholdChange(channels=None, **wrong)
