import random

from app.safety.quantity import amount
from app.safety.rates import HOUR_NS, SECOND_NS, SlidingSum, last_hour, last_second


def test_an_event_a_window_ago_is_outside_and_one_nanosecond_less_is_inside():
    count = last_second()
    count.add(5)
    assert count.total(5) == 1
    assert count.total(5 + SECOND_NS - 1) == 1
    assert count.total(5 + SECOND_NS) == 0


def test_a_regular_train_at_the_limit_never_exceeds_it():
    count = last_second()
    for i in range(100):
        now_ns = i * SECOND_NS // 20
        assert count.total(now_ns) <= 19
        count.add(now_ns)


def test_every_window_agrees_with_a_recount():
    rng = random.Random(3)
    count = SlidingSum(1000)
    times = []
    now_ns = 0
    for _ in range(2000):
        now_ns += rng.choice([0, 0, 1, 7, 400, 999, 1000, 1001])
        assert count.total(now_ns) == sum(now_ns - t < 1000 for t in times)
        count.add(now_ns)
        times.append(now_ns)


def test_the_hour_errs_high_by_at_most_a_bucket_and_stays_small():
    count = last_hour()
    for i in range(7200):
        count.add(i * SECOND_NS // 2)
    now_ns = 7199 * SECOND_NS // 2
    assert count.total(now_ns) == 7200
    assert len(count._buckets) == 3600
    assert count.total(HOUR_NS + SECOND_NS - 1) <= 7198
    assert count.total(HOUR_NS + SECOND_NS - 1) == 7198
    assert count.total(HOUR_NS + SECOND_NS - 2) == 7198


def test_the_hour_counts_a_bucket_until_its_last_nanosecond_is_out():
    count = last_hour()
    count.add(1)
    assert count.total(HOUR_NS + SECOND_NS - 2) == 1
    assert count.total(HOUR_NS + SECOND_NS - 1) == 0


def test_amounts_read_as_a_person_says_them():
    said = {
        (3e-6, "A"): "3 uA",
        (3e-9, "C"): "3 nC",
        (0.2e-12, "C"): "0.2 pC",
        (5e-3, "s"): "5 ms",
        (-1.5, "V"): "-1.5 V",
        (1e6, "ohm"): "1 Mohm",
        (12345.0, "ohm"): "12.35 kohm",
        (2e9, "ohm"): "2 Gohm",
        (0.0, "V"): "0 V",
        (float("nan"), "A"): "nan A",
        (float("inf"), "V"): "inf V",
        (4.243, "C/m2"): "4.243 C/m2",
        (0.01, ""): "0.01",
    }
    assert {key: amount(*key) for key in said} == said
