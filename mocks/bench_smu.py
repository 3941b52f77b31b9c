"""A simulated bench unit as a process: `python -m mocks.bench_smu --unit keithley_2600 --tcp ...`.

With `--switch-tcp` it stands beside a simulated switching matrix, whose relays lead from its
terminals to an array; the physics of both is one, so both are one process.

The first line on standard output is JSON with `ready`, `pty` and the ports. The truth port answers
`{"ask": "status"}`, `devices` and `pulses` (with `skip`: so many pulses are known already).
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mocks import process
from mocks.arc_crossbar import Crossbar
from mocks.device_options import add_devices, crossbar_from, ohm, truth_of_devices, truth_of_pulses
from mocks.event_loop import EventLoop
from mocks.faults import plan_from
from mocks.keithley_707b import Keithley707B
from mocks.keithley_2400 import Keithley2400
from mocks.keithley_2450 import LANGUAGES, Keithley2450
from mocks.keithley_2600 import Keithley2600
from mocks.keysight_b2900 import KeysightB2900
from mocks.served import Served
from mocks.smu_instrument import SourcingInstrument
from mocks.smu_runtime import Bench
from mocks.smu_terminals import Terminals

UNITS = ("keithley_2400", "keithley_2450", "keithley_2600", "keysight_b2900")


def main(arguments: Sequence[str]) -> None:
    """Run the mock until it is told to end; wrong arguments end it with a usage text."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.pty and given.tcp is None:
        parser.error("nobody can reach the unit: give --pty or --tcp")
    loop = EventLoop()
    terminals = None if given.switch_tcp is None else Terminals(*given.switch_lines)
    try:
        crossbar = _crossbar(loop, given, terminals)
    except ValueError as error:
        parser.error(str(error))
    unit = Bench(
        loop,
        lambda: make_instrument(given.unit, crossbar, _seconds(loop), given.language, terminals),
        given.faults,
    )
    served = Served(loop)
    if given.pty:
        served.pty(unit, given.pty_link)
    if given.tcp is not None:
        served.tcp(unit, given.tcp)
    if terminals is not None:
        switch = Bench(loop, lambda: Keithley707B(terminals, _seconds(loop)), given.switch_faults)
        served.tcp(switch, given.switch_tcp, "switch_tcp_port")
    if given.truth is not None:
        served.truth(
            given.truth,
            {
                "status": lambda _: _status(unit, crossbar, terminals),
                "devices": lambda _: truth_of_devices(crossbar),
                "pulses": lambda n_known: truth_of_pulses(crossbar, n_known),
            },
        )
    served.run(given)


def make_instrument(
    unit: str,
    crossbar: Crossbar,
    outside_s: Callable[[], float],
    language: str = "SCPI",
    terminals: Terminals | None = None,
) -> SourcingInstrument:
    """Return a unit that was just switched on. Raises KeyError for an unknown one."""
    makers: dict[str, Callable[[Crossbar, Callable[[], float]], SourcingInstrument]] = {
        "keithley_2400": Keithley2400,
        "keithley_2450": lambda crossbar, outside_s: Keithley2450(crossbar, outside_s, language),
        "keithley_2600": Keithley2600,
        "keysight_b2900": KeysightB2900,
    }
    made = makers[unit](crossbar, outside_s)
    if terminals is not None:
        terminals.hang(made.output)
    return made


def _seconds(loop: EventLoop) -> Callable[[], float]:
    return lambda: loop.clock_ns() * 1e-9


def _crossbar(loop: EventLoop, given: argparse.Namespace, terminals: Terminals | None) -> Crossbar:
    """Return the array behind the switch, or the one device; typical ones unless they scatter."""
    shape = (1, 1) if terminals is None else terminals.shape
    initial = dict(given.initial)
    if terminals is None and not given.scatter:
        initial.setdefault((1, 1), given.ohm)
    return crossbar_from(given, shape, given.ohm, initial, loop.clock_ns)


def _status(
    unit: Bench[SourcingInstrument], crossbar: Crossbar, terminals: Terminals | None
) -> dict[str, Any]:
    output = unit.instrument.output
    found = {
        **unit.status(),
        "n_pulses": crossbar.n_pulses,
        "is_on": output.is_on,
        "level_v": output.level_v,
        "limit_a": output.limit_a,
        "resistance_ohm": crossbar.true_ohm(1, 1),
        "damaged": crossbar.damaged,
    }
    if terminals is not None:
        found |= {"closed": sorted(terminals.closed), "n_hot": terminals.n_hot}
    return found


def _parser() -> argparse.ArgumentParser:
    parser = process.parser("mocks.bench_smu", __doc__)
    add = parser.add_argument
    add("--unit", choices=UNITS, required=True)
    add("--pty", action="store_true", help="serve on a pseudo-terminal")
    add("--pty-link", type=Path, metavar="PATH", help="a link to it, so that it can be unplugged")
    add("--tcp", type=process.address, metavar="HOST:PORT", help="serve on a TCP port")
    add("--switch-tcp", type=process.address, metavar="HOST:PORT", help="serve a 707B there too")
    add("--switch-lines", type=_lines, metavar="W,W,.../B,B,...", default=(("1A01",), ("1B01",)))
    add("--switch-faults", type=plan_from, default=plan_from(""), metavar="JSON")
    add("--language", choices=LANGUAGES, default="SCPI", help="what a 2450 is set to")
    add("--ohm", type=ohm, default=5000.0, help="the first resistance of the devices")
    add_devices(parser)
    return parser


def _lines(text: str) -> tuple[list[str], list[str]]:
    """Return the channels of the word lines and of the bit lines."""
    wordlines, _, bitlines = text.partition("/")
    if not bitlines:
        raise argparse.ArgumentTypeError(f"{text!r}: write 1A01,1A02/1B03,1B04")
    return wordlines.split(","), bitlines.split(",")


if __name__ == "__main__":
    main(sys.argv[1:])
