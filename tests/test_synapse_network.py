"""The synapse network: event time, holes, transmission, and independence of delay."""

import random

import numpy as np
import pytest

from app.config.experiment import (
    Experiment,
    Neuron,
    PairStdpRule,
    PulsePair,
    RateRule,
    Synapse,
    WeightMap,
)
from app.core.spikes import SPIKE_RECORD, EventKind, Provenance
from app.synapse.inputs import (
    ClockOffset,
    DeviceRead,
    Input,
    StreamBroken,
    Tick,
    apply,
    decode,
    encode,
)
from app.synapse.network import (
    HoleDeclared,
    Output,
    PspsOut,
    PspWithheld,
    PulseWanted,
    SpikeArrival,
    SynapseNetwork,
)
from app.synapse.rules import LTD, LTP, NOTHING
from app.synapse.rules import PairStdpRule as PairStdp
from app.synapse.rules import RateRule as Rate

MS = 1_000_000
S = 1_000_000_000


def experiment(rule=None, deadline_s=0.2) -> Experiment:
    rule = rule or RateRule()
    pulse = PulsePair(ltp_amplitude_v=1.5, ltp_width_s=1e-4, ltd_amplitude_v=-1.5, ltd_width_s=1e-4)
    weight = WeightMap(r_min_ohm=4000.0, r_max_ohm=9000.0)

    def synapse(number: int, pre: int, post: int) -> Synapse:
        return Synapse(
            id=number,
            name=f"s{number}",
            pre=pre,
            post=post,
            site="hub",
            device=f"d{number}",
            deadline_s=deadline_s,
            weight=weight,
            rule=rule,
            pulse=pulse,
        )

    return Experiment(
        schema_version=1,
        name="test",
        neurons=(
            Neuron(id=63, name="ANpre", site="z"),
            Neuron(id=256, name="BN", site="p"),
            Neuron(id=1, name="ANpost", site="z"),
        ),
        synapses=(synapse(1, 63, 256), synapse(2, 256, 1)),
    )


def network(**kwargs) -> SynapseNetwork:
    devices = {"d1": Provenance.MOCK, "d2": Provenance.MOCK}
    made = SynapseNetwork(experiment(**kwargs), "hub", devices, 60 * S, 1000)
    made.device_read(1, 5000.0)
    made.device_read(2, 9000.0)
    return made


def arrival(site, events, complete_ns, **kwargs) -> SpikeArrival:
    """`events` are (time_ns, neuron) or (time_ns, neuron, kind)."""
    records = np.zeros(len(events), SPIKE_RECORD)
    for record, (time_ns, neuron, *kind) in zip(records, events, strict=True):
        record["time_ns"] = time_ns
        record["neuron"] = neuron
        record["kind"] = kind[0] if kind else EventKind.SPONTANEOUS_SPIKE
    neurons = {"z": frozenset({63, 1}), "p": frozenset({256})}[site]
    return SpikeArrival(
        site, 0, neurons, kwargs.pop("provenance", Provenance.MOCK), records, complete_ns, **kwargs
    )


def pulses(outputs: list[Output]) -> list[tuple[int, int, int, int]]:
    return [
        (o.synapse, o.polarity, o.event_ns, o.n_decision)
        for o in outputs
        if isinstance(o, PulseWanted)
    ]


