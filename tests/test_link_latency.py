"""How long each direction of a link takes: right within what is stated, and said only if known."""

from dataclasses import asdict
from typing import Any

import pytest
from link_world import MS, S, batch, jittered, pair, run
from test_link_offset import exchange

from app.bridge.latency import Spread, spread
from app.bridge.offset import OffsetEstimator
from app.gui.link_words import one_way, round_trip


def test_percentiles_are_values_that_occurred() -> None:
    assert spread([7]) == Spread(7, 7, 7)
    assert spread(range(100, 0, -1)) == Spread(1, 50, 99)


def test_sites_with_one_clock_know_each_way_exactly() -> None:
    estimator = OffsetEstimator(is_same_clock=True)
    assert estimator.latency is None
    for k in range(100):
        exchange(estimator, k * S // 20, 0, 2 * MS + k, 30 * MS, MS)
    figures = estimator.latency
    assert figures is not None
    assert figures.uncertainty_ns == 0
    assert (figures.there.p50_ns, figures.there.p99_ns) == (2 * MS + 49, 2 * MS + 98)
    assert figures.back == Spread(30 * MS, 30 * MS, 30 * MS)
    assert figures.round_trip.p50_ns == 32 * MS + 49


@pytest.mark.parametrize("true_ns", [0, -7 * S, 13])
@pytest.mark.parametrize(("there_ms", "back_ms"), [(20, 20), (35, 5), (1, 60)])
def test_each_way_is_wrong_by_no_more_than_stated(
    true_ns: int, there_ms: int, back_ms: int
) -> None:
    estimator = OffsetEstimator(is_same_clock=False)
    for k in range(40):
        wait_ns = (k * 7919) % 11 * MS
        exchange(estimator, k * S // 20, true_ns, there_ms * MS + wait_ns, back_ms * MS, MS)
    figures = estimator.latency
    assert figures is not None
    assert abs(figures.there.p50_ns - (there_ms + 5) * MS) <= figures.uncertainty_ns
    assert abs(figures.back.p50_ns - back_ms * MS) <= figures.uncertainty_ns
    assert figures.there.p50_ns - figures.there.min_ns == 5 * MS, "the offset cancels"


def link_with(estimator: OffsetEstimator, state: str = "up") -> dict[str, Any]:
    figures = estimator.latency
    return {"state": state, "latency": None if figures is None else asdict(figures)}


def test_one_way_is_said_only_where_the_clocks_are_known_well_enough() -> None:
    one_clock, two_clocks = OffsetEstimator(is_same_clock=True), OffsetEstimator(False)
    for estimator in (one_clock, two_clocks):
        for k in range(20):
            exchange(estimator, k * S // 20, 0, 20 * MS + k % 2 * MS, 30 * MS, MS)
    assert one_way(link_with(one_clock), "there") == "20.00 / 21.00 ms"
    assert round_trip(link_with(one_clock)) == "50.00 / 51.00 ms"
    assert one_way(link_with(two_clocks), "there") == "fastest +0.00 / +1.00 ms"
    assert one_way(link_with(two_clocks), "back") == "fastest +0.00 / +0.00 ms"
    assert "one way only to ± 25." in round_trip(link_with(two_clocks))
    assert one_way(link_with(one_clock, "down"), "there") == "–", "nothing is known of it now"
    assert round_trip({"state": "up", "latency": None}) == "–"


def test_a_lopsided_path_with_jitter_is_told_by_its_slow_direction() -> None:
    estimator = OffsetEstimator(is_same_clock=False)
    for k in range(100):
        exchange(estimator, k * S // 20, 3 * S, 10 * MS, (10 + (k % 10) * 4) * MS, MS)
    words = [one_way(link_with(estimator), leg) for leg in ("there", "back")]
    assert words == ["fastest +0.00 / +0.00 ms", "26.00 / 46.00 ± 11.00 ms"]


def test_a_link_keeps_its_newest_figures_and_tells_events_from_frames() -> None:
    wire = pair(jittered(1, 5 * MS, MS), b_offset_ns=9 * S, delay_back=jittered(2, 40 * MS, 5 * MS))
    a, b = (end.link for end in wire.ends)
    run(wire, 0, 3 * S)
    assert a.latency is not None
    assert abs(a.latency.there.p50_ns - 5 * MS) <= a.latency.uncertainty_ns
    assert abs(a.latency.back.p50_ns - 40 * MS) <= a.latency.uncertainty_ns
    assert (a.outbound.ring.last_event_ns, b.last_event_received_ns) == (0, 0)
    a.outbound.queue_spikes(batch([(3 * S, 1)], 3 * S), 3 * S)
    run(wire, 3 * S, 4 * S, lambda now: a.outbound.queue_spikes(batch([], now), now))
    assert a.outbound.ring.last_event_ns == 3 * S, "empty frames are no events"
    came_ns = b.last_event_received_ns - 9 * S
    assert 3 * S + 4 * MS <= came_ns <= 3 * S + 7 * MS
    assert b.last_frame_ns - 9 * S > 4 * S - 100 * MS


def test_what_is_sent_again_is_counted_at_both_ends() -> None:
    wire = pair(lambda: 5 * MS)
    wire.ends[1].records_at_once = False
    a, b = (end.link for end in wire.ends)
    run(wire, 0, S)
    for k in range(4):
        a.outbound.queue_spikes(batch([(S + k, 1)], S + k), S + k)
    run(wire, S, 2 * S)
    wire.cut(2 * S)
    run(wire, 2 * S, 4 * S)
    assert (a.counts.n_resent, b.counts.n_resent_received) == (4, 4)
    assert (a.counts.n_resent_received, b.counts.n_duplicates) == (0, 4)
