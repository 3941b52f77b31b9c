"""The synapses of one site, as a pure function of what they are told.

Transmission happens on arrival: a pre spike makes a PSP at once, from the cached resistance of
its device. Plasticity happens in event time: each synapse's rule sees pre and post events in
order of firing, when both streams are complete. No I/O, no clock, no threads in here; the same
inputs give the same outputs, which is what makes a session replayable.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from app.config.experiment import Experiment, Synapse
from app.core.spikes import PSP_RECORD, EventKind, Provenance, PspRecords, SpikeRecords
from app.synapse.rules import NOTHING, Rule, make_rule
from app.synapse.timeline import Hole, Role, Timeline
from app.synapse.weights import weight_of

PROVENANCE_FLAG = {Provenance.LIVE: 0, Provenance.MOCK: 1, Provenance.PLAYBACK: 2}
"""Two low bits of a PSP's flags: the least real thing that had a part in it."""
PROVENANCE_OF_FLAG = {flag: provenance for provenance, flag in PROVENANCE_FLAG.items()}


class SpikeArrival(msgspec.Struct, frozen=True, eq=False):
    """One batch of events of one stream, as it reached this site."""

    site: str
    stream: int
    neurons: frozenset[int]
    """All neurons for which this stream speaks, whether or not they fired."""
    provenance: Provenance
    records: SpikeRecords
    complete_until_ns: int
    seq: int = 0
    is_resend: bool = False
    age_bound_ns: int | None = 0
    """Upper bound of the batch's age on arrival; None: not known, so never fresh."""
    received_ns: int | None = None
    """When it arrived: what it waits here adds to its age. None: decided upon at once."""


@dataclass(frozen=True, slots=True, eq=False)
class PspsOut:
    """PSPs for the site of their post neurons, made now."""

    site: str
    records: PspRecords


@dataclass(frozen=True, slots=True)
class PulseWanted:
    """A rule asks for one pulse on a synapse's device."""

    synapse: int
    polarity: int
    """+1 LTP, -1 LTD."""
    event_ns: int
    """Firing time of the post or pre event that decided, on this site's clock."""
    n_decision: int
    """Counts a synapse's wanted pulses from 1, so a lost one would show."""


@dataclass(frozen=True, slots=True)
class HoleDeclared:
    """A synapse's rule holds: events are missing in this stretch."""

    synapse: int
    hole: Hole


@dataclass(frozen=True, slots=True)
class PspWithheld:
    """A pre spike made no PSP, and why."""

    synapse: int
    pre_time_ns: int
    reason: str


Output = PspsOut | PulseWanted | HoleDeclared | PspWithheld


@dataclass(slots=True)
class _SynapseState:
    synapse: Synapse
    post_site: str
    pre_site_index: int
    rule: Rule
    timeline: Timeline
    provenance: Provenance
    resistance_ohm: float | None = None
    n_wanted: int = 0
    is_holding: bool = True


@dataclass(frozen=True, slots=True)
class SynapseView:
    """What a console shows of one synapse."""

    synapse: int
    name: str
    resistance_ohm: float | None
    weight: float | None
    is_holding: bool
    n_wanted: int
    n_waiting: int
    n_late: int


@dataclass(slots=True)
class _Clocks:
    """Offsets to this site's clock: site time + offset = our time."""

    offset_ns: dict[str, int] = field(default_factory=dict)

    def to_ours(self, site: str, time_ns: int) -> int:
        return time_ns + self.offset_ns.get(site, 0)


def site_index(experiment: Experiment) -> dict[str, int]:
    """Return the number of each site on the wire: its place in the sorted names."""
    return {name: i for i, name in enumerate(sorted({n.site for n in experiment.neurons}))}