def four_phases() -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
    """ANpre at 10, 30, 10, 2 Hz for 3 s each; a delivered PSP 5 ms after each pre spike."""
    pre = []
    for phase, rate_hz in enumerate((10, 30, 10, 2)):
        pre += [(phase * 3 * S + k * S // rate_hz, 63) for k in range(3 * rate_hz)]
    post = [(t + 5 * MS, 256, EventKind.PSP_DELIVERED) for t, _ in pre]
    return pre, post


def batches(site, events, step_ns, end_ns):
    """Cut events into batches of `step_ns`; each promises completeness to its end."""
    start = 0
    while start < end_ns:
        part = [e for e in events if start <= e[0] < start + step_ns]
        yield start + step_ns, arrival(site, part, start + step_ns)
        start += step_ns


def run_with_delays(delay_of, seed=0) -> list[Output]:
    """Feed both streams; a batch made at t arrives at t + delay, in order within its site."""
    rng = random.Random(seed)
    net = network()
    pre, post = four_phases()
    arrivals: list[tuple[int, int, SpikeArrival]] = []
    for order, (site, events) in enumerate((("z", pre), ("p", post))):
        last = 0
        for made_ns, batch in batches(site, events, 10 * MS, 13 * S):
            last = max(last + 1, made_ns + delay_of(rng))
            arrivals.append((last, order, batch))
    arrivals.sort(key=lambda a: a[:2])
    outputs = []
    for now_ns, _, batch in arrivals:
        outputs += net.spikes(batch, now_ns)
    return outputs


def test_published_phases_give_ltp_then_ltd_at_the_published_times() -> None:
    wanted = pulses(run_with_delays(lambda _rng: 0))
    of_1 = [(polarity, t) for synapse, polarity, t, _ in wanted if synapse == 1]
    ltp = [t for polarity, t in of_1 if polarity == LTP]
    ltd = [t for polarity, t in of_1 if polarity == LTD]
    assert min(ltp) - 3 * S == pytest.approx(0.53 * S, abs=0.15 * S)
    assert max(ltp) < 7 * S
    assert min(ltd) - 9 * S == pytest.approx(1.0 * S, abs=0.2 * S)
    assert not [t for _, t in of_1 if t < 3 * S]


@pytest.mark.parametrize("seed", range(5))
def test_delay_and_reordering_across_sites_change_no_wanted_pulse(seed: int) -> None:
    undelayed = pulses(run_with_delays(lambda _rng: 0))
    delayed = pulses(run_with_delays(lambda rng: (80 + rng.randint(-20, 20)) * MS, seed))
    assert delayed == undelayed
    assert len(undelayed) > 50


def test_silent_site_holds_only_its_own_synapse() -> None:
    other = Neuron(id=7, name="other", site="q")
    base = experiment()
    third = Synapse(
        id=3,
        name="s3",
        pre=63,
        post=7,
        site="hub",
        device="d3",
        weight=base.synapses[0].weight,
        rule=base.synapses[0].rule,
        pulse=base.synapses[0].pulse,
    )
    exp = Experiment(
        schema_version=1,
        name="t",
        neurons=(*base.neurons, other),
        synapses=(*base.synapses, third),
    )
    devices = dict.fromkeys(("d1", "d2", "d3"), Provenance.MOCK)
    net = SynapseNetwork(exp, "hub", devices, 60 * S, 100)
    pre, post = four_phases()
    outputs = []
    for (now_ns, z), (_, p) in zip(
        batches("z", pre, 10 * MS, 13 * S), batches("p", post, 10 * MS, 13 * S), strict=True
    ):
        outputs += net.spikes(z, now_ns) + net.spikes(p, now_ns)
    holes = {o.synapse for o in outputs if isinstance(o, HoleDeclared)}
    assert holes == {3}, "site q never spoke: more than 100 events waited for it"
    assert [p for p in pulses(outputs) if p[0] == 1]
    assert not [p for p in pulses(outputs) if p[0] == 3]
    assert all(view.n_waiting <= 101 for view in net.views())


def test_waiting_too_long_declares_a_hole_and_the_rule_holds_for_a_window() -> None:
    net = network()
    net.spikes(arrival("p", [], 1), 0)
    for k in range(30):
        net.spikes(arrival("z", [(k * 10 * MS, 63)], k * 10 * MS + 1), k * 10 * MS)
    assert not net.tick(59 * S)
    holes = net.tick(61 * S)
    assert [o.synapse for o in holes] == [1]
    assert net.views()[0].is_holding
    later = 62 * S
    events = [(later + k * 10 * MS, 63) for k in range(90)]
    out = net.spikes(arrival("z", events, later + S), later + S)
    posts = [(later + 5 * MS + k * 10 * MS, 256, EventKind.PSP_DELIVERED) for k in range(90)]
    out += net.spikes(arrival("p", posts, later + S), later + S)
    assert not pulses(out), "less than a window since the hole"


def test_broken_stream_resets_history_until_the_window_has_refilled() -> None:
    net = network()
    pre, post = four_phases()
    outputs = []
    for (now_ns, z), (_, p) in zip(
        batches("z", pre, 10 * MS, 6 * S), batches("p", post, 10 * MS, 6 * S), strict=True
    ):
        if now_ns == 4 * S:
            outputs += net.stream_broken([63], "gap: 12 frames lost")
        outputs += net.spikes(z, now_ns) + net.spikes(p, now_ns)
    times = [t for synapse, _, t, _ in pulses(outputs) if synapse == 1]
    assert not [t for t in times if 4 * S <= t < 5 * S]
    assert [t for t in times if t >= 5 * S]


def test_psp_carries_weight_cause_and_age_and_goes_to_the_post_site() -> None:
    net = network()
    batch = arrival("z", [(5 * MS, 63)], 6 * MS, seq=77, age_bound_ns=3 * MS)
    batch.records["age_bound_us"] = 500
    (out,) = net.spikes(batch, 8 * MS)
    assert isinstance(out, PspsOut)
    assert out.site == "p"
    (psp,) = out.records
    assert psp["weight"] == pytest.approx(0.2)
    assert psp["cause"] == 77 << 16
    assert psp["age_bound_us"] == 3500
    assert psp["post"] == 256
    assert psp["flags"] == 1, "a mock had a part in it"


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"is_resend": True}, "resent"),
        ({"age_bound_ns": None}, "not known"),
        ({"age_bound_ns": 201 * MS}, "late"),
    ],
)
def test_stale_spike_makes_no_psp_but_counts_for_plasticity(kwargs, word) -> None:
    net = network()
    (out,) = net.spikes(arrival("z", [(5 * MS, 63)], 5 * MS, **kwargs), 8 * MS)
    assert isinstance(out, PspWithheld)
    assert word in out.reason
    assert net.views()[0].n_waiting == 1


