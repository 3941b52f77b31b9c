"""Emergency stop: from the console's command to the last permit, to outputs off, to the answer.

One site with a simulated culture, memristors and a chip, each a process behind its real wire, while
a second console triggers patterns as fast as it may. What the engine did is read from its own event
log, on the same clock (CLOCK_MONOTONIC) as the console's.

    python benchmarks/stop.py --quick     20 stops, and one hung engine
    python benchmarks/stop.py             1,000 stops; a hung, a killed and an interrupted engine

The amplifier says itself when it stopped; it looks for commands as seldom as the real program does.
"""

import contextlib
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from app.console.client import ConsoleClient
from app.console.messages import CommandRefusedError
from app.demo.sites import RunningSite, await_that, ready, site_process
from app.exit_codes import ExitCode
from benchmarks.report import Goal, Row, parser, publish

N_QUICK, N_FULL = 20, 1000
MOMENTS = ("last permit", "off command at the amplifier", "all read back, recorded", "answer")
LIMITS_MS = (10.0, 100.0, 1000.0, 1000.0)
Stop = tuple[int, int, int]
"""Times in ns of the command, of the amplifier's end, of the answer."""
READY_LIMIT_S = 20.0
SITE = """
schema_version = 1
site = "bench"

[[operators]]
name = "ada"

[[amplifiers]]
driver = "intan_rhx"
name = "mea1"
host = "127.0.0.1"
electrode_area_um2 = 707.0
channels = ["A-016", "A-018", "A-024", "A-026"]

{patterns}
[[smus]]
driver = "arc_one"
name = "arc1"
port = "/dev/null"
[[smus.devices]]
name = "m1"
wordline = 1
bitline = 1

[[chips]]
driver = "aer_udp"
name = "chip1"
listen_host = "127.0.0.1"
listen_port = 5005
chip_host = "127.0.0.1"
chip_port = 10000
neurons = [1]
mock = {{ relay = 1 }}
"""
PATTERN = """
[[amplifiers.patterns]]
pattern_id = {number}
post = {number}
channels = ["{channel}"]
first_amplitude_a = 2e-6
first_duration_s = 200e-6
second_amplitude_a = 2e-6
second_duration_s = 200e-6
"""
CHANNELS = ("A-016", "A-018", "A-024", "A-026")


class Engine:
    """A running engine under its supervisor."""

    def __init__(self, site: RunningSite) -> None:
        self.site = site
        self._n_samples = 0

    def wait_until_armable(self) -> None:
        """Wait for the engine, its amplifier's data and its log."""
        await_that(self._is_armable, READY_LIMIT_S, "the engine ready", {"bench": self.site}, 0.02)

    def _is_armable(self) -> bool:
        status = self.site.call("status")
        gate = status["gate"]
        is_fresh = not set(gate["stale_leases"]) - {"console"}
        n_samples = status["amplifier"]["n_samples"]
        if not (gate["state"] == "disarmed" and is_fresh and n_samples > self._n_samples):
            return False
        self._n_samples = n_samples
        return True

    def note_samples(self) -> None:
        """Take the samples that have come so far for old: the next arming waits for new ones."""
        self._n_samples = self.site.call("status")["amplifier"]["n_samples"]

    def arm(self) -> None:
        code = self.site.call("status")["session_code"]
        words = {"who": "ada", "reason": "benchmark", "seconds": 600.0, "is_unattended": True}
        self.site.call("arm", code=code, **words)

    @property
    def events(self) -> Path:
        return Path(self.site.call("status")["session_folder"]) / "events.sqlite"


@contextmanager
def running(folder: Path) -> Iterator[Engine]:
    patterns = "".join(
        PATTERN.format(number=n + 1, channel=channel) for n, channel in enumerate(CHANNELS)
    )
    site_file = folder / "site.toml"
    site_file.write_text(SITE.format(patterns=patterns))
    with site_process("bench", site_file, "--mock") as site:
        ready(site)
        engine = Engine(site)
        engine.wait_until_armable()
        yield engine


def trigger_until(engine: Engine, is_over: threading.Event) -> None:
    """Ask for one pattern after the other; what is refused is refused."""
    number = 0
    with ConsoleClient(engine.site.folder.console_socket) as console:
        while not is_over.is_set():
            number = number % len(CHANNELS) + 1
            with contextlib.suppress(CommandRefusedError):
                console.call("trigger", who="ada", instrument="mea1", pattern=number)
            is_over.wait(0.002)