class SynapseNetwork:
    """All synapses that `site` hosts. One thread calls it."""

    def __init__(
        self,
        experiment: Experiment,
        site: str,
        device_provenance: Mapping[str, Provenance],
        max_wait_ns: int,
        max_waiting: int,
    ) -> None:
        indices = site_index(experiment)
        self.site = site
        self._clocks = _Clocks()
        self._states: dict[int, _SynapseState] = {}
        self._by_neuron: dict[int, list[tuple[Role, _SynapseState]]] = {}
        for synapse in experiment.synapses:
            if synapse.site != site:
                continue
            state = _SynapseState(
                synapse=synapse,
                post_site=experiment.neuron(synapse.post).site,
                pre_site_index=indices[experiment.neuron(synapse.pre).site],
                rule=make_rule(synapse.rule),
                timeline=Timeline(max_wait_ns, max_waiting),
                provenance=device_provenance[synapse.device],
            )
            self._states[synapse.id] = state
            self._by_neuron.setdefault(synapse.pre, []).append((Role.PRE, state))
            self._by_neuron.setdefault(synapse.post, []).append((Role.POST, state))

    def clock_mapping(self, site: str, offset_ns: int) -> None:
        """Set the offset that turns a site's times into ours."""
        self._clocks.offset_ns[site] = offset_ns

    def device_read(self, synapse: int, resistance_ohm: float) -> None:
        """Cache a believed resistance of a synapse's device, in ohms."""
        self._states[synapse].resistance_ohm = resistance_ohm

    def spikes(self, arrival: SpikeArrival, now_ns: int) -> list[Output]:
        """Take a batch; return the PSPs it makes and whatever became decidable."""
        outputs = self._transmit(arrival, now_ns)
        for record in arrival.records:
            time_ns = self._clocks.to_ours(arrival.site, int(record["time_ns"]))
            for role, state in self._by_neuron.get(int(record["neuron"]), ()):
                if counts_for_plasticity(role, EventKind(record["kind"])):
                    state.timeline.add(role, time_ns, now_ns)
        complete_ns = self._clocks.to_ours(arrival.site, arrival.complete_until_ns)
        for role, state in self._touched(arrival.neurons):
            state.timeline.advance(role, complete_ns)
        for state in {id(s): s for _, s in self._touched(arrival.neurons)}.values():
            outputs += self._decide(state, now_ns)
        return outputs

    def stream_broken(self, neurons: Iterable[int], reason: str) -> list[Output]:
        """Note that events of these neurons were lost, or that their stream began anew."""
        outputs: list[Output] = []
        for role, state in self._touched(neurons):
            hole = state.timeline.restart(role, reason)
            outputs.append(self._hold(state, hole))
        return outputs

    def tick(self, now_ns: int) -> list[Output]:
        """Declare holes where events have waited too long."""
        outputs: list[Output] = []
        for state in self._states.values():
            hole = state.timeline.overdue(now_ns)
            if hole is not None:
                outputs.append(self._hold(state, hole))
        return outputs

    def views(self) -> tuple[SynapseView, ...]:
        """Return a snapshot of every synapse."""
        return tuple(
            SynapseView(
                synapse=state.synapse.id,
                name=state.synapse.name,
                resistance_ohm=state.resistance_ohm,
                weight=None
                if state.resistance_ohm is None
                else weight_of(state.resistance_ohm, state.synapse.weight),
                is_holding=state.is_holding,
                n_wanted=state.n_wanted,
                n_waiting=state.timeline.n_waiting,
                n_late=state.timeline.n_late,
            )
            for state in self._states.values()
        )

    def _touched(self, neurons: Iterable[int]) -> list[tuple[Role, _SynapseState]]:
        return [pair for neuron in neurons for pair in self._by_neuron.get(neuron, ())]

    def _transmit(self, arrival: SpikeArrival, now_ns: int) -> list[Output]:
        by_site: dict[str, list[tuple[object, ...]]] = {}
        outputs: list[Output] = []
        for index, record in enumerate(arrival.records):
            if record["kind"] == EventKind.PSP_DELIVERED:
                continue
            for role, state in self._by_neuron.get(int(record["neuron"]), ()):
                if role is not Role.PRE:
                    continue
                age_ns = _age_ns(arrival, int(record["age_bound_us"]), now_ns)
                reason = _why_no_psp(state, arrival.is_resend, age_ns)
                if reason is not None:
                    outputs.append(PspWithheld(state.synapse.id, int(record["time_ns"]), reason))
                    continue
                psp = _psp(state, arrival, index, age_ns)
                by_site.setdefault(state.post_site, []).append(psp)
        outputs += [
            PspsOut(site, np.array(psps, dtype=PSP_RECORD)) for site, psps in by_site.items()
        ]
        return outputs

    def _decide(self, state: _SynapseState, now_ns: int) -> list[Output]:
        outputs: list[Output] = []
        for time_ns, role in state.timeline.take_ready(now_ns):
            rule = state.rule
            polarity = rule.on_pre(time_ns) if role is Role.PRE else rule.on_post(time_ns)
            since_ns = state.timeline.continuous_since_ns
            state.is_holding = since_ns is None or time_ns - since_ns < rule.window_ns
            if polarity != NOTHING and not state.is_holding:
                state.n_wanted += 1
                outputs.append(PulseWanted(state.synapse.id, polarity, time_ns, state.n_wanted))
        hole = state.timeline.overdue(now_ns)
        if hole is not None:
            outputs.append(self._hold(state, hole))
        return outputs

    def _hold(self, state: _SynapseState, hole: Hole) -> HoleDeclared:
        state.rule.reset()
        state.is_holding = True
        return HoleDeclared(state.synapse.id, hole)


