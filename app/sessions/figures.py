"""Figures of one session, drawn without a display: rates, rasters, resistances, links, refusals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.recording.reader import SessionReader
from app.sessions.facts import SENT_VERDICTS, experiment_of, span_ns

MAX_DRAWN = 20_000
"""Marks in one picture; more are thinned out, and the figure says so."""
N_BINS = 200
SHADES = ("#eef3f8", "#fdebd8", "#e3f1e3", "#f4e8f2")
LTP_COLOUR, LTD_COLOUR, REFUSED_COLOUR = "#c0392b", "#2471a3", "#b3b6b7"
LINE_COLOUR, GAP_COLOUR = "#2c3e50", "#e67e22"
WIDTH_IN, LEFT_IN, RIGHT_IN, TOP_IN, BOTTOM_IN, BETWEEN_IN = 10.5, 1.5, 0.1, 0.25, 0.5, 0.15
"""Margins are the same in every figure, so that one time stands at one place down the page."""
LEAST_MS = 0.01
MAX_LINES = 1000

Times = npt.NDArray[np.float64]
"""Seconds since the session began, on its own clock."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure and what it shows."""

    name: str
    title: str
    text: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Source:
    """One neuron's spikes, on this site's clock."""

    name: str
    times_s: Times


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What came over one link: when, and how late in ms."""

    site: str
    what: str
    times_s: Times
    ms: Times


class Pictures:
    """Draws one session; `session` stays the caller's."""

    def __init__(self, session: SessionReader) -> None:
        self._session = session
        self._start_ns, end_ns = span_ns(session)
        self._duration_s = max(1e-3, (end_ns - self._start_ns) / 1e9)
        self._phases = [
            (str(name), float(self._seconds(begin)), float(self._seconds(end)))
            for name, begin, end in session.query(
                "SELECT name, start_ns, end_ns FROM protocol_phases ORDER BY start_ns"
            )
        ]

    def all(self) -> Iterator[Picture]:
        """Draw every figure for which the session has something to show."""
        sources = self._sources()
        if sources:
            yield self._rates(sources)
            yield self._rasters(sources)
        devices = self._session.query(
            "SELECT DISTINCT instrument, wordline, bitline FROM device_reads ORDER BY 1, 2, 3"
        )
        if devices:
            yield self._resistances(devices)
        arrivals = self._arrivals()
        if arrivals:
            yield self._links(arrivals)
        refusals = self._session.query(
            "SELECT time_ns, reason FROM audit WHERE verdict = 'refusal' ORDER BY rowid"
        )
        if refusals:
            yield self._refusals(refusals)

    def _seconds(self, times_ns: npt.ArrayLike) -> Times:
        times_s: Times = (np.asarray(times_ns, np.int64) - self._start_ns) / 1e9
        return times_s

    def _sources(self) -> list[Source]:
        session = self._session
        experiment = experiment_of(session)
        names = {n.id: n.name for n in experiment.neurons} if experiment else {}
        found = session.query("SELECT DISTINCT site, neuron FROM spikes ORDER BY site, neuron")
        return [
            Source(
                f"{names.get(neuron, neuron)} ({site})",
                self._seconds(
                    session.to_own_ns(
                        site,
                        [
                            t
                            for (t,) in session.query(
                                "SELECT time_ns FROM spikes WHERE site = ? AND neuron = ? "
                                "AND kind != 0 ORDER BY time_ns",
                                site,
                                neuron,
                            )
                        ],
                    )
                ),
            )
            for site, neuron in found
        ]

    # --- figures ------------------------------------------------------------------------------

    def _rates(self, sources: Sequence[Source]) -> Picture:
        figure, (ax,) = self._axes(1, 2.6)
        bin_s = max(0.5, self._duration_s / N_BINS)
        edges = np.arange(0.0, self._duration_s + bin_s, bin_s)
        for source in sources:
            counts, _ = np.histogram(source.times_s, edges)
            label = f"{source.name}, {len(source.times_s)} spikes"
            ax.step(edges[:-1], counts / bin_s, where="post", linewidth=1, label=label)
        ax.set_ylabel("rate (Hz)")
        ax.legend(loc="upper left", fontsize=8)
        text = f"Spikes per second in bins of {bin_s:g} s, stimulated ones included."
        return Picture("rates", "Firing rates", text, figure)

    def _rasters(self, sources: Sequence[Source]) -> Picture:
        figure, (ax,) = self._axes(1, 0.9 + 0.35 * len(sources))
        n_each = MAX_DRAWN // len(sources)
        for row, source in enumerate(sources):
            drawn = _thinned(source.times_s, n_each)
            ax.eventplot(drawn, lineoffsets=row, linelengths=0.8, linewidths=0.6, color=f"C{row}")
        ax.set_yticks(range(len(sources)), [source.name for source in sources])
        ax.set_ylim(-0.6, len(sources) - 0.4)
        is_thinned = any(len(source.times_s) > n_each for source in sources)
        text = f"Thinned to {n_each} marks a row." if is_thinned else "Every spike is one mark."
        return Picture("raster", "Raster", text, figure)

    def _resistances(self, devices: Sequence[tuple[str, int, int]]) -> Picture:
        figure, axes = self._axes(len(devices), 2.2)
        for ax, place in zip(axes, devices, strict=True):
            reads = self._session.query(
                "SELECT time_ns, resistance_ohm FROM device_reads WHERE instrument = ? AND "
                "wordline = ? AND bitline = ? ORDER BY rowid",
                *place,
            )
            times_s = self._seconds([t for t, _ in reads])
            ohms = np.array([ohm for _, ohm in reads], float)
            ax.step(times_s, ohms / 1e3, where="post", color=LINE_COLOUR, linewidth=1)
            self._draw_pulses(ax, place)
            ax.set_ylabel(f"{place[0]} {place[1]},{place[2]}\n(kOhm)")
            ax.legend(loc="upper left", fontsize=8)
        text = "Every believed reading; pulses at the firing time of the event that asked for them."
        return Picture("resistances", "Resistances and pulses", text, figure)

    def _draw_pulses(self, ax: Axes, place: tuple[str, int, int]) -> None:
        pulses = self._session.query(
            "SELECT event_ns, direction, verdict FROM device_pulses WHERE instrument = ? AND "
            "wordline = ? AND bitline = ?",
            *place,
        )
        groups: tuple[tuple[str, str, str, float, Callable[[str, str], bool]], ...] = (
            ("LTP", LTP_COLOUR, "^", 0.12, lambda d, v: d == "LTP" and v in SENT_VERDICTS),
            ("LTD", LTD_COLOUR, "v", 0.12, lambda d, v: d == "LTD" and v in SENT_VERDICTS),
            ("not sent", REFUSED_COLOUR, "|", 0.05, lambda _d, v: v not in SENT_VERDICTS),
        )
        for label, colour, marker, height, belongs in groups:
            chosen = self._seconds([t for t, d, v in pulses if belongs(d, v)])
            ax.plot(
                _thinned(chosen, MAX_DRAWN),
                np.full(min(len(chosen), MAX_DRAWN), height),
                marker,
                color=colour,
                markersize=5,
                label=f"{label} ({len(chosen)})",
                transform=ax.get_xaxis_transform(),
            )

    def _arrivals(self) -> list[Arrivals]:
        """Return what came over each link: spikes with their latency, PSPs with their age."""
        session = self._session
        found = []
        for (site,) in session.query("SELECT DISTINCT site FROM links ORDER BY site"):
            rows = session.query(
                "SELECT f.time_ns, s.time_ns FROM received_frames f JOIN spikes s "
                "ON s.site = f.site AND s.origin_seq = f.seq AND s.origin_seq > 0 "
                "WHERE f.site = ? AND f.kind = 'SPIKES' AND f.flags = 0",
                site,
            )
            if rows:
                pairs = np.array(rows, np.int64)
                ms = (pairs[:, 0] - session.to_own_ns(site, pairs[:, 1])) / 1e6
                found.append(Arrivals(site, "spikes", self._seconds(pairs[:, 0]), ms))
            rows = session.query(
                "SELECT f.time_ns, p.age_bound_us FROM received_frames f JOIN psps p "
                "ON p.site = f.site AND p.seq = f.seq AND p.direction = 'received' "
                "WHERE f.site = ? AND f.kind = 'PSPS' AND f.flags = 0",
                site,
            )
            if rows:
                pairs = np.array(rows, np.int64)
                times_s = self._seconds(pairs[:, 0])
                found.append(Arrivals(site, "PSPs", times_s, pairs[:, 1] / 1e3))
        return found

    def _links(self, arrivals: Sequence[Arrivals]) -> Picture:
        figure, axes = self._axes(len(arrivals), 2.0)
        for ax, came in zip(axes, arrivals, strict=True):
            step = -(-len(came.ms) // MAX_DRAWN)
            p50, p99 = np.percentile(came.ms, [50, 99])
            label = (
                f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {came.ms.max():.2f} ms, n {len(came.ms)}"
            )
            drawn_ms = np.maximum(came.ms[::step], LEAST_MS)
            ax.plot(
                came.times_s[::step], drawn_ms, ".", markersize=3, color=LINE_COLOUR, label=label
            )
            ax.set_yscale("log")
            self._mark_losses(ax, came.site)
            ax.set_ylabel(f"{came.what} from\n{came.site} (ms)")
            ax.legend(loc="upper left", fontsize=8)
        text = (
            "Spikes: from their firing at the other site to their arrival here, by the recorded "
            "clock offsets. PSPs: how old the causing spike was at most, by the bound that travels "
            "with them. Resent ones are left out; what is shorter than the scale stands at its "
            "lower end."
        )
        return Picture("links", "Links: latency and losses", text, figure)

    def _mark_losses(self, ax: Axes, site: str) -> None:
        for events, colour in ((("suspect", "down"), LTP_COLOUR), (("gap",), GAP_COLOUR)):
            marks = ", ".join("?" * len(events))
            rows = self._session.query(
                f"SELECT time_ns FROM links WHERE site = ? AND event IN ({marks}) ORDER BY rowid",
                site,
                *events,
            )
            label = f"{' or '.join(events)} ({len(rows)})"
            for (time_ns,) in rows[:MAX_LINES]:
                at_s = float(self._seconds(time_ns))
                ax.axvline(at_s, color=colour, linewidth=1.2, label=label)
                label = ""

    def _refusals(self, refusals: Sequence[tuple[int, str]]) -> Picture:
        reasons = sorted({reason for _, reason in refusals})
        figure, (ax,) = self._axes(1, 0.9 + 0.35 * len(reasons))
        for row, reason in enumerate(reasons):
            times_s = self._seconds([t for t, r in refusals if r == reason])
            ax.plot(
                _thinned(times_s, MAX_DRAWN // len(reasons)),
                np.full(min(len(times_s), MAX_DRAWN // len(reasons)), row),
                "|",
                markersize=12,
                color=f"C{row}",
            )
        counts = [sum(r == reason for _, r in refusals) for reason in reasons]
        ax.set_yticks(
            range(len(reasons)), [f"{r} ({n})" for r, n in zip(reasons, counts, strict=True)]
        )
        ax.set_ylim(-0.6, len(reasons) - 0.4)
        return Picture("refusals", "Refused requests", "One mark a request, by reason.", figure)

    def _axes(self, n_rows: int, height_in: float) -> tuple[Figure, list[Axes]]:
        height_all_in = TOP_IN + n_rows * height_in + (n_rows - 1) * BETWEEN_IN + BOTTOM_IN
        figure = Figure(figsize=(WIDTH_IN, height_all_in))
        figure.subplots_adjust(
            left=LEFT_IN / WIDTH_IN,
            right=1 - RIGHT_IN / WIDTH_IN,
            top=1 - TOP_IN / height_all_in,
            bottom=BOTTOM_IN / height_all_in,
            hspace=BETWEEN_IN / height_in,
        )
        axes: list[Axes] = list(np.atleast_1d(figure.subplots(n_rows, 1, sharex=True)))
        for ax in axes:
            for index, (_, begin_s, end_s) in enumerate(self._phases):
                ax.axvspan(begin_s, end_s, color=SHADES[index % len(SHADES)], zorder=0)
            ax.set_xlim(0, self._duration_s)
        for name, begin_s, end_s in self._phases:
            axes[0].text(
                (begin_s + end_s) / 2, 1.02, name, ha="center", fontsize=8,
                transform=axes[0].get_xaxis_transform(),
            )  # fmt: skip
        axes[-1].set_xlabel("time since the session began (s)")
        return figure, axes


def _thinned(times_s: Times, n_most: int) -> Times:
    if len(times_s) <= n_most:
        return times_s
    chosen: Times = times_s[np.linspace(0, len(times_s) - 1, n_most).astype(np.int64)]
    return chosen
