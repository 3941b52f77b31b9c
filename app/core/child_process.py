"""Waiting for a child process that has been told to end."""

import subprocess


def wait_or_kill(process: "subprocess.Popen[bytes]", limit_s: float) -> int:
    """Wait until a process has ended, kill it after `limit_s`; return its exit code."""
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
