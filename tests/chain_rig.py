"""The three sites of the 2020 chain as real processes, for tests. No tests in here."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.demo.files import DemoSettings, prepare_files
from app.demo.sites import RunningSite, arm_all, chain_running


@contextmanager
def running_chain(out: Path, seconds_per_phase: float = 60.0) -> Iterator[dict[str, RunningSite]]:
    """All three sites, linked and armed by program, the protocol not started."""
    _, site_files = prepare_files(DemoSettings(out=out, seconds_per_phase=seconds_per_phase))
    with chain_running(site_files) as sites:
        arm_all(sites)
        yield sites
        for site in sites.values():
            assert_unharmed(site)


def until(is_so: Callable[[], bool], what: str, limit_s: float = 20.0) -> None:
    """Wait for a state, not for a time."""
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not within {limit_s} s: {what}"
        time.sleep(0.02)


def mocks(site: RunningSite) -> dict[str, Any]:
    """Return what the site's mocks said of themselves, by instrument."""
    content: dict[str, Any] = json.loads(site.folder.mocks.read_text())
    return content


def mock_pid(site: RunningSite) -> int:
    (mock,) = mocks(site).values()
    return int(mock["pid"])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[-1][0]
    return state != "Z"


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_running(pid), f"process {pid} dead")


def truth(site: RunningSite, ask: str) -> dict[str, Any]:
    """Ask the site's mock what really happened."""
    (name,) = mocks(site)
    return site.ask_mock(name, ask)


def assert_unharmed(site: RunningSite) -> None:
    """Ask the site's mock, if it still runs, whether tissue or a device came to harm."""
    if site.name == "zurich" or site.process.poll() is not None:
        return
    try:
        status = truth(site, "status")
    except (OSError, ValueError):
        return  # killed by the test
    harm = status["damage"] if site.name == "padova" else status["damaged"]
    assert harm in (0.0, []), f"{site.name}: {harm}"


def link_state(site: RunningSite, peer: str) -> str:
    return next(link["state"] for link in site.call("status")["links"] if link["site"] == peer)
