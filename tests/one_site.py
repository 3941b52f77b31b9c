"""One armed site without peers, as processes: memristors and a chip, quick to start. No tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import chain_rig as rig

from app.demo.sites import RunningSite, ready, site_process

SITE = """
schema_version = 1
site = "bench"
{top}
[[operators]]
name = "ada"

[[smus]]
driver = "arc_one"
name = "arc1"
port = "/dev/null"
[[smus.devices]]
name = "m1"
wordline = 1
bitline = 1

[[chips]]
driver = "aer_udp"
name = "chip1"
listen_host = "127.0.0.1"
listen_port = 5005
chip_host = "127.0.0.1"
chip_port = 10000
neurons = [1]
mock = {{ relay = 1 }}
"""


def site_file(folder: Path, top: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "site.toml"
    path.write_text(SITE.format(top=top))
    return path


@contextmanager
def running(
    path: Path, *arguments: str, env: dict[str, str] | None = None, is_mock: bool = True
) -> Iterator[RunningSite]:
    """The site as `spikebridge run SITE.toml --mock` starts it; ends it on the way out."""
    mock = ["--mock"] if is_mock else []
    with site_process("bench", path, *mock, *arguments, environment=env) as site:
        ready(site)
        rig.until(lambda: stale_leases(site) <= {"console"}, "leases fresh")
        yield site


def arm(site: RunningSite, **arguments: str | float | bool) -> None:
    """Arm as a person at a console would who goes away at once, unless the words say otherwise."""
    words = {"who": "ada", "reason": "test", "seconds": 600.0, "is_unattended": True, **arguments}
    site.call("arm", code=site.call("status")["session_code"], **words)


def stale_leases(site: RunningSite) -> set[str]:
    return set(site.call("status")["gate"]["stale_leases"])


def state(site: RunningSite) -> str:
    return str(site.call("status")["gate"]["state"])


def until_state(site: RunningSite, wanted: str) -> None:
    rig.until(lambda: state(site) == wanted, f"state {wanted}")
