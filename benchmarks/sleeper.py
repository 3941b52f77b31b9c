"""How late this host wakes a program that only sleeps: what no program on it can do better.

    python -m benchmarks.sleeper     sleeps until its standard input ends, then prints its lateness

A process of its own, so that no other thread's interpreter lock is in the figure. It has the
scheduling of whoever starts it.
"""

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

PERIOD_S = 0.02


@contextmanager
def sleeper() -> Iterator[list[int]]:
    """Let one sleep meanwhile; at the end the list has its lateness in ns."""
    late_ns: list[int] = []
    command = [sys.executable, "-m", "benchmarks.sleeper"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield late_ns
        late_ns += json.loads(child.communicate(timeout=10.0)[0])
    finally:
        child.kill()
        child.wait()


def sleep_until_told() -> list[int]:
    """Sleep 20 ms at a time until standard input ends; return by how much each was too long."""
    late_ns = []
    while not select.select([sys.stdin], [], [], 0)[0]:
        begin_ns = time.monotonic_ns()
        time.sleep(PERIOD_S)
        late_ns.append(time.monotonic_ns() - begin_ns - round(PERIOD_S * 1e9))
    return late_ns


if __name__ == "__main__":
    print(json.dumps(sleep_until_told()))
