"""What a person watches while the demonstration runs."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

BAR_WIDTH = 24


class _Site(Protocol):
    def call(self, command: str) -> dict[str, Any]: ...


class Progress:
    """Writes to standard error, so that standard output stays for `--json`.

    A terminal gets a bar that moves, anything else a line for each phase.
    """

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._has_open_line = False
        self._last_phase = -1

    def say(self, text: str, *, is_result: bool = False) -> None:
        """Write one line; results and errors also when progress is not shown."""
        self.end_line()
        if self._is_shown or is_result:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def phase(self, protocol: Mapping[str, Any], now_ns: int, running: Mapping[str, _Site]) -> None:
        """Draw the bar of the protocol with what the synapses have become."""
        if not self._is_shown or protocol["phase"] < 0:
            return
        length_ns = max(1, protocol["end_ns"] - protocol["started_ns"])
        done = min(1.0, max(0.0, (now_ns - protocol["started_ns"]) / length_ns))
        bar = "#" * round(done * BAR_WIDTH)
        name = f"phase {protocol['phase'] + 1}: {protocol['phase_name']}"
        if protocol["phase"] != self._last_phase:
            self._last_phase = protocol["phase"]
            if not sys.stderr.isatty():
                self.say(name)
        if sys.stderr.isatty():
            self._draw(f"[{bar:<{BAR_WIDTH}}] {name:<26} {_synapse_text(running)}")

    def end_line(self) -> None:
        """End a line that is being redrawn."""
        if self._has_open_line:
            print(file=sys.stderr, flush=True)  # noqa: T201
            self._has_open_line = False

    def table(self, summary: Mapping[str, Any]) -> None:
        """Write the phases, the claims and the links as a table."""
        for line in _table_lines(summary):
            self.say(line, is_result=True)

    def _draw(self, text: str) -> None:
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)  # noqa: T201
        self._has_open_line = True


def _synapse_text(running: Mapping[str, _Site]) -> str:
    return ", ".join(
        f"{synapse['name']} {synapse['resistance_ohm'] / 1e3:.2f} kOhm"
        for site in running.values()
        for synapse in site.call("status")["synapses"]
        if synapse["resistance_ohm"] is not None
    )


def _table_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    for row in summary["phases"]:
        yield _phase_line(row)
    for claim, holds in (summary["outcome"] or {}).items():
        yield f"  {'yes' if holds else 'NO ':<4} {claim.replace('_', ' ')}"
    for link in summary["links"]:
        latency = link["latency_us"]
        yield (
            f"  link {link['from']} -> {link['to']}: {link['n_sent']} sent, "
            f"{link['n_received']} received, {link['n_lost']} lost, "
            f"{link['n_duplicated']} duplicated; one way {_latency_text(latency)}"
        )
    for refusal in summary["refusals"]:
        yield f"  refused at {refusal['site']}: {refusal['n']} x {refusal['reason']}"
    loop = summary["loop_latency_us"]
    yield f"  chip spike received -> stimulation key sent: {_latency_text(loop)}"


def _latency_text(latency: Mapping[str, Any]) -> str:
    if not latency["n"]:
        return "no event"
    return (
        f"p50 {latency['p50'] / 1e3:.2f} ms, p99 {latency['p99'] / 1e3:.2f} ms, "
        f"max {latency['max'] / 1e3:.2f} ms, n {latency['n']}"
    )


def _phase_line(row: Mapping[str, Any]) -> str:
    synapses = "; ".join(
        f"{name} {_kilo(s['r_start_ohm'])} -> {_kilo(s['r_end_ohm'])} kOhm, "
        f"{s['n_ltp']} LTP, {s['n_ltd']} LTD"
        for name, s in row["synapses"].items()
    )
    return (
        f"  {row['name']:<15} {row['pre_rate_hz']:>4g} Hz: BN {row['n_bn_spikes']} spikes, "
        f"ANpost {row['n_post_spikes']}; {synapses}"
    )


def _kilo(resistance_ohm: float | None) -> str:
    return "-" if resistance_ohm is None else f"{resistance_ohm / 1e3:.2f}"