def counts_for_plasticity(role: Role, kind: EventKind) -> bool:
    """Say whether an event counts as pre or post of a synapse.

    Post events are kinds 0 and 2: a spike that our own stimulus caused must not drive learning
    twice. Pre events are kinds 1 and 2: a delivered PSP is not a spike. (Hub program of 2020.)
    """
    if role is Role.POST:
        return kind is not EventKind.STIMULATED_SPIKE
    return kind is not EventKind.PSP_DELIVERED


def _age_ns(arrival: SpikeArrival, record_bound_us: int, now_ns: int) -> int | None:
    if arrival.age_bound_ns is None:
        return None
    waited_ns = 0 if arrival.received_ns is None else max(0, now_ns - arrival.received_ns)
    return arrival.age_bound_ns + record_bound_us * 1000 + waited_ns


def _why_no_psp(state: _SynapseState, is_resend: bool, age_ns: int | None) -> str | None:
    if is_resend:
        return "resent: recorded and learned from, never live"
    if age_ns is None:
        return "age not known"
    deadline_ns = round(state.synapse.deadline_s * 1e9)
    if not age_ns <= deadline_ns:
        return f"late: up to {age_ns / 1e6:.0f} ms old, deadline {deadline_ns / 1e6:.0f} ms"
    if state.resistance_ohm is None:
        return f"device {state.synapse.device} has not been read yet"
    return None


def _psp(
    state: _SynapseState, arrival: SpikeArrival, index: int, age_ns: int | None
) -> tuple[object, ...]:
    record = arrival.records[index]
    provenance = max(PROVENANCE_FLAG[arrival.provenance], PROVENANCE_FLAG[state.provenance])
    resistance_ohm = state.resistance_ohm
    if resistance_ohm is None or age_ns is None:
        raise ValueError(f"synapse {state.synapse.name}: a PSP needs a reading and an age")
    return (
        int(record["time_ns"]),
        (arrival.seq << 16) | index,
        state.synapse.id,
        state.synapse.post,
        weight_of(resistance_ohm, state.synapse.weight),
        -(-age_ns // 1000),
        state.pre_site_index,
        int(record["kind"]),
        provenance,
        0,
    )
