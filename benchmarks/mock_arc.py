"""A simulated ArC ONE as a process, and a bench on it, for benchmarks."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.bench.array_view import ArrayView
from app.bench.bench import Bench, BenchSeams
from app.config.limits import DeviceLimits
from app.config.site import Device
from app.core.clock import monotonic_ns
from app.core.spikes import Provenance
from app.safety.gate import Gate
from app.safety.profiles import DeviceArrayProfile
from drivers.smu.arc_one.driver import ArcOne
from drivers.smu.arc_one.settings import ArcOneSettings
from drivers.smu.arc_one.wire import BAUD_RATE
from drivers.smu.protocol import DeviceAddress
from drivers.transport.serial_port import SerialPort

NAME = "arc1"
READ_V = 0.5
ARMED_NS = 3600 * 10**9


@contextmanager
def board(*options: str) -> Iterator[str]:
    """Run a board; yield the name of its pseudo-terminal."""
    command = [sys.executable, "-m", "mocks.arc_board", "--pty", "--exit-on-stdin-eof"]
    process = subprocess.Popen(
        [*command, "--boot-s", "0", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield json.loads(process.stdout.readline())["pty"]
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def driver(pty: str, **changes: float) -> ArcOne:
    """Return our driver on a board, not opened."""
    options = {
        "read_voltage_v": READ_V,
        "max_pulse_v": 2.0,
        "line_pacing_s": 0.0,
        "reset_wait_s": 0.1,
    }
    return ArcOne(
        NAME,
        lambda: SerialPort(pty, baud_rate=BAUD_RATE, parity="none"),
        ArcOneSettings(**(options | changes)),
    )


@contextmanager
def bench(smu: ArcOne, places: dict[str, tuple[int, int]]) -> Iterator[Bench]:
    """Yield an armed bench on devices of a board; its limits are those of a simulated array."""
    limits = DeviceLimits(
        max_amplitude_v=2.0,
        max_read_v=READ_V,
        max_per_second=1000,
        min_interval_s=1e-4,
        window_min_ohm=500.0,
        window_max_ohm=1e6,
        reason="simulated",
        confirmed_by="the benchmark",
    )
    devices = {
        n: Device(name=n, wordline=w, bitline=b, limits=limits) for n, (w, b) in places.items()
    }
    profile = DeviceArrayProfile(
        name=NAME,
        provenance=Provenance.MOCK,
        devices={DeviceAddress(*places[n]): (n, limits) for n in places},
        read_voltage_v=READ_V,
    )
    gate = Gate(
        "benchmark",
        {NAME: profile},
        (),
        clock_ns=monotonic_ns,
        on_audit=lambda row: None,
        on_input=lambda kind, body, now_ns: None,
    )
    now_ns = monotonic_ns()
    gate.boot_done(now_ns)
    gate.arm("benchmark", "speed", now_ns, now_ns + ARMED_NS, by_program=True, is_operator=False)
    smu.open()
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Bench(
                smu,
                devices,
                gate,
                ArrayView(Path(folder) / "devices.json"),
                BenchSeams(await_audit=lambda number: True),
                site="benchmark",
                provenance=Provenance.MOCK,
                read_voltage_v=READ_V,
                min_change=0.003,
            )
        finally:
            smu.close()
