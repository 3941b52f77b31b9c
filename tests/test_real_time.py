"""Real-time scheduling is taken where it may be had, passed on to threads, and refused in words."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setscheduler"), reason="no POSIX scheduling on this system"
)

TRY_IT = """
import json, os, sys, threading
from app.core.real_time import take_real_time
{prepare}
refused = take_real_time()
seen = []
thread = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
print(json.dumps([refused, os.sched_getscheduler(0), seen[0]]))
"""
WITHOUT_THE_RIGHT = """
import resource
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
os.setuid(65534)
"""


def tried(prepare: str) -> tuple[str | None, int, int]:
    """Take real time in a process of its own; return the answer and the policies it then has."""
    code = TRY_IT.format(prepare=prepare)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    refused, own, of_thread = json.loads(done.stdout)
    return refused, own, of_thread


def test_threads_started_afterwards_have_what_was_taken() -> None:
    refused, own, of_thread = tried("")
    if refused is not None:
        pytest.skip(f"real time may not be had here: {refused}")
    assert own == of_thread == os.SCHED_RR


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a right away")
def test_without_the_right_it_stays_ordinary_and_says_why() -> None:
    refused, own, of_thread = tried(WITHOUT_THE_RIGHT)
    assert own == of_thread == os.SCHED_OTHER
    assert refused is not None
    assert "RLIMIT_RTPRIO" in refused


def test_one_processor_is_left_to_everybody() -> None:
    refused, own, _ = tried("os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})")
    assert own == os.SCHED_OTHER
    assert refused is not None
    assert "one processor" in refused


LEAVE_IT = """
import json, os, subprocess, sys, threading
from app.core.real_time import leave_real_time, take_real_time
refused = take_real_time()
seen = []
def leave():
    leave_real_time()
    ask = "import os; print(os.sched_getscheduler(0))"
    seen.append(int(subprocess.run([sys.executable, "-c", ask], capture_output=True).stdout))
thread = threading.Thread(target=leave)
thread.start()
thread.join()
print(json.dumps([refused, os.sched_getscheduler(0), seen[0]]))
"""


def test_what_a_thread_starts_that_has_left_it_is_ordinary_and_the_others_keep_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVE_IT], capture_output=True, text=True, check=True, timeout=30
    )
    refused, own, of_program = json.loads(done.stdout)
    if refused is not None:
        pytest.skip(f"real time may not be had here: {refused}")
    assert own == os.SCHED_RR
    assert of_program == os.SCHED_OTHER
