"""The three sites of the demonstration as processes, run exactly as an operator would run them."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from app.config.load import load_site
from app.console.client import ConsoleClient, NoEngineError
from app.core.child_process import wait_or_kill
from app.core.heartbeat import START_LIMIT_S
from app.demo.files import HUB, SITES, set_hub_port
from app.run_folder import RunFolder

LINK_LIMIT_S = 20.0
END_LIMIT_S = 15.0
TRUTH_LIMIT_S = 5.0


class DemoError(Exception):
    """The demonstration could not be carried through; the message says where it stopped."""


@dataclass(slots=True)
class RunningSite:
    """One site's supervisor process and where its files are."""

    name: str
    site_file: Path
    process: "subprocess.Popen[bytes]"
    folder: RunFolder

    def call(self, command: str, **arguments: str | float | bool | None) -> dict[str, Any]:
        """Send one console command."""
        with ConsoleClient(self.folder.console_socket) as console:
            return console.call(command, **arguments)

    def must_live(self) -> None:
        """Raise `DemoError` if the site has ended."""
        code = self.process.poll()
        if code is not None:
            raise DemoError(f"site {self.name} ended with code {code}; see {self.log_file}")

    @property
    def engine_pid(self) -> int:
        """Get the process id of the running engine, which is not the supervisor's."""
        return int(json.loads(self.folder.engine.read_text("utf-8"))["pid"])

    def ask_mock(self, instrument: str, ask: str) -> dict[str, Any]:
        """Ask a running mock over its truth port what really happens."""
        mocks = json.loads(self.folder.mocks.read_text("utf-8"))
        return ask_truth(int(mocks[instrument]["truth_port"]), ask)

    @property
    def log_file(self) -> Path:
        """Get the file with everything that the site's processes said."""
        return self.site_file.parent / "engine.log"


def ask_truth(port: int, ask: str, **more: Any) -> dict[str, Any]:
    """Ask a mock on this machine. Raises OSError or ValueError if it has ended."""
    with socket.create_connection(("127.0.0.1", port), TRUTH_LIMIT_S) as truth:
        truth.sendall(json.dumps({"ask": ask, **more}).encode() + b"\n")
        with truth.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline())
    return answer


@contextmanager
def chain_running(site_files: Mapping[str, Path]) -> Iterator[dict[str, RunningSite]]:
    """Start all sites, the hub first; yield them linked and disarmed. On the way out all end."""
    with ExitStack() as stack:
        running: dict[str, RunningSite] = {}
        for name in SITES:
            if name != HUB:
                set_hub_port(site_files[name], int(ready(running[HUB])["listen_port"]))
            path = site_files[name]
            experiment = str(path.parent / "experiment.toml")
            running[name] = stack.enter_context(
                site_process(name, path, "--experiment", experiment, "--mock")
            )
        for site in running.values():
            ready(site)
        await_that(lambda: _all_linked(running), LINK_LIMIT_S, "all links up", running)
        yield running


@contextmanager
def site_process(
    name: str, site_file: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[RunningSite]:
    """Run a site as `spikebridge run SITE.toml ...` does; on the way out it ends in order.

    `environment` is added to ours.
    """
    command = [sys.executable, "-m", "app.cli", "--log-level", "info", "run", str(site_file)]
    with (site_file.parent / "engine.log").open("wb") as log_file:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            env={**os.environ, **(environment or {})},
        )
        try:
            yield RunningSite(name, site_file, process, RunFolder(site_file, load_site(site_file)))
        finally:
            process.terminate()
            wait_or_kill(process, END_LIMIT_S)


def ready(site: RunningSite) -> dict[str, Any]:
    """Return a site's status as soon as its console answers."""
    status: dict[str, Any] = {}

    def answers() -> bool:
        try:
            status.update(site.call("status"))
        except NoEngineError:
            return False
        return True

    await_that(answers, START_LIMIT_S, f"site {site.name} running", {site.name: site})
    return status


def await_that(
    is_done: Callable[[], bool],
    limit_s: float,
    what: str,
    running: Mapping[str, RunningSite],
    interval_s: float = 0.05,
) -> None:
    """Wait until something holds. Raises `DemoError` after `limit_s`, or if a site ends first."""
    deadline_s = time.monotonic() + limit_s
    while not is_done():
        for site in running.values():
            site.must_live()
        if time.monotonic() > deadline_s:
            raise DemoError(f"not within {limit_s:g} s: {what}")
        time.sleep(interval_s)


def _all_linked(running: Mapping[str, RunningSite]) -> bool:
    return all(
        link["state"] == "up" for site in running.values() for link in site.call("status")["links"]
    )


def arm_all(running: Mapping[str, RunningSite], leave_out: Collection[str] = ()) -> None:
    """Arm by program: possible because every actuator is a mock."""
    for name, site in running.items():
        if name in leave_out:
            continue
        await_that(partial(_is_armable, site), LINK_LIMIT_S, f"{name} can be armed", running)
        site.call(
            "arm", who="demo", reason="demonstration on mocks", seconds=3600.0, by_program=True
        )


def _is_armable(site: RunningSite) -> bool:
    gate = site.call("status")["gate"]
    needed = set(gate["stale_leases"]) - {"console"}
    return gate["state"] == "disarmed" and not needed and not gate["blocks"]
