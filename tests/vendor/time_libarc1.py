"""How long the vendor's own client takes; runs in the environment of that client.

`python time_libarc1.py PORT N_ALL N_CYCLES` prints one JSON object of seconds: to read all 1,024
devices, and for one pulse with the reading after it.
"""

import json
import sys
import time

import serial
from libarc1 import ArC1, ArC1Conf


def main(port, n_all, n_cycles):
    board = ArC1(port, parity=serial.PARITY_NONE, config=ArC1Conf(words=32, bits=32))
    read_all_s, cycle_s = [], []
    try:
        for _ in range(int(n_all)):
            began_s = time.perf_counter()
            items = [item for item in board.read_all(32, 32) if not isinstance(item, str)]
            read_all_s.append(time.perf_counter() - began_s)
            board.wait_on_op()
            assert len(items) == 1024, len(items)
        for k in range(int(n_cycles)):
            began_s = time.perf_counter()
            board.pulseread_one(1, 1, 1.2 if k % 2 else -1.2, 1e-6)
            cycle_s.append(time.perf_counter() - began_s)
    finally:
        board.close()
    sys.stdout.write(json.dumps({"read_all_s": read_all_s, "cycle_s": cycle_s}))


if __name__ == "__main__":
    main(*sys.argv[1:])