def test_unread_device_transmits_nothing() -> None:
    devices = {"d1": Provenance.LIVE, "d2": Provenance.LIVE}
    net = SynapseNetwork(experiment(), "hub", devices, S, 10)
    (out,) = net.spikes(arrival("z", [(0, 63)], 1), 2)
    assert isinstance(out, PspWithheld)
    assert "not been read" in out.reason


def test_delivered_psp_is_no_pre_spike_and_stimulated_spike_no_post_event() -> None:
    net = network()
    delivered = net.spikes(arrival("p", [(0, 256, EventKind.PSP_DELIVERED)], 1), 2)
    assert not [o for o in delivered if isinstance(o, PspsOut)]
    stimulated = net.spikes(arrival("p", [(10, 256, EventKind.STIMULATED_SPIKE)], 11), 12)
    assert [o.site for o in stimulated if isinstance(o, PspsOut)] == ["z"]
    views = {view.synapse: view for view in net.views()}
    assert views[1].n_waiting == 1, "only the delivered PSP is a post event of synapse 1"
    assert views[2].n_waiting == 1, "only the spike is a pre event of synapse 2"


def test_clock_offset_moves_a_sites_events() -> None:
    net = network(rule=PairStdpRule(ltp_window_s=0.02, ltd_window_s=0.02))
    net.clock_mapping("p", -3600 * S)
    net.spikes(arrival("z", [], 0), 0)
    net.spikes(arrival("p", [], 3600 * S), 0)
    net.spikes(arrival("z", [(S, 63)], 2 * S), 2 * S)
    post = [(3601 * S + 5 * MS, 256, EventKind.PSP_DELIVERED)]
    out = net.spikes(arrival("p", post, 3602 * S), 2 * S)
    assert pulses(out) == [(1, LTP, S + 5 * MS, 1)]


def test_logged_inputs_decided_again_give_identical_outputs() -> None:
    pre, post = four_phases()
    inputs: list[tuple[int, Input]] = [
        (0, DeviceRead(1, 5000.0)),
        (0, DeviceRead(2, 9000.0)),
        (0, ClockOffset("p", 0, 0)),
    ]
    for (now_ns, z), (_, p) in zip(
        batches("z", pre, 10 * MS, 13 * S), batches("p", post, 10 * MS, 13 * S), strict=True
    ):
        inputs += [(now_ns, z), (now_ns + 1, p)]
    inputs.insert(800, (4 * S, StreamBroken((63,), "cut")))
    inputs.append((90 * S, Tick()))
    first, second = network(), network()
    original = [repr_of(o) for now, i in inputs for o in apply(first, i, now)]
    again = [repr_of(o) for now, i in inputs for o in apply(second, decode(*encode(i)), now)]
    assert again == original
    assert len(original) > 100


def repr_of(output: Output) -> object:
    if isinstance(output, PspsOut):
        return output.site, output.records.tobytes()
    return output


@pytest.mark.parametrize(
    ("rate_hz", "expected"),
    [(4, LTD), (5, NOTHING), (6, NOTHING), (10, NOTHING), (20, NOTHING), (21, LTP), (30, LTP)],
)
def test_rate_rule_in_the_steady_state(rate_hz: int, expected: int) -> None:
    """With a lag of 5 ms, as the published timing table states it."""
    rule = Rate(RateRule())
    said = []
    for k in range(3 * rate_hz):
        rule.on_pre(k * S // rate_hz)
        said.append(rule.on_post(k * S // rate_hz + 5 * MS))
    assert set(said[2 * rate_hz :]) == {expected}


def test_rate_rule_window_is_closed_at_both_ends() -> None:
    rule = Rate(RateRule(ltp_above=20))
    for k in range(41):
        rule.on_pre(k * 50 * MS)
    assert rule.on_post(40 * 50 * MS) == LTP, "zero lag at 20 Hz counts 21"


def test_rate_rule_holds_until_one_window_after_the_first_spike() -> None:
    rule = Rate(RateRule())
    rule.on_pre(0)
    assert rule.on_post(5 * MS) == NOTHING
    assert rule.on_post(S) == LTD


def test_pair_rule_follows_the_order() -> None:
    rule = PairStdp(PairStdpRule(ltp_window_s=0.025, ltd_window_s=0.025))
    assert rule.on_pre(0) == NOTHING
    assert rule.on_post(20 * MS) == LTP
    assert rule.on_pre(30 * MS) == LTD
    assert rule.on_post(60 * MS) == NOTHING
    rule.reset()
    assert rule.on_post(61 * MS) == NOTHING
