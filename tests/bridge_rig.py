"""Bridges over real TLS on loopback, for tests. No tests in here."""

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.bridge import keys
from app.bridge.bodies import StreamInfo
from app.bridge.bridge import Bridge
from app.bridge.events import LinkEvent, LinkState, SpikesReceived, StateChanged
from app.bridge.peers import PeerAddress
from app.bridge.settings import LinkSettings, LocalSite
from app.bridge.tls import TlsIdentity
from app.core.clock import monotonic_ns
from app.core.spikes import Provenance

SESSIONS = {"a": "a" * 32, "b": "b" * 32}


class Site:
    """One end: a bridge, the events that it told, and the failures it reported."""

    def __init__(self, bridge: Bridge, events: "queue.SimpleQueue[LinkEvent]", failures: list):
        self.bridge = bridge
        self.queue = events
        self.events: list[LinkEvent] = []
        self.failures = failures

    def wait_for(self, is_wanted: Callable[[LinkEvent], bool], n: int = 1, limit_s: float = 10):
        deadline = time.monotonic() + limit_s
        while sum(map(is_wanted, self.events)) < n:
            left = deadline - time.monotonic()
            assert left > 0, f"not seen in time; seen: {self.events[-5:]}"
            try:
                self.events.append(self.queue.get(timeout=left))
            except queue.Empty:
                continue
        return [event for event in self.events if is_wanted(event)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    for name in ("a", "b", "stranger"):
        keys.keygen(made, name)
    return made


def identity(folder: Path, name: str, peers: list[str]) -> TlsIdentity:
    files = {peer: folder / f"{peer}.crt" for peer in peers}
    return TlsIdentity(folder / f"{name}.key", folder / f"{name}.crt", files)


@contextmanager
def running(
    folder: Path, name: str, peer: str, *, port: int | None = None, session: str | None = None,
    last_seqs: dict[str, int] | None = None, key_of: str | None = None,
    listen_host: str = "127.0.0.1", dial_host: str = "127.0.0.1", clock: str = "clock",
    settings: LinkSettings | None = None,
) -> Iterator[Site]:  # fmt: skip
    events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
    failures: list = []
    host = None if port is None else dial_host
    local = LocalSite(
        name, session or SESSIONS[name], "hash", clock,
        (StreamInfo(stream=0, name="x", provenance=Provenance.MOCK, neurons=(1,)),),
    )  # fmt: skip
    bridge = Bridge(
        local,
        identity(folder, key_of or name, [peer]),
        (PeerAddress(peer, host, port),),
        listen=(listen_host, 0) if port is None else None,
        last_seqs={peer: last_seqs or {}},
        on_event=events.put,
        clock_ns=monotonic_ns,
        on_failure=lambda *failure: failures.append(failure),
        settings=settings,
    )
    bridge.start()
    try:
        yield Site(bridge, events, failures)
    finally:
        bridge.request_stop()
        assert bridge.join(5)
        assert not failures


@contextmanager
def pair(folder: Path) -> Iterator[tuple[Site, Site]]:
    with running(folder, "a", "b") as a, running(folder, "b", "a", port=a.bridge.listen_port) as b:
        a.wait_for(is_up)
        b.wait_for(is_up)
        yield a, b


def is_up(event: LinkEvent) -> bool:
    return isinstance(event, StateChanged) and event.state is LinkState.UP


def is_down(event: LinkEvent) -> bool:
    return isinstance(event, StateChanged) and event.state is LinkState.DOWN


def is_spikes(event: LinkEvent) -> bool:
    return isinstance(event, SpikesReceived)


def wait_until(is_so: Callable[[], bool], limit_s: float = 10) -> None:
    """Wait for a state that the bridge's thread publishes with its next tick."""
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.001)
