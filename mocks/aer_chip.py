"""The simulated neuron chip as a process: `python -m mocks.aer_chip --listen ... --hub ...`.

It speaks the 8-byte event packet of 2020 over UDP, see `mocks.aer_runtime`. The first line on
standard output is JSON with `ready` and the ports.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice

from mocks import process
from mocks.aer_runtime import MAX_24_BITS, AerChip
from mocks.event_loop import EventLoop
from mocks.served import Served


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
    served = Served(loop)
    served.keep(chip, port=chip.link.port)
    if given.truth is not None:
        served.truth(
            given.truth,
            {
                "status": lambda _: dict(chip.status()),
                "spikes": lambda n: {"spikes": [s._asdict() for s in islice(chip.spikes, n, None)]},
                "drives": lambda n: {"drives": [d._asdict() for d in islice(chip.drives, n, None)]},
            },
        )
    served.run(given)


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
