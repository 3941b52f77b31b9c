"""An abort on the memristor bench: how long every procedure of every driver takes to end.

Each procedure runs on a simulated unit behind its real wire, under the Gate, in a session of its
own. It is aborted in the midst: once while the unit answers, once while the unit is silent (its
process is stopped by a signal). Afterwards the unit goes on, and says itself whether its output is
off and how many pulses it has made: none may be there that was not asked for.

    python benchmarks/abort.py --quick     the silent unit only
    python benchmarks/abort.py             both, twice
"""

import json
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.bench.bench import Bench
from app.bench.endurance import endurance
from app.bench.errors import AbortedError
from app.bench.forming import FormingSettings, forming
from app.bench.iv_curve import IvSettings, iv_curve
from app.bench.programming import ProgramSettings, program
from app.bench.pulse_response import pulse_map
from app.bench.reading import read_devices, retention
from app.bench.session import OpenBench, open_session
from benchmarks.report import Goal, Row, parser, publish

LIMIT_MS = 200.0
N_FULL = 2
SILENT_S = 0.02
"""So long is the unit silent before the abort: the procedure hangs in a call by then."""
LIMIT_S = 30.0
UNITS = {
    "arc_one": ('port = "/dev/null"\nline_pacing_s = 0.0\ncompliance_a = 1e-3', 1e-4),
    "keithley_2400": ('resource = "none"\ncompliance_a = 1e-3', 5e-3),
    "keithley_2450": ('resource = "none"\ncompliance_a = 1e-3', 2e-3),
    "keithley_2600": ('resource = "none"\ncompliance_a = 1e-3', 1e-4),
    "keysight_b2900": ('resource = "none"\ncompliance_a = 1e-3', 1e-4),
    "keithley_2600 and a switch": (
        'resource = "none"\ncompliance_a = 1e-3\n[smus.switch]\ndriver = "keithley_707b"\n'
        'resource = "none"\nwordlines = ["1A01"]\nbitlines = ["1B02", "1B03"]',
        1e-4,
    ),
}
"""Lines of the site file, and the width of a pulse in s."""
SITE = """
schema_version = 1
site = "bench"
limits_override = "limits.toml"
[[operators]]
name = "me"
[[smus]]
driver = "{unit}"
name = "smu1"
read_voltage_v = 0.5
{lines}
[[smus.devices]]
name = "cell"
wordline = 1
bitline = 1
"""
LOOSER = {
    "max_read_v": 0.5,
    "max_per_second": 1000,
    "max_compliance_a": 1e-3,
    "window_max_ohm": 1e6,
    "max_forming_v": 3.0,
}
Procedure = Callable[[Bench, float, OpenBench], object]
PROCEDURES: dict[str, Procedure] = {
    "read": lambda bench, width_s, opened: read_devices(bench, sorted(bench.devices), 100_000),
    "pulse": lambda bench, width_s, opened: pulses(bench, width_s),
    "iv": lambda bench, width_s, opened: iv_curve(
        bench,
        "cell",
        IvSettings(up_v=1.0, down_v=1.0, step_v=0.05, width_s=max(width_s, 3e-3), n_cycles=100),
    ),
    "retention": lambda bench, width_s, opened: retention(
        bench, "cell", duration_s=3600, interval_s=1e-3
    ),
    "endurance": lambda bench, width_s, opened: endurance(
        bench, "cell", amplitude_v=1.2, width_s=width_s, n_cycles=100_000
    ),
    "map": lambda bench, width_s, opened: pulse_map(
        bench,
        "cell",
        amplitudes_v=[1.2, -1.2],
        widths_s=[width_s],
        n_repeats=10_000,
        rng=np.random.default_rng(1),
    ),
    "program": lambda bench, width_s, opened: programs(bench),
    "form": lambda bench, width_s, opened: forming(
        bench,
        "cell",
        FormingSettings(start_v=0.01, step_v=1e-4, stop_v=1.0, width_s=width_s),
        who="me",
        arm=opened.arm_forming,
    ),
}


def pulses(bench: Bench, width_s: float) -> None:
    """Pulse to and fro, never at the edge of what the device does."""
    for i in range(100_000):
        bench.apply("cell", 1.2 if i % 2 else -1.2, width_s)


