"""Who decides for the synapses, and when: on the caller's thread, or after what waits."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from test_synapse_over_links import CHAIN

from app.core.input_log import InputLog
from app.core.spikes import SPIKE_RECORD, EventKind, Provenance
from app.synapse.inputs import DeviceRead
from app.synapse.network import Output, PspsOut, SpikeArrival, SynapseNetwork
from app.synapse.network_worker import FEW_EVENTS, NetworkWorker

DEADLINE_S = 5.0
READ = DeviceRead(1, 5000.0)


def arrival(n_spikes: int, first_ns: int = 1) -> SpikeArrival:
    records = np.zeros(n_spikes, SPIKE_RECORD)
    records["time_ns"] = first_ns + np.arange(n_spikes)
    records["neuron"] = 63
    records["kind"] = EventKind.SPONTANEOUS_SPIKE
    until_ns = first_ns + n_spikes
    return SpikeArrival("z", 0, frozenset({63}), Provenance.MOCK, records, until_ns)


class Rig:
    """A worker over the synapses of the chain, and what came out on which thread."""

    def __init__(self) -> None:
        self.outputs: list[tuple[int, int]] = []
        """Thread and firing time of the first spike of each batch of PSPs."""
        self.logged: list[str] = []
        self.failures: list[tuple[str, str]] = []
        self.fails = False
        self.held = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        devices = {s.device: Provenance.MOCK for s in CHAIN.synapses}
        self.worker = NetworkWorker(
            SynapseNetwork(CHAIN, "hub", devices, 10**10, 10_000),
            InputLog(lambda _number, _time_ns, kind, _body: self.logged.append(kind)),
            on_output=self._take,
            clock_ns=lambda: 1000,
            on_failure=lambda name, exc: self.failures.append((name, str(exc))),
        )

    def _take(self, output: Output, _now_ns: int) -> None:
        assert isinstance(output, PspsOut)
        if self.fails:
            raise ValueError("no place for this")
        self.outputs.append((threading.get_ident(), int(output.records["pre_time_ns"][0])))
        self.held.set()
        assert self.go_on.wait(DEADLINE_S)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    made.worker.start()
    made.worker.decide(READ)
    yield made
    made.go_on.set()
    made.worker.request_stop()
    assert made.worker.join(DEADLINE_S)


def eventually(rig: Rig, n_outputs: int) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while len(rig.outputs) < n_outputs:
        assert time.monotonic() < deadline_s, "not decided in time"
        time.sleep(0.002)


def test_a_few_events_are_decided_upon_before_the_caller_goes_on(rig: Rig) -> None:
    rig.worker.decide(arrival(FEW_EVENTS))
    assert rig.outputs == [(threading.get_ident(), 1)]
    assert rig.logged == ["device read", "spikes"]


def test_many_events_are_left_to_the_synapses_thread(rig: Rig) -> None:
    rig.worker.decide(arrival(FEW_EVENTS + 1))
    eventually(rig, 1)
    assert rig.outputs[0][0] != threading.get_ident()


def test_nothing_overtakes_what_waits(rig: Rig) -> None:
    rig.go_on.clear()
    rig.worker.submit(arrival(1, first_ns=1))
    assert rig.held.wait(DEADLINE_S)
    rig.worker.decide(arrival(1, first_ns=2))  # the turn is not free
    rig.go_on.set()
    rig.worker.decide(arrival(1, first_ns=3))
    eventually(rig, 3)
    assert [time_ns for _, time_ns in rig.outputs] == [1, 2, 3]
    assert rig.logged == ["device read", "spikes", "spikes", "spikes"]


def test_a_failure_is_the_synapses_own_and_not_the_callers(rig: Rig) -> None:
    rig.fails = True
    rig.worker.decide(arrival(1))
    assert rig.worker.join(DEADLINE_S)
    assert rig.failures == [("synapses", "no place for this")]
    rig.fails = False
    rig.worker.decide(arrival(1))
    assert rig.outputs == []
