"""Simulated instruments for a site: one process each, on the real wires.

Mock mode replaces addresses and nothing else: every byte of a driver still crosses a socket or a
pseudo-terminal. The processes end with whoever started them, because their standard input does.
"""

import json
import logging
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.config.amplifiers import IntanRhxAmplifier, OpenEphysAmplifier
from app.config.site import AerUdpChip, ArcOneSmu, Site, Smu

log = logging.getLogger(__name__)

START_LIMIT_S = 30.0

Addresses = dict[str, dict[str, Any]]
"""Instrument name to the fields of its configuration that the mock replaces."""


class MockStartError(Exception):
    """A simulated instrument did not come up."""


@dataclass(slots=True)
class MockRig:
    """The running mocks of one site. `stop` ends them all."""

    addresses: Addresses = field(default_factory=dict)
    truth: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each mock said of itself when ready, for tests: its truth channel among it."""
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, site: Site) -> None:
        """Start a mock for each instrument of the site. Raises `MockStartError`."""
        try:
            for name, module, arguments in _commands(site):
                self._start_one(name, module, arguments)
            for name, process in self.processes.items():
                self.truth[name] = _await_ready(name, process)
        except BaseException:
            self.stop()
            raise
        for amplifier in site.amplifiers:
            if isinstance(amplifier, IntanRhxAmplifier):
                self.addresses[amplifier.name] = _rhx_address(self.truth[amplifier.name])
            elif isinstance(amplifier, OpenEphysAmplifier):
                ready = self.truth[amplifier.name]
                ports = {port: ready[port] for port in ("http_port", "falcon_port")}
                self.addresses[amplifier.name] = {"host": "127.0.0.1", **ports}
        for smu in site.smus:
            self.addresses[smu.name] = _smu_address(smu, self.truth[smu.name])

    def stop(self) -> None:
        """End every mock: its standard input ends, and it has 3 s to notice."""
        for process in self.processes.values():
            if process.stdin is not None:
                process.stdin.close()
        for name, process in self.processes.items():
            try:
                process.wait(3.0)
            except subprocess.TimeoutExpired:
                log.warning("mock %s did not end by itself and was killed", name)
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _start_one(self, name: str, module: str, arguments: list[str]) -> None:
        command = [sys.executable, "-m", module, "--exit-on-stdin-eof", *arguments]
        self.processes[name] = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the engine, which still needs its instruments
        )
        if module == CHIP_MODULE:
            self.addresses[name] = _chip_address(arguments)


CHIP_MODULE = "mocks.aer_chip"


def with_addresses(site: Site, addresses: Mapping[str, Mapping[str, Any]]) -> Site:
    """Return the site with the addresses of its instruments replaced, and nothing else."""

    def moved(instrument: Any) -> Any:
        fields = dict(addresses.get(instrument.name, {}))
        if "switch" in fields:
            fields["switch"] = msgspec.structs.replace(instrument.switch, **fields["switch"])
        return msgspec.structs.replace(instrument, **fields)

    return msgspec.structs.replace(
        site,
        amplifiers=tuple(map(moved, site.amplifiers)),
        smus=tuple(map(moved, site.smus)),
        chips=tuple(map(moved, site.chips)),
    )


def _commands(site: Site) -> Iterator[tuple[str, str, list[str]]]:
    for amplifier in site.amplifiers:
        if isinstance(amplifier, IntanRhxAmplifier):
            yield amplifier.name, "mocks.rhx_server", [*_RHX_ARGUMENTS, *_options(amplifier.mock)]
        elif isinstance(amplifier, OpenEphysAmplifier):
            options = [*_open_ephys_arguments(amplifier), *_options(amplifier.mock)]
            yield amplifier.name, "mocks.open_ephys_gui", options
    for smu in site.smus:
        module = "mocks.arc_board" if isinstance(smu, ArcOneSmu) else "mocks.bench_smu"
        yield smu.name, module, [*_smu_arguments(smu), *_options(smu.mock)]
    for chip in site.chips:
        yield chip.name, CHIP_MODULE, [*_chip_arguments(chip), *_options(chip.mock)]


_RHX_ARGUMENTS = ["--host", "127.0.0.1", "--command-port", "0", "--truth", "127.0.0.1:0"]


def _open_ephys_arguments(amplifier: OpenEphysAmplifier) -> list[str]:
    return [
        "--truth",
        "127.0.0.1:0",
        "--n-channels",
        str(len(amplifier.channels)),
        "--sample-rate-hz",
        f"{amplifier.sample_rate_hz:.0f}",
    ]


def _smu_arguments(smu: Smu) -> list[str]:
    if not isinstance(smu, ArcOneSmu):
        unit = type(smu).__struct_config__.tag
        arguments = ["--unit", str(unit), "--tcp", "127.0.0.1:0", "--truth", "127.0.0.1:0"]
        if smu.switch is not None:
            lines = "/".join((",".join(smu.switch.wordlines), ",".join(smu.switch.bitlines)))
            arguments += ["--switch-tcp", "127.0.0.1:0", "--switch-lines", lines]
        return arguments
    return [
        "--pty",
        "--truth",
        "127.0.0.1:0",
        "--n-wordlines",
        str(smu.n_wordlines),
        "--n-bitlines",
        str(smu.n_bitlines),
    ]


def _chip_arguments(_chip: AerUdpChip) -> list[str]:
    ours, theirs = _free_udp_ports(2)
    return ["--listen", f"127.0.0.1:{theirs}", "--hub", f"127.0.0.1:{ours}"]


def _chip_address(arguments: list[str]) -> dict[str, Any]:
    chip_host, chip_port = arguments[arguments.index("--listen") + 1].rsplit(":", 1)
    host, port = arguments[arguments.index("--hub") + 1].rsplit(":", 1)
    return {
        "listen_host": host,
        "listen_port": int(port),
        "chip_host": chip_host,
        "chip_port": int(chip_port),
    }


def _smu_address(smu: Smu, ready: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(smu, ArcOneSmu):
        return {"port": ready["pty"], "parity": "none"}
    address: dict[str, Any] = _socket(ready["tcp_port"])
    if smu.switch is not None:
        address["switch"] = _socket(ready["switch_tcp_port"])
    return address


def _socket(port: int) -> dict[str, Any]:
    return {"resource": f"TCPIP::127.0.0.1::{port}::SOCKET", "visa_backend": "@py"}


def _rhx_address(ready: Mapping[str, Any]) -> dict[str, Any]:
    ports = {key: int(ready[key]) for key in ("command_port", "waveform_port", "spike_port")}
    return {"host": "127.0.0.1", **ports}


def _options(mock: Mapping[str, str | int | float | bool]) -> list[str]:
    """Return the site file's mock options as command line arguments."""
    arguments: list[str] = []
    for key, value in mock.items():
        flag = "--" + key.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif value is not False:
            arguments += [flag, str(value)]
    return arguments


def _free_udp_ports(n: int) -> list[int]:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(n)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _await_ready(name: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    if process.stdout is None:
        raise MockStartError(f"mock {name}: has no standard output")
    deadline_s = time.monotonic() + START_LIMIT_S
    while True:
        left_s = deadline_s - time.monotonic()
        if not left_s > 0:
            raise MockStartError(f"mock {name}: not ready within {START_LIMIT_S:g} s")
        if select.select([process.stdout], [], [], left_s)[0]:
            line = process.stdout.readline()
            if not line:
                raise MockStartError(f"mock {name}: ended with code {process.wait()}")
            ready: dict[str, Any] = json.loads(line)
            return ready
