"""`python -m app.sessions.complete_checks ROOT SITE`: what engines start beside themselves.

It completes the checks of all sessions of a site with the least priority, and ends with its
standard input, however whoever started it ends.
"""

import os
import select
import sys
from contextlib import suppress
from pathlib import Path

from app.exit_codes import ExitCode
from app.recording.errors import RecordingError
from app.recording.files import DiskFiles
from app.recording.late_checks import all_left, complete

MAX_SAID = 3
"""Faults that are told; whoever started this may not listen until the end."""


class NobodyWaitsError(Exception):
    """Standard input has ended."""


def main(root: Path, site: str) -> ExitCode:
    """Complete every session that can be; return FAILED if one cannot."""
    os.nice(19)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    n_failed = 0
    for left in all_left(root, site):
        try:
            complete(left, DiskFiles(), _look)
        except NobodyWaitsError:
            return ExitCode.OK
        except (RecordingError, OSError) as exc:
            n_failed += 1
            if n_failed <= MAX_SAID:
                print(f"{left.folder.name}: {exc}", file=sys.stderr)  # noqa: T201 - its only voice
    return ExitCode.FAILED if n_failed else ExitCode.OK


def _look(_n_bytes: int) -> None:
    fd = sys.stdin.fileno()
    if select.select([fd], [], [], 0.0)[0] and not os.read(fd, 4096):
        raise NobodyWaitsError


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
