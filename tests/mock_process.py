"""A simulated instrument as a process of its own, and what it says of the truth. No tests."""

import json
import signal
import subprocess
import sys
import time
from typing import Any

from app.demo.sites import ask_truth

LIMIT_S = 10.0


class MockProcess:
    """`python -m MODULE ...`, ready; it ends with us."""

    def __init__(self, module: str, *options: str) -> None:
        command = [sys.executable, "-m", module, "--exit-on-stdin-eof", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ready: dict[str, Any] = json.loads(self.process.stdout.readline())

    def ask(self, ask: str = "status", **more: Any) -> dict[str, Any]:
        """Ask over the truth port, which `--truth 127.0.0.1:0` opens."""
        return ask_truth(self.ready["truth_port"], ask, **more)

    def status_when(self, **wanted: Any) -> dict[str, Any]:
        """Return the status once it says what is wanted."""
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            status = self.ask()
            if wanted.items() <= status.items():
                return status
            assert time.monotonic() < deadline_s, f"{status} never came to {wanted}"

    def close(self) -> int:
        """End it, also if it was stopped; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        try:
            return self.process.wait(LIMIT_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
