"""What came out of a run of the chain, read back from the three sessions' event logs.

Nothing here is taken from a program's memory: each figure is what a stranger would find in the
recordings.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.config.experiment import Experiment, Synapse
from app.core.spikes import EventKind
from app.recording.session import read_info
from app.synapse.rules import LTD, LTP
from app.synapse.weights import weight_of

SENT_VERDICTS = ("moved", "unmoved", "wrong way", "unconfirmed")
"""Verdicts of pulses that left for the device; the others were refused or came too late."""
SPIKE_KINDS = (int(EventKind.STIMULATED_SPIKE), int(EventKind.SPONTANEOUS_SPIKE))


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """One phase as it was run, on site time."""

    name: str
    rate_hz: float
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Latency:
    """A latency's distribution, in microseconds."""

    p50: float | None
    p99: float | None
    max: float | None
    n: int


def latency_of(values_ns: Sequence[int]) -> Latency:
    """Return the distribution of latencies given in ns."""
    if not values_ns:
        return Latency(None, None, None, 0)
    us = np.asarray(values_ns, np.float64) / 1e3
    p50, p99 = np.percentile(us, [50, 99])
    return Latency(round(float(p50), 1), round(float(p99), 1), round(float(us.max()), 1), len(us))


class Sessions:
    """The event logs of all sites of one run, opened for reading."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.folders = dict(folders)
        self._databases = {
            site: sqlite3.connect(f"file:{folder / 'events.sqlite'}?mode=ro", uri=True)
            for site, folder in folders.items()
        }

    def rows(self, site: str, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query on one site's log."""
        return self._databases[site].execute(query, values).fetchall()

    def close(self) -> None:
        """Close every log."""
        for database in self._databases.values():
            database.close()

    def have_one_clock(self) -> bool:
        """Say whether all sites read the same clock, as on one machine."""
        return len({read_info(folder).clock for folder in self.folders.values()}) == 1

    def phases(self) -> list[PhaseTimes]:
        """Return the protocol's phases as they were run, wherever they were."""
        query = "SELECT name, rate_hz, start_ns, end_ns FROM protocol_phases ORDER BY start_ns"
        found = [PhaseTimes(*row) for site in self.folders for row in self.rows(site, query)]
        return sorted(found, key=lambda phase: phase.start_ns)

    def spike_times_ns(self, site: str, neuron: int) -> list[int]:
        """Return the times of a neuron's own spikes, as its site recorded them."""
        query = (
            "SELECT time_ns FROM spikes WHERE site = ? AND neuron = ? AND kind IN (?, ?) "
            "AND origin_seq = 0 ORDER BY time_ns"
        )
        return [t for (t,) in self.rows(site, query, site, neuron, *SPIKE_KINDS)]

    def pulses(self, synapse: Synapse) -> list[tuple[int, int, int, str, float | None]]:
        """Return (event_ns, time_ns, polarity, verdict, after_ohm) of a synapse's pulses."""
        query = (
            "SELECT event_ns, time_ns, direction, verdict, after_ohm FROM device_pulses "
            "WHERE synapse = ? ORDER BY event_ns"
        )
        return [
            (event_ns, time_ns, LTP if direction == "LTP" else LTD, verdict, after_ohm)
            for event_ns, time_ns, direction, verdict, after_ohm in self.rows(
                synapse.site, query, synapse.id
            )
        ]

    def resistances(
        self, synapse: Synapse, instrument: str, wordline: int, bitline: int
    ) -> list[tuple[int, float]]:
        """Return (time_ns, ohm) of all believed readings of a synapse's device."""
        query = (
            "SELECT time_ns, resistance_ohm FROM device_reads WHERE instrument = ? "
            "AND wordline = ? AND bitline = ? ORDER BY time_ns"
        )
        return self.rows(synapse.site, query, instrument, wordline, bitline)


