"""The figure of a run: rates, resistances with every pulse, and the rasters, phases shaded."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.config.experiment import Experiment, Neuron
from app.demo.summary import SENT_VERDICTS, PhaseTimes, Sessions
from app.synapse.rules import LTP

BIN_S = 0.5
PHASE_SHADES = ("#eef3f8", "#fdebd8", "#eef3f8", "#e3f1e3")
LTP_COLOUR, LTD_COLOUR, REFUSED_COLOUR = "#c0392b", "#2471a3", "#b3b6b7"


def draw_report(
    sessions: Sessions,
    experiment: Experiment,
    places: Mapping[int, tuple[str, int, int]],
    title: str,
    path: Path,
) -> None:
    """Draw the figure and write it to `path` as PNG; needs no display."""
    phases = sessions.phases()
    n_rows = 1 + len(experiment.synapses) + 1
    figure = Figure(figsize=(11, 2.4 * n_rows), layout="constrained")
    axes: list[Axes] = list(figure.subplots(n_rows, 1, sharex=True))
    origin_ns = phases[0].start_ns if phases else _first_spike_ns(sessions, experiment)
    for ax in axes:
        _shade(ax, phases, origin_ns)
    _draw_rates(axes[0], sessions, experiment.neurons, origin_ns)
    for ax, synapse in zip(axes[1:-1], experiment.synapses, strict=True):
        readings = sessions.resistances(synapse, *places[synapse.id])
        pulses = sessions.pulses(synapse)
        _draw_resistance(ax, synapse.name, readings, pulses, origin_ns)
        for edge_ohm in (synapse.weight.r_min_ohm, synapse.weight.r_max_ohm):
            ax.axhline(edge_ohm / 1e3, color="#7f8c8d", linewidth=0.8, linestyle=":")
    _draw_rasters(axes[-1], sessions, experiment.neurons, origin_ns)
    axes[-1].set_xlabel("time since the protocol began (s)")
    if phases:
        axes[-1].set_xlim(-0.5, (phases[-1].end_ns - origin_ns) / 1e9 + 0.5)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _first_spike_ns(sessions: Sessions, experiment: Experiment) -> int:
    times = [t for n in experiment.neurons for t in sessions.spike_times_ns(n.site, n.id)[:1]]
    return min(times, default=0)


def _seconds(times_ns: Sequence[int], origin_ns: int) -> np.ndarray:
    return (np.asarray(times_ns, np.int64) - origin_ns) / 1e9


def _shade(ax: Axes, phases: Sequence[PhaseTimes], origin_ns: int) -> None:
    for index, phase in enumerate(phases):
        left_s, right_s = _seconds([phase.start_ns, phase.end_ns], origin_ns)
        ax.axvspan(left_s, right_s, color=PHASE_SHADES[index % len(PHASE_SHADES)], zorder=0)


def _draw_rates(ax: Axes, sessions: Sessions, neurons: Sequence[Neuron], origin_ns: int) -> None:
    for neuron in neurons:
        times_s = _seconds(sessions.spike_times_ns(neuron.site, neuron.id), origin_ns)
        if not len(times_s):
            ax.plot([], [], label=f"{neuron.name} (no spike)")
            continue
        edges = np.arange(np.floor(times_s[0]), times_s[-1] + 2 * BIN_S, BIN_S)
        counts, _ = np.histogram(times_s, edges)
        ax.step(edges[:-1], counts / BIN_S, where="post", label=f"{neuron.name} ({neuron.site})")
    for phase in sessions.phases():
        middle_s = _seconds([phase.start_ns, phase.end_ns], origin_ns).mean()
        ax.text(
            middle_s, 1.02, f"{phase.name}: {phase.rate_hz:g} Hz", ha="center", fontsize=9,
            transform=ax.get_xaxis_transform(),
        )  # fmt: skip
    ax.set_ylabel("rate (Hz)")
    ax.legend(loc="upper right", fontsize=8)


def _draw_resistance(
    ax: Axes,
    name: str,
    readings: Sequence[tuple[int, float]],
    pulses: Sequence[tuple[int, int, int, str, float | None]],
    origin_ns: int,
) -> None:
    if readings:
        times_s = _seconds([t for t, _ in readings], origin_ns)
        ax.step(times_s, [r / 1e3 for _, r in readings], where="post", color="#2c3e50", linewidth=1)
    groups: tuple[tuple[str, str, str, Callable[[int, str], bool]], ...] = (
        ("LTP pulse", LTP_COLOUR, "^", lambda p, v: p == LTP and v in SENT_VERDICTS),
        ("LTD pulse", LTD_COLOUR, "v", lambda p, v: p != LTP and v in SENT_VERDICTS),
        ("refused", REFUSED_COLOUR, "|", lambda _p, v: v not in SENT_VERDICTS),
    )
    for label, colour, marker, belongs in groups:
        chosen = [pulse for pulse in pulses if belongs(pulse[2], pulse[3])]
        height = 0.06 if label == "refused" else 0.12
        ax.plot(
            _seconds([pulse[0] for pulse in chosen], origin_ns),
            [height] * len(chosen), marker, color=colour, markersize=5, linestyle="",
            label=f"{label} ({len(chosen)})", transform=ax.get_xaxis_transform(),
        )  # fmt: skip
    ax.set_ylabel(f"{name}\nresistance (kOhm)")
    ax.legend(loc="upper right", fontsize=8)


def _draw_rasters(ax: Axes, sessions: Sessions, neurons: Sequence[Neuron], origin_ns: int) -> None:
    for row, neuron in enumerate(neurons):
        times_s = _seconds(sessions.spike_times_ns(neuron.site, neuron.id), origin_ns)
        ax.eventplot(times_s, lineoffsets=row, linelengths=0.8, linewidths=0.7, color=f"C{row}")
    ax.set_yticks(range(len(neurons)), [neuron.name for neuron in neurons])
    ax.set_ylabel("spikes")
    ax.set_ylim(-0.6, len(neurons) - 0.4)