def programs(bench: Bench) -> None:
    """Program to one target and another."""
    for i in range(10_000):
        program(bench, "cell", ProgramSettings(target_ohm=4500.0 + 1000.0 * (i % 2)))


def write_site(folder: Path, unit: str) -> Path:
    signed = 'name = "me"\nreason = "simulated"\nexpires = 2099-12-31\nmock_only = true\n'
    entries = [
        f'[[overrides]]\ninstrument = "smu1"\ndevice = "{device}"\nlimit = "{limit}"\n'
        f"value = {value}\n{signed}"
        for device in (("cell", "next") if " " in unit else ("cell",))
        for limit, value in LOOSER.items()
    ]
    head = 'schema_version = 1\nsite = "bench"\n'
    (folder / "limits.toml").write_text(head + "".join(entries), encoding="utf-8")
    path = folder / "site.toml"
    driver, _, is_switched = unit.partition(" ")
    text = SITE.format(unit=driver, lines=UNITS[unit][0])
    if is_switched:
        text += '[[smus.devices]]\nname = "next"\nwordline = 1\nbitline = 2\n'
    path.write_text(text, encoding="utf-8")
    return path


def ask(port: int, question: str) -> dict:
    with socket.create_connection(("127.0.0.1", port), 5.0) as truth:
        truth.sendall(json.dumps({"ask": question}).encode() + b"\n")
        with truth.makefile("rb") as lines:
            return json.loads(lines.readline())


def one_abort(site: Path, unit: str, name: str, *, is_silent: bool) -> tuple[float, int, bool]:
    """Return the time in ms, the pulses that were made and not asked for, and whether it is off."""
    with open_session(site, who="me", reason="benchmark", is_mock=True) as opened:
        bench = opened.bench
        if opened.mocks is None:
            raise SystemExit("no simulated unit")
        pid = opened.mocks.processes["smu1"].pid
        port = int(opened.mocks.truth["smu1"]["truth_port"])
        ended: dict[str, float] = {}

        def run() -> None:
            try:
                PROCEDURES[name](bench, UNITS[unit][1], opened)
            except AbortedError:
                ended["s"] = time.monotonic()

        thread = threading.Thread(target=run)
        thread.start()
        deadline_s = time.monotonic() + LIMIT_S
        while len(bench.points) < 4 and thread.is_alive() and time.monotonic() < deadline_s:
            time.sleep(1e-3)
        time.sleep(random.uniform(0.0, 0.01))
        try:
            if is_silent:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(SILENT_S)
            asked_s = time.monotonic()
            bench.abort()
            thread.join(LIMIT_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        if "s" not in ended:
            raise SystemExit(f"{unit} {name}: did not end by the abort")
        n_asked = sum(point.width_s > 0 for point in bench.points)
        report = opened.bench.call.close()  # type: ignore[attr-defined]
        status = ask(port, "status")
        is_off = not status.get("is_on", False) and report.state.value in (
            "confirmed",
            "by construction",
        )
        return 1e3 * (ended["s"] - asked_s), max(0, status["n_pulses"] - n_asked), is_off


def main() -> int:
    arguments = parser(__doc__ or "").parse_args()
    cases = [True] if arguments.quick else N_FULL * [True, False]
    rows: list[Row] = []
    times_ms, n_stray, n_on = [], 0, 0
    for unit in UNITS:
        row: dict[str, str | float] = {"ms until it ended": unit}
        with tempfile.TemporaryDirectory() as scratch:
            site = write_site(Path(scratch), unit)
            for name in PROCEDURES:
                found = [one_abort(site, unit, name, is_silent=silent) for silent in cases]
                row[name] = max(ms for ms, _, _ in found)
                times_ms += [ms for ms, _, _ in found]
                n_stray += sum(n for _, n, _ in found)
                n_on += sum(not is_off for _, _, is_off in found)
        rows.append(row)
    goals = [
        Goal("longest abort (ms)", max(times_ms), LIMIT_MS, "lower"),
        Goal("pulses that were not asked for", float(n_stray), 0.0, "lower"),
        Goal("outputs not confirmed off afterwards", float(n_on), 0.0, "lower"),
    ]
    title = f"Abort, worst of {len(cases)} ({'silent unit' if arguments.quick else 'both'})"
    return publish(rows, goals, as_json=arguments.json, title=title)


if __name__ == "__main__":
    sys.exit(main())
