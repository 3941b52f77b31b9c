"""Plasticity does not see the network: the same pulses with any delay, and holes only where due."""

from collections.abc import Sequence

import pytest
from link_world import MS, Delay, End, S, Wire, batch, jittered, local, no_delay

from app.bridge.events import PeerKnown, SpikesReceived
from app.bridge.link import Link
from app.config.experiment import (
    Experiment,
    Neuron,
    PairStdpRule,
    PulsePair,
    RateRule,
    Rule,
    Synapse,
    WeightMap,
)
from app.core.spikes import EventKind, Provenance
from app.synapse.network import HoleDeclared, PulseWanted, SpikeArrival, SynapseNetwork

Event = tuple[int, int, int]
"""(time_ns, neuron, kind)."""
BATCH_NS = 10 * MS
PULSE = PulsePair(ltp_amplitude_v=1.5, ltp_width_s=1e-4, ltd_amplitude_v=-1.5, ltd_width_s=1e-4)
SITE_OF = {63: "z", 1: "z", 256: "p", 300: "q"}


def experiment(pairs: Sequence[tuple[int, int, Rule]]) -> Experiment:
    """All synapses at the hub, between neurons of three other sites."""
    return Experiment(
        schema_version=1,
        name="test",
        neurons=tuple(Neuron(id=n, name=f"n{n}", site=site) for n, site in SITE_OF.items()),
        synapses=tuple(
            Synapse(
                id=i,
                name=f"s{i}",
                pre=pre,
                post=post,
                site="hub",
                device=f"d{i}",
                weight=WeightMap(r_min_ohm=4000.0, r_max_ohm=9000.0),
                rule=rule,
                pulse=PULSE,
            )
            for i, (pre, post, rule) in enumerate(pairs, 1)
        ),
    )


CHAIN = experiment([(63, 256, RateRule()), (256, 1, RateRule())])
STDP = PairStdpRule(ltp_window_s=0.03, ltd_window_s=0.03)
RECURRENT = experiment(
    [(63, 256, RateRule()), (256, 1, STDP), (1, 63, STDP), (256, 300, STDP), (300, 256, RateRule())]
)


def four_phases() -> dict[str, list[Event]]:
    """ANpre at 10, 30, 10, 2 Hz for 3 s each; BN, ANpost and another follow at odd intervals."""
    spontaneous, delivered = int(EventKind.SPONTANEOUS_SPIKE), int(EventKind.PSP_DELIVERED)
    pre = [
        S + phase * 3 * S + k * S // rate_hz
        for phase, rate_hz in enumerate((10, 30, 10, 2))
        for k in range(3 * rate_hz)
    ]
    streams: dict[str, list[Event]] = {
        "z": [(t, 63, spontaneous) for t in pre]
        + [(t + 17 * MS, 1, spontaneous) for t in pre[::2]],
        "p": [(t + 5 * MS, 256, delivered) for t in pre]
        + [(t + 8 * MS, 256, spontaneous) for t in pre[::3]],
        "q": [(t + 11 * MS, 300, spontaneous) for t in pre[::4]],
    }
    return {site: sorted(events) for site, events in streams.items()}


