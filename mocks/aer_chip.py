"""The simulated neuron chip as a process: `python -m mocks.aer_chip --listen ... --hub ...`.

It speaks the 8-byte event packet of 2020 over UDP, see `mocks.aer_runtime`. The first line on
standard output is JSON with `ready` and the ports.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

from mocks import process
from mocks.aer_runtime import MAX_24_BITS, AerChip
from mocks.arc_ports import TruthPort
from mocks.event_loop import EventLoop


def main(arguments: Sequence[str]) -> None:
    """Run the mock until it is told to end."""
    given = _given(arguments)
    loop = EventLoop()
    chip = AerChip(
        loop,
        given.listen,
        given.hub,
        relays=given.relay,
        adex=given.adex,
        seed=given.seed,
        faults=given.faults,
    )
    process.stop_on_signals(loop.stop)
    if given.exit_on_stdin_eof:
        process.stop_on_stdin_end(loop, sys.stdin.fileno())
    facts: dict[str, Any] = {"port": chip.link.port}
    truth = None
    if given.truth is not None:
        truth = TruthPort(loop, given.truth, lambda line: _truth(chip, line))
        facts["truth_port"] = truth.port
    try:
        process.announce(**facts)
        loop.run()
    finally:
        chip.close()
        if truth is not None:
            truth.close()


def _truth(chip: AerChip, line: bytes) -> bytes:
    """Answer a test's question; nothing that is simulated may ask."""
    try:
        question = json.loads(line)
        ask, skip = str(question["ask"]), max(0, int(question.get("skip", 0)))
    except (ValueError, KeyError, TypeError):
        return json.dumps({"error": 'ask like {"ask": "status"}'}).encode()
    answer: dict[str, Any]
    match ask:
        case "status":
            answer = dict(chip.status())
        case "spikes":
            answer = {"spikes": [spike._asdict() for spike in islice(chip.spikes, skip, None)]}
        case "drives":
            answer = {"drives": [drive._asdict() for drive in islice(chip.drives, skip, None)]}
        case _:
            answer = {"error": f"unknown question {ask!r}: status, spikes, drives"}
    return json.dumps(answer).encode()


def _given(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what the command line says; wrong words end the process with a usage text."""
    parser = process.parser("mocks.aer_chip", __doc__)
    add = parser.add_argument
    add("--listen", type=process.address, required=True, metavar="HOST:PORT")
    add("--hub", type=process.address, required=True, metavar="HOST:PORT")
    add("--relay", type=_neurons, default=frozenset(), metavar="ID[,ID]", help="fire when driven")
    add("--adex", type=_neurons, default=frozenset(), metavar="ID[,ID]", help="see mocks.silicon")
    given = parser.parse_args(arguments)
    if both := given.relay & given.adex:
        parser.error(f"neurons {sorted(both)} are relay and adex; a neuron is one of them")
    if not given.relay | given.adex:
        parser.error("a chip without neurons: give --relay or --adex")
    return given


def _neurons(text: str) -> frozenset[int]:
    neurons = frozenset(int(part) for part in text.split(","))
    if not all(0 <= neuron <= MAX_24_BITS for neuron in neurons):
        raise argparse.ArgumentTypeError(f"{text!r}: a neuron is 0 to {MAX_24_BITS}")
    return neurons


if __name__ == "__main__":
    main(sys.argv[1:])
