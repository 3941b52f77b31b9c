"""A simulated bench unit as a process: `python -m mocks.bench_smu --unit keithley_2600 --tcp ...`.

The first line on standard output is JSON with `ready`, `pty` and the ports. The truth port answers
`{"ask": "status"}` and `pulses` (with `skip`: so many pulses are known already).
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mocks import process
from mocks.arc_crossbar import LOWEST_OHM, OPEN_OHM, Crossbar
from mocks.arc_ports import PtyPort, TcpPort, TruthPort
from mocks.event_loop import EventLoop
from mocks.keithley_2400 import Keithley2400
from mocks.keithley_2450 import LANGUAGES, Keithley2450
from mocks.keithley_2600 import Keithley2600
from mocks.keysight_b2900 import KeysightB2900
from mocks.memristor import PRESETS, MemristorModel
from mocks.memristor_file import model_from
from mocks.memristor_noise import NOISE_FULL, NOISE_MILD, NOISE_OFF
from mocks.memristor_scatter import NO_SCATTER, SCATTER
from mocks.smu_instrument import Instrument
from mocks.smu_runtime import Bench

NOISES = {"off": NOISE_OFF, "mild": NOISE_MILD, "full": NOISE_FULL}
UNITS = ("keithley_2400", "keithley_2450", "keithley_2600", "keysight_b2900")


def main(arguments: Sequence[str]) -> None:
    """Run the mock until it is told to end; wrong arguments end it with a usage text."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.pty and given.tcp is None:
        parser.error("nobody can reach the unit: give --pty or --tcp")
    loop = EventLoop()
    crossbar = Crossbar(
        given.model_file or PRESETS[given.preset],
        NOISES[given.noise],
        given.seed,
        (1, 1),
        given.ohm,
        {} if given.scatter else {(1, 1): given.ohm},
        loop.clock_ns,
        SCATTER if given.scatter else NO_SCATTER,
    )
    outside_s = _seconds(loop)
    unit = Bench(
        loop,
        lambda: make_instrument(given.unit, crossbar, outside_s, given.language),
        crossbar,
        given.faults,
    )
    process.stop_on_signals(loop.stop)
    if given.exit_on_stdin_eof:
        process.stop_on_stdin_end(loop, sys.stdin.fileno())
    ports, facts = _ports(loop, unit, given)
    try:
        process.announce(**facts)
        loop.run()
    finally:
        for port in ports:
            port.close()


def make_instrument(
    unit: str, crossbar: Crossbar, outside_s: Callable[[], float], language: str = "SCPI"
) -> Instrument:
    """Return a unit that was just switched on. Raises KeyError for an unknown one."""
    if unit == "keithley_2450":
        return Keithley2450(crossbar, outside_s, language)
    makers: dict[str, Callable[[Crossbar, Callable[[], float]], Instrument]] = {
        "keithley_2400": Keithley2400,
        "keithley_2600": Keithley2600,
        "keysight_b2900": KeysightB2900,
    }
    return makers[unit](crossbar, outside_s)


def _seconds(loop: EventLoop) -> Callable[[], float]:
    return lambda: loop.clock_ns() * 1e-9


def _ports(
    loop: EventLoop, unit: Bench, given: argparse.Namespace
) -> tuple[list[Any], dict[str, Any]]:
    """Open what was asked for; return the ports and what to say of them."""
    ports: list[Any] = []
    facts: dict[str, Any] = {}
    if given.pty:
        pty = PtyPort(loop, lambda data: unit.on_data(pty, data), given.pty_link)
        ports.append(pty)
        facts["pty"] = pty.name
    if given.tcp is not None:
        tcp = TcpPort(loop, given.tcp, lambda data: unit.on_data(tcp, data))
        ports.append(tcp)
        facts["tcp_port"] = tcp.port
    if given.truth is not None:
        truth = TruthPort(loop, given.truth, lambda line: _truth(unit, line))
        ports.append(truth)
        facts["truth_port"] = truth.port
    return ports, facts


def _truth(unit: Bench, line: bytes) -> bytes:
    """Answer a test's question; nothing that is simulated may ask."""
    try:
        question = json.loads(line)
        ask, skip = str(question["ask"]), max(0, int(question.get("skip", 0)))
    except (ValueError, KeyError, TypeError):
        return json.dumps({"error": 'ask like {"ask": "status"}'}).encode()
    answer: dict[str, Any]
    match ask:
        case "status":
            answer = unit.status()
        case "pulses":
            new = islice(unit.crossbar.pulses, skip, None)
            answer = {"pulses": [pulse._asdict() for pulse in new]}
        case _:
            answer = {"error": f"unknown question {ask!r}: status, pulses"}
    return json.dumps(answer).encode()


def _parser() -> argparse.ArgumentParser:
    parser = process.parser("mocks.bench_smu", __doc__)
    add = parser.add_argument
    add("--unit", choices=UNITS, required=True)
    add("--pty", action="store_true", help="serve on a pseudo-terminal")
    add("--pty-link", type=Path, metavar="PATH", help="a link to it, so that it can be unplugged")
    add("--tcp", type=process.address, metavar="HOST:PORT", help="serve on a TCP port")
    add("--language", choices=LANGUAGES, default="SCPI", help="what a 2450 is set to")
    add("--preset", choices=sorted(PRESETS), default="B", help="see mocks.memristor")
    add("--model-file", type=_model, help="constants of a device; instead of a preset")
    add("--noise", choices=sorted(NOISES), default="mild", help="see mocks.memristor_noise")
    add("--scatter", action="store_true", help="not a typical device; see mocks.memristor_scatter")
    add("--ohm", type=_ohm, default=5000.0, help="the device's first resistance")
    return parser


def _model(text: str) -> MemristorModel:
    try:
        return model_from(Path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _ohm(text: str) -> float:
    if not (LOWEST_OHM <= float(text) <= OPEN_OHM):
        raise argparse.ArgumentTypeError(f"{text} ohm; use {LOWEST_OHM:g} to {OPEN_OHM:g} ohm")
    return float(text)


if __name__ == "__main__":
    main(sys.argv[1:])