def summarise(
    sessions: Sessions,
    experiment: Experiment,
    experiment_hash: str,
    places: Mapping[int, tuple[str, int, int]],
    counters: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """Return the whole summary; `outcome` is judged only where all four phases were run.

    Parameters
    ----------
    places
        Synapse id to (instrument, word line, bit line) of its device.
    counters
        Site to what its links counted at the end, as `spikebridge status` tells it.
    """
    phases = sessions.phases()
    rows = [_phase_row(sessions, experiment, phase, places) for phase in phases]
    return {
        "experiment_hash": experiment_hash,
        "phases": rows,
        "outcome": judge(sessions, experiment, phases, rows) if len(phases) == 4 else None,
        "links": [_link_row(sessions, site, peer) for site in counters for peer in counters[site]],
        "refusals": _refusals(sessions),
        "loop_latency_us": asdict(latency_of(loop_latencies_ns(sessions, experiment))),
    }


def judge(
    sessions: Sessions,
    experiment: Experiment,
    phases: Sequence[PhaseTimes],
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, bool]:
    """Return the published outcome, claim by claim, about the first synapse and its post neuron.

    The claims are those of Figure 2 of Serb et al., Sci Rep 10:2590 (2020).
    """
    synapse = experiment.synapses[0]
    post = experiment.neuron(synapse.post)
    of_synapse = [row["synapses"][synapse.name] for row in rows]
    spikes = sessions.spike_times_ns(post.site, post.id)
    last = phases[3]
    middle_ns = (last.start_ns + last.end_ns) // 2
    claims = {
        "bn_silent_in_phase_1": rows[0]["n_bn_spikes"] == 0,
        "ltp_in_phase_2_and_not_before": of_synapse[0]["n_ltp"] == 0 and of_synapse[1]["n_ltp"] > 0,
        "bn_fires_in_phase_3": rows[2]["n_bn_spikes"] >= n_drives_asked(phases[2]) // 2,
        "ltd_in_phase_4": of_synapse[3]["n_ltd"] > 0,
        "bn_silent_in_last_half_of_phase_4": not [
            t for t in spikes if middle_ns <= t < last.end_ns
        ],
    }
    return {**claims, "holds": all(claims.values())}


def n_drives_asked(phase: PhaseTimes) -> int:
    """Return how many spikes of the pre neuron a phase asks for."""
    return int(phase.rate_hz * (phase.end_ns - phase.start_ns) / 1e9)


def loop_latencies_ns(sessions: Sessions, experiment: Experiment) -> list[int]:
    """Return, per stimulus that a PSP caused: key on the amplifier's socket minus pre spike.

    The spike's time is on its own site's clock: without one common clock there is no answer.
    """
    if not sessions.have_one_clock():
        return []
    biological = {experiment.neuron(s.post).site for s in experiment.synapses}
    query = (
        "SELECT sent_ns - caused_ns FROM deliveries WHERE kind = 'stimulate' "
        "AND sent_ns IS NOT NULL AND caused_ns IS NOT NULL"
    )
    return [t for site in sorted(biological) for (t,) in sessions.rows(site, query)]


def _refusals(sessions: Sessions) -> list[dict[str, Any]]:
    """Return how many requests each site's Gate refused, by reason."""
    query = (
        "SELECT reason, count(*) FROM audit WHERE verdict = 'refusal' GROUP BY reason ORDER BY 2 "
        "DESC"
    )
    return [
        {"site": site, "reason": reason, "n": n}
        for site in sessions.folders
        for reason, n in sessions.rows(site, query)
    ]


def _phase_row(
    sessions: Sessions,
    experiment: Experiment,
    phase: PhaseTimes,
    places: Mapping[int, tuple[str, int, int]],
) -> dict[str, Any]:
    def n_spikes(neuron_id: int) -> int:
        neuron = experiment.neuron(neuron_id)
        times = sessions.spike_times_ns(neuron.site, neuron_id)
        return sum(phase.start_ns <= t < phase.end_ns for t in times)

    first, last = experiment.synapses[0], experiment.synapses[-1]
    return {
        "name": phase.name,
        "pre_rate_hz": phase.rate_hz,
        "n_bn_spikes": n_spikes(first.post),
        "n_post_spikes": n_spikes(last.post),
        "synapses": {
            synapse.name: _synapse_row(sessions, synapse, phase, places[synapse.id])
            for synapse in experiment.synapses
        },
    }


def _synapse_row(
    sessions: Sessions, synapse: Synapse, phase: PhaseTimes, place: tuple[str, int, int]
) -> dict[str, Any]:
    readings = sessions.resistances(synapse, *place)
    start_ohm = _last_before(readings, phase.start_ns)
    end_ohm = _last_before(readings, phase.end_ns)
    sent = [
        polarity
        for event_ns, _, polarity, verdict, _ in sessions.pulses(synapse)
        if phase.start_ns <= event_ns < phase.end_ns and verdict in SENT_VERDICTS
    ]
    return {
        "r_start_ohm": start_ohm,
        "r_end_ohm": end_ohm,
        "weight_start": None if start_ohm is None else weight_of(start_ohm, synapse.weight),
        "weight_end": None if end_ohm is None else weight_of(end_ohm, synapse.weight),
        "n_ltp": sent.count(LTP),
        "n_ltd": sent.count(LTD),
    }


def _last_before(readings: Sequence[tuple[int, float]], time_ns: int) -> float | None:
    before = [ohm for t, ohm in readings if t < time_ns]
    return before[-1] if before else None


def _link_row(sessions: Sessions, sender: str, counted: Mapping[str, Any]) -> dict[str, Any]:
    """Return one direction of a link: what the sender counted against what the receiver recorded.

    Latencies need both clocks to be one, as they are on one machine.
    """
    receiver = counted["site"]
    spikes = sessions.rows(
        receiver,
        "SELECT s.origin_seq, s.time_ns, s.neuron, s.kind, f.time_ns - s.time_ns - "
        "1000 * s.age_bound_us FROM spikes s LEFT JOIN received_frames f "
        "ON f.site = s.site AND f.seq = s.origin_seq WHERE s.site = ? AND s.origin_seq > 0",
        sender,
    )
    psps = sessions.rows(
        receiver,
        "SELECT seq, cause, synapse, time_ns FROM psps WHERE site = ? AND direction = 'received'",
        sender,
    )
    sent_ns = {
        (cause, synapse): t
        for cause, synapse, t in sessions.rows(
            sender,
            "SELECT cause, synapse, time_ns FROM psps WHERE site = ? AND direction = 'sent'",
            receiver,
        )
    }
    latencies = [row[4] for row in spikes if row[4] is not None]
    latencies += [t - sent_ns[cause, syn] for _, cause, syn, t in psps if (cause, syn) in sent_ns]
    keys = [row[:4] for row in spikes] + [row[:3] for row in psps]
    n_received = len(set(keys))
    return {
        "from": sender,
        "to": receiver,
        "n_sent": counted["n_events_sent"],
        "n_received": n_received,
        "n_lost": counted["n_events_sent"] - n_received,
        "n_duplicated": len(keys) - n_received,
        "latency_us": asdict(latency_of(latencies)),
    }
