"""How fast a spike crosses a link, beside plain TCP, ZeroMQ with CURVE and LSL in the same run.

    python -m benchmarks.link [--quick] [--json] [--ordinary]

Two processes per transport. The sender stamps each event right before it hands it over, the
receiver right after it has it as a record, on one monotonic clock. Pacing sleeps, it never spins.
Rounds are interleaved, so a disturbance of the machine hits all transports alike.

All processes of all transports run as an engine does: in real time where that is allowed
(`app.core.real_time`), with its switch interval and with what the start has made left out of
garbage collection. `--ordinary` leaves them all under ordinary scheduling; the rows say which.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.link_pairs import TRANSPORTS, Pair, Run, scheduling_allowed
from benchmarks.report import Goal, Row, parser, publish

OURS = ("bare link", "complete path")
LOAD_HZ = 100_000
LOAD_BATCH = 500
"""5 ms of it, as a detector hands over."""


def measure_paced(pairs: Sequence[Pair], rate_hz: int, n: int, n_rounds: int) -> list[Row]:
    """Return a row per transport of single events at a rate, rounds interleaved."""
    runs: dict[str, list[Run]] = {pair.name: [] for pair in pairs}
    for _ in range(n_rounds):
        for pair in pairs:
            runs[pair.name].append(pair.run(n, rate_hz))
    rows: list[Row] = []
    for name, some in runs.items():
        delays_us = np.concatenate([run.delays_us for run in some])
        rows.append(
            {
                "what": f"{rate_hz}/s, single",
                "transport": name,
                "p50_us": float(
                    np.median([np.median(r.delays_us) for r in some if r.delays_us.size])
                ),
                "p99_us": float(np.percentile(delays_us, 99)),
                "max_us": float(delays_us.max()),
                "cores_sender": float(np.median([run.cpu_send for run in some])),
                "cores_receiver": float(np.median([run.cpu_receive for run in some])),
                **_losses(some),
            }
        )
    return rows


def measure_flat_out(pairs: Sequence[Pair], n: int) -> list[Row]:
    """Return how many events per second each transport takes, one and 64 per message."""
    rows: list[Row] = []
    for size, n_messages in ((1, n), (64, n // 8)):
        for pair in pairs:
            run = pair.run(n_messages, 0, size)
            rows.append(
                {
                    "what": f"flat out, {size} per message",
                    "transport": pair.name,
                    "events_per_s": run.events_per_s,
                    **_losses([run]),
                }
            )
    return rows


def measure_load(pairs: Sequence[Pair], seconds: float) -> list[Row]:
    """Return what 100,000 events/s for some seconds cost our two paths."""
    rows: list[Row] = []
    for pair in pairs:
        if pair.name not in OURS:
            continue
        n_messages = round(seconds * LOAD_HZ / LOAD_BATCH)
        run = pair.run(n_messages, LOAD_HZ / LOAD_BATCH, LOAD_BATCH)
        rows.append(
            {
                "what": f"{LOAD_HZ}/s for {seconds:g} s",
                "transport": pair.name,
                "p50_us": float(np.median(run.delays_us)),
                "p99_us": float(np.percentile(run.delays_us, 99)),
                "max_us": float(run.delays_us.max()),
                "events_per_s": run.events_per_s,
                "cores_sender": run.cpu_send,
                "cores_receiver": run.cpu_receive,
                **_losses([run]),
            }
        )
    return rows


def _losses(runs: Sequence[Run]) -> dict[str, int]:
    return {
        "lost": sum(run.n_lost for run in runs),
        "doubled": sum(run.n_doubled for run in runs),
        "disordered": sum(run.n_disordered for run in runs),
    }


def goals_of(rows: Sequence[Row]) -> list[Goal]:
    """Return the figures that are promised."""

    def figure(what: str, transport: str, field: str) -> float:
        return next(
            (
                float(row[field] or 0)
                for row in rows
                if str(row["what"]).startswith(what) and row["transport"] == transport
            ),
            float("nan"),
        )

    goals = []
    for rate in ("1000/s", "10000/s"):
        tcp = figure(rate, "plain TCP", "p50_us")
        goals += [
            Goal(
                f"{rate}: bare link p50 / TCP",
                figure(rate, "bare link", "p50_us") / tcp,
                2.0,
                "lower",
            ),
            Goal(
                f"{rate}: complete path p50 / TCP",
                figure(rate, "complete path", "p50_us") / tcp,
                4.0,
                "lower",
            ),
            Goal(
                f"{rate}: complete path p50 / ZeroMQ CURVE",
                figure(rate, "complete path", "p50_us") / figure(rate, "ZeroMQ CURVE", "p50_us"),
                1.5,
                "lower",
            ),
            Goal(
                f"{rate}: complete path p99 / LSL p99",
                figure(rate, "complete path", "p99_us") / figure(rate, "LSL", "p99_us"),
                1.0,
                "lower",
            ),
        ]
    for transport in OURS:
        load = f"{LOAD_HZ}/s for"
        goals += [
            Goal(f"{LOAD_HZ}/s, {transport}: lost", figure(load, transport, "lost"), 0, "lower"),
            *(
                Goal(
                    f"{LOAD_HZ}/s, {transport}: cores, {end}",
                    figure(load, transport, f"cores_{end}"),
                    0.25,
                    "lower",
                )
                for end in ("sender", "receiver")
            ),
        ]
    return goals


def main() -> int:
    """Run everything and print it."""
    made = parser(__doc__ or "")
    made.add_argument("--only", nargs="*", choices=TRANSPORTS, help="leave the others out")
    made.add_argument("--ordinary", action="store_true", help="no real-time scheduling")
    arguments = made.parse_args()
    scheduling = "ordinary" if arguments.ordinary else scheduling_allowed()
    names = arguments.only or list(TRANSPORTS)
    n_rounds, seconds = (3, 0.8) if arguments.quick else (7, 3.0)
    with tempfile.TemporaryDirectory(prefix="link-benchmark-") as scratch:
        pairs = [Pair(name, Path(scratch) / f"{i}", scheduling) for i, name in enumerate(names)]
        try:
            for pair in pairs:
                pair.await_ready()
                pair.run(300, 1000)  # warm up
            rows = [
                *measure_paced(pairs, 1000, round(1000 * seconds), n_rounds),
                *measure_paced(pairs, 10_000, round(5000 * seconds), n_rounds),
                *measure_flat_out(pairs, 20_000 if arguments.quick else 200_000),
                *measure_load(pairs, 4.0 if arguments.quick else 10.0),
            ]
            rows = [{**row, "scheduling": scheduling} for row in rows]
        finally:
            for pair in pairs:
                pair.close()
    return publish(rows, goals_of(rows), as_json=arguments.json, title="link")


if __name__ == "__main__":
    sys.exit(main())
