"""The simulated ArC ONE as a process: `python -m mocks.arc_board --pty`.

The first line on standard output is JSON with `ready`, `pty` and the ports. The truth port answers
`{"ask": "status"}`, `devices` and `pulses` (with `skip`: so many pulses are known already).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mocks import process
from mocks.arc_crossbar import LOWEST_OHM, OPEN_OHM, Crossbar
from mocks.arc_jobs import ReadTime
from mocks.arc_ports import PtyPort, TcpPort, TruthPort
from mocks.arc_runtime import ArcBoard
from mocks.event_loop import EventLoop
from mocks.memristor import PRESETS, MemristorModel
from mocks.memristor_file import model_from
from mocks.memristor_noise import NOISE_FULL, NOISE_MILD, NOISE_OFF
from mocks.memristor_scatter import NO_SCATTER, SCATTER

NOISES = {"off": NOISE_OFF, "mild": NOISE_MILD, "full": NOISE_FULL}
MAX_LINES = 32


def main(arguments: Sequence[str]) -> None:
    """Run the mock until it is told to end; wrong arguments end it with a usage text."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.pty and given.tcp is None:
        parser.error("nobody can reach the board: give --pty or --tcp")
    loop = EventLoop()
    try:
        board = _board(loop, given)
    except ValueError as error:
        parser.error(str(error))
    process.stop_on_signals(loop.stop)
    if given.exit_on_stdin_eof:
        process.stop_on_stdin_end(loop, sys.stdin.fileno())
    ports, facts = _ports(loop, board, given)
    try:
        process.announce(**facts)
        loop.run()
    finally:
        for port in ports:
            port.close()


def _board(loop: EventLoop, given: argparse.Namespace) -> ArcBoard:
    crossbar = Crossbar(
        given.model_file or PRESETS[given.preset],
        NOISES[given.noise],
        given.seed,
        (given.n_wordlines, given.n_bitlines),
        given.default_ohm,
        given.initial,
        loop.clock_ns,
        SCATTER if given.scatter else NO_SCATTER,
    )
    return ArcBoard(
        loop,
        crossbar,
        given.faults,
        read_time=ReadTime(given.read_overhead_s, given.read_cycle_s),
        boot_s=given.boot_s,
        line_gap_s=given.line_gap_s,
    )


def _ports(
    loop: EventLoop, board: ArcBoard, given: argparse.Namespace
) -> tuple[list[Any], dict[str, Any]]:
    """Open what was asked for; return the ports and what to say of them."""
    ports: list[Any] = []
    facts: dict[str, Any] = {}
    if given.pty:
        pty = PtyPort(loop, lambda data: board.on_data(pty, data), given.pty_link)
        ports.append(pty)
        facts["pty"] = pty.name
    if given.tcp is not None:
        tcp = TcpPort(loop, given.tcp, lambda data: board.on_data(tcp, data))
        ports.append(tcp)
        facts["tcp_port"] = tcp.port
    if given.truth is not None:
        truth = TruthPort(loop, given.truth, lambda line: _truth(board, line))
        ports.append(truth)
        facts["truth_port"] = truth.port
    return ports, facts


def _truth(board: ArcBoard, line: bytes) -> bytes:
    """Answer a test's question; nothing that is simulated may ask."""
    try:
        question = json.loads(line)
        ask, skip = str(question["ask"]), max(0, int(question.get("skip", 0)))
    except (ValueError, KeyError, TypeError):
        return json.dumps({"error": 'ask like {"ask": "status"}'}).encode()
    answer: dict[str, Any]
    match ask:
        case "status":
            answer = board.status()
        case "devices":
            answer = {"devices": _devices(board.crossbar)}
        case "pulses":
            answer = {"pulses": _pulses(board.crossbar, skip)}
        case _:
            answer = {"error": f"unknown question {ask!r}: status, devices, pulses"}
    return json.dumps(answer).encode()


def _devices(crossbar: Crossbar) -> list[dict[str, Any]]:
    return [
        {"wordline": w, "bitline": b, "resistance_ohm": crossbar.true_ohm(w, b)}
        for w, b in crossbar.places
    ]


def _pulses(crossbar: Crossbar, n_known: int) -> list[dict[str, Any]]:
    n_forgotten = crossbar.n_pulses - len(crossbar.pulses)
    new = islice(crossbar.pulses, max(0, n_known - n_forgotten), None)
    return [pulse._asdict() for pulse in new]


def _parser() -> argparse.ArgumentParser:
    parser = process.parser("mocks.arc_board", __doc__)
    add = parser.add_argument
    add("--pty", action="store_true", help="serve on a pseudo-terminal")
    add("--pty-link", type=Path, metavar="PATH", help="a link to it, so that it can be unplugged")
    add("--tcp", type=process.address, metavar="HOST:PORT", help="serve on a TCP port")
    add("--n-wordlines", type=_n_lines, default=MAX_LINES)
    add("--n-bitlines", type=_n_lines, default=MAX_LINES)
    add("--preset", choices=sorted(PRESETS), default="B", help="see mocks.memristor")
    add("--model-file", type=_model, help="constants of a device; instead of a preset")
    add("--noise", choices=sorted(NOISES), default="mild", help="see mocks.memristor_noise")
    add("--scatter", action="store_true", help="no two devices alike; see mocks.memristor_scatter")
    add("--default-ohm", type=_ohm, default=5000.0, help="where nothing else is said")
    add("--initial", type=_places, default={}, metavar='"W,B=OHM ..."')
    add("--line-gap-s", type=_time_s, default=0.0, help="lines that come faster are lost")
    add("--boot-s", type=_time_s, default=0.3, help="deaf so long after a reset")
    add("--read-overhead-s", type=_time_s, default=ReadTime().overhead_s)
    add("--read-cycle-s", type=_time_s, default=ReadTime().cycle_s)
    return parser


def _n_lines(text: str) -> int:
    if not (1 <= int(text) <= MAX_LINES):
        raise argparse.ArgumentTypeError(f"{text} lines; use 1 to {MAX_LINES}")
    return int(text)


def _time_s(text: str) -> float:
    if not (0 <= float(text) <= 60):
        raise argparse.ArgumentTypeError(f"{text} s; use 0 to 60 s")
    return float(text)


def _model(text: str) -> MemristorModel:
    try:
        return model_from(Path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _ohm(text: str) -> float:
    if not (LOWEST_OHM <= float(text) <= OPEN_OHM):
        raise argparse.ArgumentTypeError(f"{text} ohm; use {LOWEST_OHM:g} to {OPEN_OHM:g} ohm")
    return float(text)


def _places(text: str) -> dict[tuple[int, int], float]:
    places = {}
    for item in text.split():
        place, _, ohm = item.partition("=")
        wordline, _, bitline = place.partition(",")
        places[int(wordline), int(bitline)] = _ohm(ohm)
    return places


if __name__ == "__main__":
    main(sys.argv[1:])