def one_stop(engine: Engine) -> Stop:
    """Arm, let patterns run, stop; return when it was asked for, obeyed and answered."""
    engine.wait_until_armable()
    engine.arm()
    is_over = threading.Event()
    traffic = threading.Thread(target=trigger_until, args=(engine, is_over))
    traffic.start()
    try:
        time.sleep(0.1)
        with ConsoleClient(engine.site.folder.console_socket) as console:
            given_ns = time.monotonic_ns()
            answer = console.call("stop", who="ada")
            answered_ns = time.monotonic_ns()
        if not answer["is_safe"]:
            raise SystemExit(f"not safe: {answer['reports']}")
    finally:
        is_over.set()
        traffic.join()
    stopped_ns = int(engine.site.ask_mock("mea1", "status")["stopped_ns"])
    engine.note_samples()
    engine.site.call("acknowledge", who="ada")
    return given_ns, stopped_ns, answered_ns


def what_it_did(events: Path, stops: Sequence[Stop]) -> list[tuple[float, ...]]:
    """Return for each stop, in seconds after it: the moments of `MOMENTS`."""
    with closing(sqlite3.connect(f"{events.resolve().as_uri()}?mode=ro", uri=True)) as log:
        permits = [t for (t,) in log.execute("SELECT time_ns FROM audit WHERE verdict = 'permit'")]
        offs = [
            t
            for (t,) in log.execute(
                "SELECT time_ns FROM notes WHERE text LIKE 'make safe (emergency stop%'"
            )
        ]
    found = []
    for given_ns, stopped_ns, answered_ns in stops:
        late = [t for t in permits if given_ns < t <= answered_ns]
        off = [t for t in offs if given_ns < t <= answered_ns]
        found.append(
            (
                (max(late, default=given_ns) - given_ns) / 1e9,
                (stopped_ns - given_ns) / 1e9,
                (max(off, default=answered_ns) - given_ns) / 1e9,
                (answered_ns - given_ns) / 1e9,
            )
        )
    return found


def time_to_safe(folder: Path, how: str) -> float:
    """Return how long it takes from an engine's fault until its supervisor has outputs off."""
    with running(folder) as engine:
        return _fault(engine, how)


def _fault(engine: Engine, how: str) -> float:
    engine.wait_until_armable()
    engine.arm()
    begun_s = time.monotonic()
    numbers = {"hung": signal.SIGSTOP, "killed": signal.SIGKILL, "interrupted": signal.SIGINT}
    os.kill(engine.site.engine_pid, numbers[how])
    if how == "interrupted":
        os.kill(engine.site.process.pid, signal.SIGINT)
    code = engine.site.process.wait(30.0)
    expected = ExitCode.OK if how == "interrupted" else ExitCode.ENGINE_DIED
    if code != expected:
        raise SystemExit(f"an engine that was {how} ended with {code}")
    return time.monotonic() - begun_s


def p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def main() -> int:
    arguments = parser(__doc__ or "").parse_args()
    n_stops = N_QUICK if arguments.quick else N_FULL
    faults: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with running(folder) as engine:
            events = engine.events
            stops = [one_stop(engine) for _ in range(n_stops)]
            found = what_it_did(events, stops)
            faults["hung"] = _fault(engine, "hung")
        if not arguments.quick:
            faults["killed"] = time_to_safe(folder, "killed")
            faults["interrupted"] = time_to_safe(folder, "interrupted")
    columns = list(zip(*found, strict=True))
    rows: list[Row] = [
        {
            "after an emergency stop": name,
            "n": len(column),
            "p50_ms": 1e3 * sorted(column)[len(column) // 2],
            "p99_ms": 1e3 * p99(column),
            "max_ms": 1e3 * max(column),
        }
        for name, column in zip(MOMENTS, columns, strict=True)
    ]
    rows += [
        {"after an emergency stop": f"engine {how}, outputs off", "n": 1, "max_ms": 1e3 * seconds}
        for how, seconds in faults.items()
    ]
    goals = [
        Goal(f"{name}, p99 (ms)", 1e3 * p99(column), limit_ms, "lower")
        for name, column, limit_ms in zip(MOMENTS, columns, LIMITS_MS, strict=True)
    ]
    goals += [
        Goal(f"engine {how}: outputs off (s)", seconds, 10.0, "lower")
        for how, seconds in faults.items()
    ]
    return publish(rows, goals, as_json=arguments.json, title="Emergency stop on mocks")


if __name__ == "__main__":
    sys.exit(main())