class Hub:
    """Three sites that send what fired, and a hub whose synapses hear of it over links."""

    def __init__(
        self, what: Experiment, delays: dict[str, Delay], max_wait_ns: int = 60 * S
    ) -> None:
        devices = {s.device: Provenance.MOCK for s in what.synapses}
        self.network = SynapseNetwork(what, "hub", devices, max_wait_ns, 10_000)
        self.pulses: list[PulseWanted] = []
        self.holes: list[HoleDeclared] = []
        self.most_waiting = 0
        self._neurons: dict[str, frozenset[int]] = {}
        self._seen: dict[str, int] = {}
        self.wires: dict[str, Wire] = {}
        for number, (site, delay) in enumerate(delays.items(), 10):
            neurons = tuple(n for n, s in SITE_OF.items() if s == site)
            there = End(Link(local(site, number, neurons), "hub", _nonces(number), {}))
            here = End(Link(local("hub", 1), site, _nonces(number + 50), {}))
            self.wires[site] = Wire(there, here, delay)
            self._seen[site] = 0

    def run(
        self, streams: dict[str, list[Event]], until_ns: int, dead_from_ns: int = 10**18
    ) -> None:
        """Play the streams; site p dies at `dead_from_ns`."""
        for now_ns in range(0, until_ns, MS):
            if now_ns == dead_from_ns:
                self.wires["p"].is_dead = True
                self.wires["p"].cut(now_ns)
            for site, wire in self.wires.items():
                is_alive = not wire.is_dead
                if is_alive and now_ns and now_ns % BATCH_NS == 0:
                    fired = [e for e in streams[site] if now_ns - BATCH_NS <= e[0] < now_ns]
                    wire.ends[0].link.outbound.queue_spikes(batch(fired, now_ns), now_ns)
                wire.step(now_ns)
                self._hear(site, now_ns)
            for output in self.network.tick(now_ns):
                self._take(output)

    def _hear(self, site: str, now_ns: int) -> None:
        events = self.wires[site].ends[1].events
        for event in events[self._seen[site] :]:
            if isinstance(event, PeerKnown):
                self._neurons[site] = frozenset(event.hello.streams[0].neurons)
            elif isinstance(event, SpikesReceived):
                arrival = SpikeArrival(
                    site,
                    0,
                    self._neurons[site],
                    Provenance.MOCK,
                    event.batch.records,
                    event.batch.complete_until_ns,
                    seq=event.seq,
                    is_resend=event.is_resend,
                    age_bound_ns=event.age_bound_ns,
                )
                for output in self.network.spikes(arrival, now_ns):
                    self._take(output)
        self._seen[site] = len(events)
        self.most_waiting = max(self.most_waiting, *(v.n_waiting for v in self.network.views()))

    def _take(self, output: object) -> None:
        if isinstance(output, PulseWanted):
            self.pulses.append(output)
        elif isinstance(output, HoleDeclared):
            self.holes.append(output)

    def of(self, synapse: int) -> list[PulseWanted]:
        """A synapse's own order of pulses; that between synapses is nobody's promise."""
        return [p for p in self.pulses if p.synapse == synapse]


def _nonces(start: int):
    counter = iter(range(start * 10**6, start * 10**6 + 10**6))
    return lambda: next(counter)


def played(what: Experiment, delays: dict[str, Delay]) -> Hub:
    hub = Hub(what, delays)
    hub.run(four_phases(), 14 * S)
    return hub


@pytest.fixture(scope="module")
def undelayed() -> dict[str, Hub]:
    at_once = dict.fromkeys(("z", "p", "q"), no_delay)
    return {"chain": played(CHAIN, at_once), "recurrent": played(RECURRENT, at_once)}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ["chain", "recurrent"])
def test_delay_jitter_and_reordering_across_sites_change_no_pulse(
    name: str, seed: int, undelayed: dict[str, Hub]
) -> None:
    what = {"chain": CHAIN, "recurrent": RECURRENT}[name]
    delayed = played(what, {site: jittered(10 * seed + i) for i, site in enumerate("zpq")})
    for synapse in what.synapses:
        expected = undelayed[name].of(synapse.id)
        assert delayed.of(synapse.id) == expected
    assert len(undelayed[name].of(1)) > 20, "the comparison is not of nothing"
    assert {p.polarity for p in undelayed[name].of(1)} == {1, -1}
    assert undelayed[name].holes == delayed.holes == []


def test_dead_site_stops_its_own_synapses_only() -> None:
    dead_ns = 6 * S
    hub = Hub(RECURRENT, {site: jittered(i) for i, site in enumerate("zpq")}, max_wait_ns=2 * S)
    hub.run(four_phases(), 14 * S, dead_from_ns=dead_ns)
    whole = played(RECURRENT, dict.fromkeys(("z", "p", "q"), no_delay))
    assert hub.of(3) == whole.of(3), (
        "the synapse between two living sites goes on as if nothing was"
    )
    assert len(hub.of(3)) > 10
    with_p = [1, 2, 4, 5]
    for synapse in with_p:
        before = [p for p in whole.of(synapse) if p.event_ns < dead_ns - 200 * MS]
        assert hub.of(synapse)[: len(before)] == before
        assert all(p.event_ns < dead_ns for p in hub.of(synapse))
    assert {hole.synapse for hole in hub.holes} == set(with_p)
    assert hub.most_waiting < 200, "what waits for the dead is bounded"


def test_silent_but_linked_site_holds_as_well() -> None:
    hub = Hub(CHAIN, dict.fromkeys("zpq", no_delay), max_wait_ns=2 * S)
    streams = four_phases()
    hub.wires["p"].is_stalled = True
    hub.run(streams, 8 * S)
    assert hub.pulses == []
    assert {hole.synapse for hole in hub.holes} == {1, 2}
