"""Real-time scheduling: the kernel runs this process before every ordinary one.

A 1 ms loop under ordinary scheduling waits its turn behind whatever else the host does, for
milliseconds; no program can make up for that. The policy is SCHED_RR of sched(7), which may be used
by whoever has `RLIMIT_RTPRIO` (systemd: `LimitRTPRIO=`) or CAP_SYS_NICE.
"""

import os
from typing import Final

PRIORITY: Final = 10
"""Of 1 to 99: before everything ordinary, behind the kernel's own interrupt threads (50)."""


def take_real_time() -> str | None:
    """Run the calling thread, and what it starts from now on, in real time.

    Return None, or why it stays with ordinary scheduling.
    """
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no real-time scheduling"
    if len(os.sched_getaffinity(0)) < 2:
        return "there is one processor, which others need too"
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    except OSError as exc:
        return f"{exc.strerror}: priority {PRIORITY} needs RLIMIT_RTPRIO"
    return None


def leave_real_time() -> None:
    """Run the calling thread, and programs that it starts, as the host's ordinary ones.

    For work that may take its time: in real time it would keep a processor from everybody else.
    """
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
