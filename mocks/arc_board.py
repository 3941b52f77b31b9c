"""The simulated ArC ONE as a process: `python -m mocks.arc_board --pty`.

The first line on standard output is JSON with `ready`, `pty` and the ports.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from mocks import process
from mocks.arc_crossbar import Crossbar
from mocks.arc_ports import PtyPort, TcpPort, TruthPort
from mocks.arc_runtime import ArcBoard
from mocks.event_loop import EventLoop
from mocks.memristor import PRESETS
from mocks.memristor_noise import NOISE_FULL, NOISE_MILD, NOISE_OFF

NOISES = {"off": NOISE_OFF, "mild": NOISE_MILD, "full": NOISE_FULL}
DEFAULT_OHM = 5000.0


def main(arguments: Sequence[str]) -> None:
    """Run the mock until it is told to end."""
    given = _parser().parse_args(arguments)
    loop = EventLoop()
    crossbar = Crossbar(
        PRESETS[given.preset],
        NOISES[given.noise],
        given.seed,
        (given.n_wordlines, given.n_bitlines),
        given.default_ohm,
        given.initial,
        loop.clock_ns,
    )
    board = ArcBoard(loop, crossbar, given.faults, given.line_gap_s)
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


def _ports(
    loop: EventLoop, board: ArcBoard, given: argparse.Namespace
) -> tuple[list[Any], dict[str, Any]]:
    """Open what was asked for; return the ports and what to say of them."""
    ports: list[Any] = []
    facts: dict[str, Any] = {}
    if given.pty:
        pty = PtyPort(loop, lambda data: board.on_data(pty, data))
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
    crossbar = board.crossbar
    try:
        question = json.loads(line)
        ask, skip = str(question["ask"]), int(question.get("skip", 0))
    except (ValueError, KeyError, TypeError):
        return json.dumps({"error": 'ask like {"ask": "status"}'}).encode()
    answers: dict[str, Any] = {
        "status": {
            "n_lines": board.n_lines,
            "n_lines_lost": board.n_lines_lost,
            "n_resets": board.n_resets,
            "n_jobs": board.firmware.n_jobs,
            "n_pulses": len(crossbar.pulses),
            "damaged": crossbar.damaged,
        },
        "devices": {
            "devices": [
                {"wordline": w, "bitline": b, "resistance_ohm": ohm}
                for (w, b), ohm in crossbar.true_ohm.items()
            ]
        },
        "pulses": {
            "pulses": [
                {
                    "wordline": pulse.w,
                    "bitline": pulse.b,
                    "amplitude_v": pulse.v,
                    "width_s": pulse.width_s,
                    "time_ns": pulse.time_ns,
                }
                for pulse in crossbar.pulses[skip:]
            ]
        },
    }
    known = ", ".join(answers)
    return json.dumps(answers.get(ask, {"error": f"unknown question {ask!r}: {known}"})).encode()


def _parser() -> argparse.ArgumentParser:
    parser = process.parser("mocks.arc_board", __doc__)
    add = parser.add_argument
    add("--pty", action="store_true", help="serve on a pseudo-terminal")
    add("--tcp", type=process.address, metavar="HOST:PORT", help="serve on a TCP port")
    add("--n-wordlines", type=int, default=32)
    add("--n-bitlines", type=int, default=32)
    add("--preset", choices=sorted(PRESETS), default="B")
    add("--noise", choices=sorted(NOISES), default="mild")
    add("--default-ohm", type=float, default=DEFAULT_OHM, help="where nothing else is said")
    add("--initial", type=_places, default={}, metavar='"W,B=OHM ..."')
    add("--line-gap-s", type=float, default=0.0, help="lines that come faster are lost")
    return parser


def _places(text: str) -> dict[tuple[int, int], float]:
    places = {}
    for item in text.split():
        place, _, ohm = item.partition("=")
        wordline, _, bitline = place.partition(",")
        places[int(wordline), int(bitline)] = float(ohm)
    return places


if __name__ == "__main__":
    main(sys.argv[1:])
