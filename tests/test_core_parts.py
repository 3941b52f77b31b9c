"""Inbox, worker, sample clock, router."""

import threading

import numpy as np
import pytest

from app.core.inbox import Inbox, InboxOverflowError, Overflow
from app.core.router import Route, StreamRouter
from app.core.sample_clock import SampleClock
from app.core.spikes import SPIKE_RECORD, SpikeBatch
from app.core.worker import Worker

MS = 1_000_000


def test_inbox_keeps_order_and_counts_what_it_gives_up() -> None:
    inbox: Inbox[int] = Inbox("t", 3, Overflow.DROP_OLDEST)
    for item in range(5):
        inbox.put(item)
    assert inbox.take_all(0.0) == [2, 3, 4]
    assert inbox.n_dropped == 2
    assert inbox.take_all(0.0) == []


def test_inbox_that_must_not_lose_says_so() -> None:
    inbox: Inbox[int] = Inbox("must", 1, Overflow.FAIL)
    inbox.put(1)
    with pytest.raises(InboxOverflowError, match="must"):
        inbox.put(2)
    inbox.close()
    inbox.put(3)
    assert inbox.take_all(0.0) == [1]
    assert inbox.n_dropped == 1


def test_inbox_wakes_its_owner_only_for_what_wakes() -> None:
    inbox: Inbox[int] = Inbox("t", 3, Overflow.FAIL)
    inbox.put(1, wakes=False)
    inbox.wait(0.0)  # comes back, because the time is up
    inbox.put(2)
    inbox.wait(3600.0)  # comes back, because somebody asked for it before
    assert inbox.take_all(0.0) == [1, 2]
    inbox.close()
    inbox.wait(3600.0)


class Job(Worker):
    def __init__(self, fail_in: str = "") -> None:
        self.failures: list[tuple[str, BaseException]] = []
        super().__init__("job", lambda name, exc: self.failures.append((name, exc)))
        self.fail_in = fail_in
        self.done: list[str] = []
        self.stepped = threading.Event()

    def prepare(self) -> None:
        self._do("prepare")

    def step(self) -> None:
        self._do("step")
        self.stepped.set()
        self.stop_requested.wait(0.01)

    def finish(self) -> None:
        self._do("finish")

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what == self.fail_in:
            raise ValueError(what)


@pytest.mark.parametrize("fail_in", ["", "prepare", "step", "finish"])
def test_worker_always_finishes_and_its_failure_is_heard(fail_in: str) -> None:
    job = Job(fail_in)
    job.start()
    if fail_in not in ("prepare", "step"):
        assert job.stepped.wait(5)
    job.request_stop()
    assert job.join(5)
    assert job.done[-1] == "finish"
    assert [str(exc) for _, exc in job.failures] == ([fail_in] if fail_in else [])


def test_worker_ends_by_the_failure_of_who_stood_in_for_it() -> None:
    job = Job()
    job.start()
    assert job.stepped.wait(5.0)
    job.fail_with(ValueError("elsewhere"))
    assert job.join(5.0)
    assert [(name, str(exc)) for name, exc in job.failures] == [("job", "elsewhere")]
    assert job.done[-1] == "finish"


def test_worker_that_never_began_counts_as_ended() -> None:
    assert Job().join(0.1)


def test_sample_clock_rests_on_the_earliest_arrivals_and_never_goes_back() -> None:
    rng = np.random.default_rng(1)
    clock = SampleClock(20_000.0)
    last_ns = 0
    errors = []
    for block in range(1, 10_000):
        end = block * 128
        true_ns = round(end * 50_000 * (1 + 20e-6))
        arrival_ns = true_ns + int(rng.exponential(2 * MS))
        clock.observe(end, arrival_ns)
        if clock.mapping is not None:
            time_ns = clock.time_ns(end)
            assert time_ns > last_ns
            last_ns = time_ns
            errors.append(time_ns - true_ns)
    assert max(map(abs, errors)) < 1.5 * MS
    assert abs(errors[-1]) < 0.7 * MS, "follows a crystal that is 20 ppm off"


def test_sample_clock_has_no_time_before_its_first_stretch() -> None:
    clock = SampleClock(20_000.0)
    with pytest.raises(ValueError, match="no mapping"):
        clock.time_ns(0)


def batch(neurons: list[int], made_ns: int) -> SpikeBatch:
    records = np.zeros(len(neurons), SPIKE_RECORD)
    records["neuron"] = neurons
    return SpikeBatch(0, records, made_ns, made_ns)


def test_router_sends_each_site_what_it_needs_and_thins_out_silence() -> None:
    router = StreamRouter([Route("a", frozenset({1})), Route("b", frozenset({1, 2}))])
    first = router.split(batch([1, 2, 3], 0))
    assert {site: list(b.records["neuron"]) for site, b in first.items()} == {"a": [1], "b": [1, 2]}
    assert router.split(batch([], 10 * MS)) == {}
    assert set(router.split(batch([2], 20 * MS))) == {"b"}
    assert set(router.split(batch([], 50 * MS))) == {"a"}
    assert set(router.split(batch([], 70 * MS))) == {"b"}
