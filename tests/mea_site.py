"""One site with a simulated amplifier at its full rate, its engine a process. No tests in here."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import chain_rig as rig
import msgspec

from app.config.load import as_toml, load_site
from app.config.recording import Recording
from app.demo.files import CHAIN
from app.demo.sites import RunningSite, ready
from app.mock_rig import MockRig
from app.run_folder import RunFolder

RATE_HZ = 20_000


def site_file(folder: Path, *, is_recording_raw: bool = True, planned_s: float = 60.0) -> Path:
    """Padova of the chain without peers: 60 channels at 20 kHz."""
    site = msgspec.structs.replace(
        load_site(CHAIN / "padova.toml"),
        peers=(),
        limits_override=None,
        is_recording_raw=is_recording_raw,
        recording=Recording(planned_s=planned_s),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "site.toml"
    path.write_bytes(as_toml(site))
    return path


@contextmanager
def running(path: Path, engine: Sequence[str]) -> Iterator[RunningSite]:
    """Mocks and the engine that the command `engine` starts, armed; both end on the way out."""
    site = load_site(path)
    folder = RunFolder(path, site)
    folder.make()
    mocks = MockRig()
    mocks.start(site)
    try:
        folder.write_json(folder.addresses, mocks.addresses)
        with (path.parent / "engine.log").open("ab") as log:
            process = subprocess.Popen([*engine, str(path), "--mock"], stderr=log)
        running = RunningSite(site.site, path, process, folder)
        try:
            ready(running)
            arm(running)
            yield running
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(15.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        mocks.stop()


def arm(site: RunningSite) -> None:
    """Arm as a person would who goes away at once."""

    def is_armable() -> bool:
        gate = site.call("status")["gate"]
        return set(gate["stale_leases"]) <= {"console"} and not gate["blocks"]

    rig.until(is_armable, "can be armed")
    code = site.call("status")["session_code"]
    who = "operator at padova"
    words = {"who": who, "reason": "test", "seconds": 600.0, "is_unattended": True}
    site.call("arm", code=code, **words)
    assert site.call("status")["gate"]["state"] == "armed"
