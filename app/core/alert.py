"""A command of the operator's choice, to call somebody who does not sit at a console."""

import logging
import os
import subprocess
from collections.abc import Sequence

log = logging.getLogger(__name__)

TIME_LIMIT_S = 5.0
"""Enough to hand a message over; whoever needs longer starts a process of their own."""


def run_alert(command: Sequence[str], site: str, sentence: str) -> str:
    """Run the command with the sentence as its last argument; return what came of it.

    No shell reads it. It also finds `SPIKEBRIDGE_SITE` and `SPIKEBRIDGE_ALERT` in its environment,
    has 5 s, and never raises.
    """
    environment = {**os.environ, "SPIKEBRIDGE_SITE": site, "SPIKEBRIDGE_ALERT": sentence}
    try:
        done = subprocess.run(
            [*command, sentence],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as exc:
        outcome = f"alert command {command[0]} failed: {exc}"
    else:
        outcome = f"alert command {command[0]} ended with code {done.returncode}"
    log.warning("%s (%s)", outcome, sentence)
    return outcome
