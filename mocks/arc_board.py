"""The simulated ArC ONE as a process: `python -m mocks.arc_board --pty`.

The first line on standard output is JSON with `ready`, `pty` and the ports. The truth port answers
`{"ask": "status"}`, `devices` and `pulses` (with `skip`: so many pulses are known already).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mocks import process
from mocks.arc_jobs import ReadTime
from mocks.arc_runtime import ArcBoard
from mocks.device_options import add_devices, crossbar_from, ohm, truth_of_devices, truth_of_pulses
from mocks.event_loop import EventLoop
from mocks.served import Served

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
    served = Served(loop)
    if given.pty:
        served.pty(board, given.pty_link)
    if given.tcp is not None:
        served.tcp(board, given.tcp)
    if given.truth is not None:
        served.truth(
            given.truth,
            {
                "status": lambda _: board.status(),
                "devices": lambda _: truth_of_devices(board.crossbar),
                "pulses": lambda n_known: truth_of_pulses(board.crossbar, n_known),
            },
        )
    served.run(given)


def _board(loop: EventLoop, given: argparse.Namespace) -> ArcBoard:
    shape = (given.n_wordlines, given.n_bitlines)
    return ArcBoard(
        loop,
        crossbar_from(given, shape, given.default_ohm, given.initial, loop.clock_ns),
        given.faults,
        read_time=ReadTime(given.read_overhead_s, given.read_cycle_s),
        boot_s=given.boot_s,
        line_gap_s=given.line_gap_s,
    )


def _parser() -> argparse.ArgumentParser:
    parser = process.parser("mocks.arc_board", __doc__)
    add = parser.add_argument
    add("--pty", action="store_true", help="serve on a pseudo-terminal")
    add("--pty-link", type=Path, metavar="PATH", help="a link to it, so that it can be unplugged")
    add("--tcp", type=process.address, metavar="HOST:PORT", help="serve on a TCP port")
    add("--n-wordlines", type=_n_lines, default=MAX_LINES)
    add("--n-bitlines", type=_n_lines, default=MAX_LINES)
    add("--default-ohm", type=ohm, default=5000.0, help="where nothing else is said")
    add("--line-gap-s", type=_time_s, default=0.0, help="lines that come faster are lost")
    add("--boot-s", type=_time_s, default=0.3, help="deaf so long after a reset")
    add("--read-overhead-s", type=_time_s, default=ReadTime().overhead_s)
    add("--read-cycle-s", type=_time_s, default=ReadTime().cycle_s)
    add_devices(parser)
    return parser


def _n_lines(text: str) -> int:
    if not (1 <= int(text) <= MAX_LINES):
        raise argparse.ArgumentTypeError(f"{text} lines; use 1 to {MAX_LINES}")
    return int(text)


def _time_s(text: str) -> float:
    if not (0 <= float(text) <= 60):
        raise argparse.ArgumentTypeError(f"{text} s; use 0 to 60 s")
    return float(text)


if __name__ == "__main__":
    main(sys.argv[1:])
