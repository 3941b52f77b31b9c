"""1024 channels at 20 kHz from a simulated amplifier over loopback TCP into a whole engine.

`spikebridge run --mock` on a site of its own: acquisition, detection, event log, console, Gate.
Shown are lost samples, the engine's processor time per second of signal, and whether its memory
stays flat: what the last third of the run holds at least more than the middle third.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.console.client import ConsoleClient
from app.demo.sites import await_that, ready, site_process
from benchmarks.report import Goal, Row, parser, publish

RATE_HZ = 20_000
START_LIMIT_S = 60.0
LOOK_EVERY_S = 1.0
MAX_CPU = 0.6
MAX_GROWTH_MB = 8.0
"""In the last third of the run: in 10 minutes a leak of one block in 4 s would show."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Look:
    """The engine at one moment."""

    time_s: float
    n_samples: int
    n_lost: int
    n_gaps: int
    n_spikes: int
    cpu_s: float
    memory_mb: float


def site_text(side: int, n_neurons: int, *, is_recording: bool) -> str:
    """Return a site with a large controller: `side` times `side` electrodes."""
    n_channels = side * side
    n_per_port = 128 if n_channels > 256 else 32
    names = [f"{chr(ord('A') + i // n_per_port)}-{i % n_per_port:03d}" for i in range(n_channels)]
    neurons = [f'{{ neuron = {i + 1}, channel = "{name}" }}' for i, name in enumerate(names)]
    return (
        f'schema_version = 1\nsite = "lab"\nis_recording_raw = {str(is_recording).lower()}\n'
        '[[amplifiers]]\nname = "rhx1"\ndriver = "intan_rhx"\nhost = "127.0.0.1"\n'
        f"electrode_area_um2 = 700\nchannels = {json.dumps(names)}\n"
        f"neurons = [{', '.join(neurons[:n_neurons])}]\n"
        f'[amplifiers.mock]\ngrid = "{side}x{side}"\nn_background_neurons = {n_channels // 3}\n'
    )


@contextmanager
def running(folder: Path, text: str) -> Iterator[tuple[ConsoleClient, int]]:
    """Run a site; once samples come, give a console and the engine's process id."""
    site_file = folder / "site.toml"
    site_file.write_text(text)
    with site_process("lab", site_file, "--mock") as site:
        ready(site)
        await_that(
            lambda: site.call("status")["amplifier"]["n_samples"] > 0,
            START_LIMIT_S,
            "samples come",
            {"lab": site},
        )
        with ConsoleClient(site.folder.console_socket) as console:
            yield console, site.engine_pid


def look(console: ConsoleClient, pid: int) -> Look:
    """Return the engine as it is now."""
    amplifier = console.call("status")["amplifier"]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Look(
        time_s=time.monotonic(),
        n_samples=amplifier["n_samples"],
        n_lost=amplifier["n_lost"],
        n_gaps=amplifier["n_gaps"],
        n_spikes=amplifier["n_spikes"],
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_S,
        memory_mb=resident * PAGE_BYTES / 1e6,
    )


def watch(console: ConsoleClient, pid: int, duration_s: float) -> list[Look]:
    """Look at the engine until so much time has passed."""
    looks = [look(console, pid)]
    while looks[-1].time_s - looks[0].time_s < duration_s:
        time.sleep(LOOK_EVERY_S)
        looks.append(look(console, pid))
    return looks


def growth_mb(looks: list[Look]) -> float:
    """Return how much more memory the engine holds in the last third of the run than before.

    The least of each third is compared: a burst of spikes holds some megabytes for a moment and
    gives them back, a leak does not.
    """
    third = len(looks) // 3
    if not third:
        return float("nan")
    memory_mb = np.array([one.memory_mb for one in looks])
    return float(memory_mb[-third:].min() - memory_mb[third:-third].min())


def main() -> int:
    """Measure and print."""
    made = parser(__doc__ or "")
    made.add_argument("--seconds", type=float, help="default 600, with --quick 20")
    made.add_argument("--side", type=int, default=32, help="electrodes on a side of the array")
    made.add_argument("--neurons", type=int, default=64, help="channels that are neurons")
    made.add_argument("--record", action="store_true", help="raw data to disk as well (41 MB/s)")
    given = made.parse_args()
    duration_s = given.seconds or (20.0 if given.quick else 600.0)
    with tempfile.TemporaryDirectory() as folder:
        text = site_text(given.side, given.neurons, is_recording=given.record)
        with running(Path(folder), text) as (console, pid):
            looks = watch(console, pid, duration_s)
    first, last = looks[0], looks[-1]
    signal_s = (last.n_samples - first.n_samples) / RATE_HZ
    wall_s = last.time_s - first.time_s
    cpu = (last.cpu_s - first.cpu_s) / max(signal_s, 1e-9)
    row: Row = {
        "n_channels": given.side**2,
        "signal_s": signal_s,
        "wall_s": wall_s,
        "of_real_time": signal_s / wall_s,
        "lost": last.n_lost,
        "gaps": last.n_gaps,
        "spikes_per_s": (last.n_spikes - first.n_spikes) / max(signal_s, 1e-9),
        "cpu_per_signal_s": cpu,
        "memory_mb": last.memory_mb,
        "growth_mb": growth_mb(looks),
    }
    goals = [
        Goal("samples lost", float(last.n_lost + (last.n_gaps > 0)), 0.0, "lower"),
        Goal("share of one core, per second of signal", cpu, MAX_CPU, "lower"),
        Goal("growth in the last third, MB", growth_mb(looks), MAX_GROWTH_MB, "lower"),
    ]
    return publish([row], goals, as_json=given.json, title="a whole engine on many channels")


if __name__ == "__main__":
    sys.exit(main())
