"""Site time: the host's CLOCK_MONOTONIC in nanoseconds, and whose clock that is."""

import time
from collections.abc import Callable
from pathlib import Path

ClockNs = Callable[[], int]
"""Anything that tells site time in ns; a virtual one in tests."""

monotonic_ns: ClockNs = time.monotonic_ns


def clock_identity() -> str:
    """Return a name for this host's monotonic clock: boot id and time namespace.

    Two processes with equal identities read the same clock, so the offset between them is zero
    with no uncertainty. Where the kernel does not tell (not Linux), the identity is unique to
    this process's start, and nothing is assumed.
    """
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/time").stat().st_ino
    except OSError:
        return f"process-{time.time_ns()}-{time.monotonic_ns()}"
    return f"{boot_id}-{namespace}"


def utc_anchor() -> tuple[int, int, int]:
    """Return (monotonic_ns, utc_ns, width_ns): one instant on both clocks, known to `width_ns`."""
    before = time.monotonic_ns()
    utc_ns = time.time_ns()
    after = time.monotonic_ns()
    return (before + after) // 2, utc_ns, after - before
