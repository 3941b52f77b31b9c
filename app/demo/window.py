"""The operator's window beside the demonstration: a process of its own, attached to all sites."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.console.client import NoEngineError
from app.core.child_process import wait_or_kill
from app.demo.sites import RunningSite

ATTACH_LIMIT_S = 60.0
"""A first start compiles what draws."""
CLOSE_LIMIT_S = 10.0
ORDER = ("padova", "southampton", "zurich")


class DemoWindow:
    """A window that is open, or was."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @property
    def is_open(self) -> bool:
        """Say whether it has not been closed."""
        return self._process.poll() is None

    def await_attached(self, running: Mapping[str, RunningSite]) -> None:
        """Wait until it shows every site, is closed, or takes too long: nothing depends on it."""
        deadline_s = time.monotonic() + ATTACH_LIMIT_S
        while self.is_open and time.monotonic() < deadline_s:
            if all(_is_watched(site) for site in running.values()):
                return
            time.sleep(0.2)

    def await_closed(self) -> None:
        """Wait until somebody closes it."""
        self._process.wait()


@contextmanager
def demo_window(site_files: Mapping[str, Path]) -> Iterator[DemoWindow]:
    """Open a window onto these sites; on the way out it is closed."""
    command = [sys.executable, "-m", "app.cli", "gui", "--attach-only"]
    command += [str(site_files[name]) for name in ORDER]
    process = subprocess.Popen(command)
    try:
        yield DemoWindow(process)
    finally:
        process.terminate()
        wait_or_kill(process, CLOSE_LIMIT_S)


def _is_watched(site: RunningSite) -> bool:
    try:
        console = site.call("status")["console"]
    except NoEngineError:
        return False
    return console is not None and console["n_watching"] > 0
