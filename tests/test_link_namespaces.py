"""Two machines on one: another network, and a clock an hour ahead. Needs root; else it is skipped.

By hand the same is: `unshare --net --time --monotonic 3600 --fork -- COMMAND`, with one end of a
veth pair moved into it. Everything of it is gone when the process is.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from bridge_rig import Site, folder, is_down, is_spikes, is_up, running

from app.bridge.events import OffsetKnown
from app.core.clock import clock_identity, monotonic_ns
from app.core.spikes import SPIKE_RECORD, SpikeBatch

__all__ = ["folder"]
HOUR_S = 3600
HOUR_NS = HOUR_S * 10**9
UNSHARE = ["unshare", "--net", "--time", "--monotonic", str(HOUR_S), "--fork", "--kill-child", "--"]
SUBNET = os.getpid() % 64 * 4
OURS, THEIRS = f"10.213.77.{SUBNET + 1}", f"10.213.77.{SUBNET + 2}"


def can_unshare() -> bool:
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("unshare")):
        return False
    names = (f"sbx{os.getpid()}", f"sby{os.getpid()}")
    made = subprocess.run(
        ["ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1]],
        capture_output=True, check=False,
    )  # fmt: skip
    subprocess.run(["ip", "link", "del", names[0]], capture_output=True, check=False)
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    return made.returncode == tried.returncode == 0


pytestmark = pytest.mark.skipif(not can_unshare(), reason="needs root, ip and unshare")


class Child:
    """The other site; what it says is collected by a thread."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.said: list[dict] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._news:
                self.said.append(json.loads(line))
                self._news.notify_all()

    def of(self, what: str) -> list[dict]:
        return [each for each in self.said if each["what"] == what]

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(is_so, 15), self.said[-5:]

    def tell(self, text: str) -> None:
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


@contextmanager
def elsewhere(keys: Path) -> Iterator[tuple[Site, Child]]:
    """Site a here, site b in namespaces of its own, a pair of virtual cables between them."""
    inner, outer = f"sbi{os.getpid()}", f"sbo{os.getpid()}"
    child_file = Path(__file__).with_name("namespace_child.py")
    process = subprocess.Popen(
        [*UNSHARE, sys.executable, str(child_file)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    child = Child(process)
    try:
        for command in (
            ["ip", "link", "add", outer, "type", "veth", "peer", "name", inner],
            ["ip", "link", "set", inner, "netns", str(process.pid)],
            ["ip", "addr", "add", f"{OURS}/30", "dev", outer],
            ["ip", "link", "set", outer, "up"],
        ):
            subprocess.run(command, check=True, capture_output=True)
        with running(keys, "a", "b", listen_host=OURS, clock=clock_identity()) as a:
            order = {"keys": str(keys), "host": OURS, "port": a.bridge.listen_port,
                     "address": f"{THEIRS}/30", "interface": inner}  # fmt: skip
            child.tell(json.dumps(order))
            yield a, child
            process.stdin.close()
            process.wait(10)
    finally:
        child.end()
        subprocess.run(["ip", "link", "del", outer], capture_output=True, check=False)


def is_offset(event: object) -> bool:
    return isinstance(event, OffsetKnown)


def batch(number: int) -> SpikeBatch:
    records = np.zeros(1, SPIKE_RECORD)
    records["sample_index"] = number
    now_ns = monotonic_ns()
    return SpikeBatch(0, records, now_ns, now_ns)


def test_an_hour_between_the_clocks_changes_nothing_and_is_told_honestly(folder: Path) -> None:
    with elsewhere(folder) as (a, child):
        a.wait_for(is_up)
        told = a.wait_for(is_offset)  # so heartbeats have gone both ways
        child.wait_for(lambda: bool(child.of("offset")))
        child.tell("100")
        got = a.wait_for(is_spikes, 100)
        assert [int(e.batch.records["sample_index"][0]) for e in got] == list(range(100))
        assert all(e.age_bound_ns is not None and 0 <= e.age_bound_ns < HOUR_NS / 10 for e in got)
        for number in range(100):
            a.bridge.send_spikes("b", batch(number))
        child.wait_for(lambda: len(child.of("spike")) == 100)
        assert [each["number"] for each in child.of("spike")] == list(range(100))
        assert all(0 <= each["age_bound_ns"] < HOUR_NS / 10 for each in child.of("spike"))
        (clock,) = child.of("clock")
        assert clock["identity"] != clock_identity(), "no site takes the two for one clock"
        assert abs(clock["now_ns"] - monotonic_ns() - HOUR_NS) < HOUR_NS / 10
        for offset_ns, uncertainty_ns in [(e.offset_ns, e.uncertainty_ns) for e in told]:
            assert abs(offset_ns - HOUR_NS) <= uncertainty_ns < 10**9
        for each in child.of("offset"):
            assert abs(each["offset_ns"] + HOUR_NS) <= each["uncertainty_ns"] < 10**9
        assert child.of("gap") == child.of("failure") == []


def test_a_cable_that_is_pulled_is_noticed_at_both_ends_and_nothing_is_lost(folder: Path) -> None:
    with elsewhere(folder) as (a, child):
        a.wait_for(is_up)
        outer = f"sbo{os.getpid()}"
        subprocess.run(["ip", "link", "set", outer, "down"], check=True)
        a.wait_for(is_down)
        child.wait_for(lambda: child.of("state")[-1]["state"] == "down")
        a.bridge.send_spikes("b", batch(7))
        child.tell("3")
        subprocess.run(["ip", "link", "set", outer, "up"], check=True)
        got = a.wait_for(is_spikes, 3)
        assert [int(e.batch.records["sample_index"][0]) for e in got] == [0, 1, 2]
        child.wait_for(lambda: bool(child.of("spike")))
        assert child.of("spike")[0]["number"] == 7
        assert child.of("gap") == child.of("failure") == []
