"""The estimate of a peer's clock: right within what it states, on any path."""

import random

import pytest
from link_world import MS, S, jittered, pair, run

from app.bridge.events import OffsetKnown
from app.bridge.offset import WINDOW, OffsetEstimator


def exchange(
    estimator: OffsetEstimator, now_ns: int, true_ns: int, there_ns: int, back_ns: int, held_ns: int
) -> None:
    """One exchange with a peer whose clock is `true_ns` ahead of ours."""
    peer_received_ns = now_ns + there_ns + true_ns
    estimator.add(
        now_ns, peer_received_ns, peer_received_ns + held_ns, now_ns + there_ns + held_ns + back_ns
    )


def test_symmetric_path_gives_the_offset_itself() -> None:
    estimator = OffsetEstimator(is_same_clock=False)
    assert estimator.estimate is None
    assert estimator.rtt_ns is None
    exchange(estimator, S, -5_000_001, 40 * MS, 40 * MS, 13 * MS)
    assert estimator.estimate == (-5_000_001, 40 * MS + 1)
    assert estimator.rtt_ns == 80 * MS, "what the peer waited is no part of the path"


@pytest.mark.parametrize(("there_ms", "back_ms"), [(80, 0), (0, 80), (79, 1), (3, 40)])
def test_wholly_lopsided_path_is_wrong_by_no_more_than_stated(there_ms: int, back_ms: int) -> None:
    estimator = OffsetEstimator(is_same_clock=False)
    exchange(estimator, S, 7 * S, there_ms * MS, back_ms * MS, 0)
    assert estimator.estimate is not None
    offset_ns, uncertainty_ns = estimator.estimate
    assert offset_ns - 7 * S == (there_ms - back_ms) * MS // 2
    assert abs(offset_ns - 7 * S) <= uncertainty_ns


def test_shortest_round_trip_counts() -> None:
    estimator = OffsetEstimator(is_same_clock=False)
    exchange(estimator, S, 100, 90 * MS, 30 * MS, 0)
    exchange(estimator, S + 10 * MS, 100, 10 * MS, 10 * MS, 0)
    exchange(estimator, S + 20 * MS, 100, 10 * MS, 200 * MS, 0)
    assert estimator.estimate is not None
    assert estimator.estimate[0] == 100
    assert estimator.rtt_ns == 20 * MS


def test_old_exchanges_leave() -> None:
    estimator = OffsetEstimator(is_same_clock=False)
    exchange(estimator, S, 0, MS, MS, 0)
    for k in range(WINDOW):
        exchange(estimator, 2 * S + k * 50 * MS, 9_000, 20 * MS, 20 * MS, 0)
    assert estimator.estimate is not None
    assert estimator.estimate[0] == 9_000
    assert estimator.rtt_ns == 40 * MS


@pytest.mark.parametrize("seed", range(5))
def test_the_shortest_round_trip_of_the_window_is_known_after_every_exchange(seed: int) -> None:
    rng = random.Random(seed)
    estimator = OffsetEstimator(is_same_clock=False)
    trips_ms: list[int] = []
    for k in range(4 * WINDOW):
        there_ms, back_ms = rng.randint(1, 20), rng.randint(1, 20)  # ties are frequent
        exchange(estimator, k * 50 * MS, 0, there_ms * MS, back_ms * MS, 0)
        trips_ms.append(there_ms + back_ms)
        assert estimator.rtt_ns == min(trips_ms[-WINDOW:]) * MS


@pytest.mark.parametrize("ppm", [60, -195])
def test_clocks_that_drift_apart_stay_within_the_stated_uncertainty(ppm: int) -> None:
    """On a path of 0.2 ms the shortest exchange soon is wrong by more than its half."""
    estimator = OffsetEstimator(is_same_clock=False)
    rng = random.Random(1)
    for k in range(300):
        now_ns = S + k * 50 * MS
        true_ns = ppm * (now_ns - S) // 1_000_000
        path_ns = 100_000 if k % WINDOW == 0 else 100_000 + rng.randrange(400_000)
        exchange(estimator, now_ns, true_ns, path_ns, path_ns, MS)
        assert estimator.estimate is not None
        offset_ns, uncertainty_ns = estimator.estimate
        assert abs(offset_ns - true_ns) <= uncertainty_ns, k
        assert uncertainty_ns < 2 * MS


@pytest.mark.parametrize(
    "times",
    [
        (10, 1_000, 900, 20),  # sent before it was received
        (10, 1_000, 2_000, 20),  # held longer than the exchange took
        (10, 0, 2**62, 20),
        (10, 2**62, -(2**62), 20),
    ],
)
def test_times_that_cannot_be_are_not_used(times: tuple[int, int, int, int]) -> None:
    estimator = OffsetEstimator(is_same_clock=False)
    estimator.add(*times)
    assert estimator.estimate is None


def test_one_clock_is_exact_whatever_the_path_says() -> None:
    estimator = OffsetEstimator(is_same_clock=True)
    assert estimator.estimate == (0, 0)
    exchange(estimator, S, 12 * MS, 80 * MS, 10 * MS, 0)
    assert estimator.estimate == (0, 0)
    assert estimator.rtt_ns == 90 * MS


def lopsided(seed: int):
    """Most of the jitter one way: 20 to 120 ms there, 60 to 64 ms back."""
    return jittered(seed, 70 * MS, 50 * MS), jittered(seed + 1, 62 * MS, 2 * MS)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("true_ns", [3 * S + 123_456, -3600 * S])
def test_estimate_over_a_link_converges_within_what_it_states(seed: int, true_ns: int) -> None:
    there, back = lopsided(seed)
    wire = pair(there, b_offset_ns=true_ns, delay_back=back)
    run(wire, 7200 * S, 7206 * S)
    for end, true in zip(wire.ends, (true_ns, -true_ns), strict=True):
        told = [e for e in end.events if isinstance(e, OffsetKnown)]
        assert len(told) >= 2
        assert all(abs(e.offset_ns - true) <= e.uncertainty_ns for e in told)
        assert told[-1].uncertainty_ns <= 60 * MS, "20 + 60 ms is the shortest path, and ticks"
        assert told[-1].uncertainty_ns < 130 * MS // 2
        assert told[-1].rtt_ns >= 80 * MS


def test_reconnected_link_measures_anew() -> None:
    wire = pair(lambda: 5 * MS, b_offset_ns=S)
    run(wire, 0, 2 * S)
    wire.cut(2 * S)
    wire.reconnect_ns = 3600 * S
    assert wire.ends[0].link.offset is not None
    wire.ends[1].clock_offset_ns = S + 100 * MS  # it drifted while nobody looked
    run(wire, 2 * S + 200 * MS, 4 * S)
    estimate = wire.ends[0].link.offset
    assert estimate is not None
    assert abs(estimate[0] - (S + 100 * MS)) <= estimate[1]
    assert estimate[1] < 30 * MS
