"""What the vendor's own client makes of a board; runs in the environment of that client.

`python use_libarc1.py PORT` prints one JSON object with all it read. No parity, because Linux
drops a pseudo-terminal's parity flag and libarc1 changes the port after it is open.
"""

import json
import sys

import serial
from libarc1 import ArC1, ArC1Conf
from libarc1.modules.curvetracer import CurveTracer


def main(port):
    board = ArC1(port, parity=serial.PARITY_NONE, config=ArC1Conf(words=4, bits=3))
    try:
        found = {"firmware": board.firmware_version, "first": float(board.read_one(2, 3))}
        found["pulsed"] = float(board.pulseread_one(2, 3, 1.5, 100e-6))
        board.select(2, 3)
        board.pulse_active(-1.5, 100e-6)
        found["pulsed_back"] = float(board.read_one(2, 3))
        board.update_Vread(-0.5)
        found["negative"] = float(board.read_one(2, 3))
        board.update_Vread(0.5)
        found["all"] = data_of(board, board.read_all(4, 3))
        found["masked"] = data_of(board, board.read_masked([(4, 1), (1, 2)]))
        curve = {**CurveTracer.default_config, "PW": 1e-3, "interpulse": 0.0, "cycles": 2}
        found["curve"] = data_of(board, board.run_module(CurveTracer, [(4, 1)], curve))
        found["last"] = float(board.read_one(1, 1))
    finally:
        board.close()
    sys.stdout.write(json.dumps(found))


def data_of(board, results):
    """Return what is between the markers at the beginning and end of an operation."""
    data = [[float(x) for x in item] for item in results if not isinstance(item, str)]
    board.wait_on_op()
    return data


if __name__ == "__main__":
    main(sys.argv[1])
