"""Reading a whole ArC ONE, and one write-read cycle: our driver beside the vendor's own client.

Both talk to the same simulated board on a pseudo-terminal, in turn, with the same 30 read cycles;
the vendor's client (libarc1) lives in an environment of its own. A reading takes the board 1.05 ms,
so both wait for it most of the time. The vendor's window waits 10 ms between the groups of a
module; our driver waits only where `line_pacing_s` says so, which a real board needs (1 ms by
default).
"""

import json
import subprocess
import time
from pathlib import Path

import numpy as np

from app.bench.bench import Bench
from benchmarks import report
from benchmarks.mock_arc import NAME, bench, board, driver
from benchmarks.report import Goal
from drivers.permit import Permit, PulseDevice
from drivers.smu.arc_one.driver import ArcOne
from drivers.smu.protocol import DeviceAddress

ROOT = Path(__file__).parent.parent
VENDOR_PYTHON = ROOT / ".venv-libarc1" / "bin" / "python"
VENDOR_SCRIPT = ROOT / "tests" / "vendor" / "time_libarc1.py"
N_READ_CYCLES = 30
FIXED_SLEEP_S = 10e-3
LIMIT_S = 60


def time_vendor(pty: str, n_all: int, n_cycles: int) -> dict[str, list[float]]:
    """Return what the vendor's client takes, in seconds."""
    command = [VENDOR_PYTHON, VENDOR_SCRIPT, pty, str(n_all), str(n_cycles)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    return json.loads(done.stdout)


def time_ours(smu: ArcOne, n_all: int, n_cycles: int) -> dict[str, list[float]]:
    """Return what our driver takes, in seconds."""
    read_all_s, cycle_s = [], []
    smu.open()
    try:
        for _ in range(n_all):
            began_s = time.perf_counter()
            smu.read_all()
            read_all_s.append(time.perf_counter() - began_s)
        smu.read(DeviceAddress(1, 1))
        for k in range(n_cycles):
            permit = _permit(1.2 if k % 2 else -1.2)
            began_s = time.perf_counter()
            is_confirmed = smu.pulse(permit).is_confirmed
            cycle_s.append(time.perf_counter() - began_s if is_confirmed else float("nan"))
    finally:
        smu.close()
    return {"read_all_s": read_all_s, "cycle_s": cycle_s}


def time_verified(lab: Bench, n_cycles: int) -> list[float]:
    """Return what a verified write takes: Gate, pulse, reading, verdict."""
    took_s = []
    for k in range(n_cycles):
        began_s = time.perf_counter()
        lab.apply("d", 1.2 if k % 2 else -1.2, 1e-6)
        took_s.append(time.perf_counter() - began_s)
    return took_s


def _permit(amplitude_v: float) -> Permit:
    return Permit(
        instrument=NAME,
        action=PulseDevice(1, 1, amplitude_v, 1e-6),
        number=1,
        expires_ns=time.monotonic_ns() + 10**9,
        is_tripped=lambda: False,
        clock_ns=time.monotonic_ns,
    )


def row_of(name: str, all_s: list[float], cycle_s: list[float]) -> report.Row:
    """Return the medians of a client, in milliseconds."""
    return {
        "client": name,
        "read all 1024, ms": 1e3 * float(np.median(all_s)) if all_s else None,
        "write-read, ms": 1e3 * float(np.median(cycle_s)),
        "write-read p95, ms": 1e3 * float(np.percentile(cycle_s, 95)),
    }


def main() -> int:
    parser = report.parser(__doc__.splitlines()[0])
    given = parser.parse_args()
    if not VENDOR_PYTHON.exists():
        parser.error(f"no {VENDOR_PYTHON}: `./run tests` installs the vendor's client")
    n_rounds, n_all, n_cycles = (3, 2, 50) if given.quick else (6, 4, 100)
    kinds = ("libarc1", "driver", "driver, 1 ms per line")
    taken = {kind: {"read_all_s": [], "cycle_s": []} for kind in kinds}
    verified_s: list[float] = []
    with board("--noise", "off") as pty:
        for _ in range(n_rounds):
            for kind, found in (
                ("libarc1", time_vendor(pty, n_all, n_cycles)),
                ("driver", time_ours(driver(pty, n_read_cycles=N_READ_CYCLES), n_all, n_cycles)),
                (
                    "driver, 1 ms per line",
                    time_ours(
                        driver(pty, n_read_cycles=N_READ_CYCLES, line_pacing_s=1e-3), 1, n_cycles
                    ),
                ),
            ):
                for what, values in found.items():
                    taken[kind][what] += values
            with bench(driver(pty, n_read_cycles=N_READ_CYCLES), {"d": (1, 1)}) as lab:
                verified_s += time_verified(lab, n_cycles)
    rows = [row_of(kind, taken[kind]["read_all_s"], taken[kind]["cycle_s"]) for kind in kinds]
    rows.append(row_of("verified write through the Gate", [], verified_s))
    vendor, ours = (taken[kind] for kind in ("libarc1", "driver"))
    all_ratio = np.median(ours["read_all_s"]) / np.median(vendor["read_all_s"])
    goals = [
        Goal("reading all, ours / the vendor's client", float(all_ratio), 1.0, "lower"),
        Goal(
            "write-read cycle without pacing, s (one fixed sleep is 10 ms)",
            float(np.median(ours["cycle_s"])),
            FIXED_SLEEP_S,
            "lower",
        ),
    ]
    return report.publish(rows, goals, as_json=given.json)


if __name__ == "__main__":
    raise SystemExit(main())
