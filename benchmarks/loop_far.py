"""The other end of `loop.py`: a process that decodes what comes, and one end of the link."""

import gc
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.bridge.bodies import StreamInfo, decode_spikes
from app.bridge.bridge import Bridge, PeerAddress
from app.bridge.events import LinkEvent, SpikesReceived
from app.bridge.link import LocalSite
from app.bridge.tls import TlsIdentity
from app.core.clock import ClockNs, monotonic_ns
from app.core.frames import FrameDecoder
from app.core.spikes import Provenance
from app.run_engine import SWITCH_INTERVAL_S

LEGS = ("tls", "tcp")
NEAR, FAR = "near", "far"
LIMIT_S = 20.0

Arrival = tuple[int, int, int]
"""Of one batch, in ns: when its block was due, when the receiver was awake, when it was decoded."""


@contextmanager
def bridge(
    folder: Path,
    name: str,
    peer: str,
    on_event: Callable[[LinkEvent], None],
    port: int | None,
    clock_ns: ClockNs = monotonic_ns,
) -> Iterator[Bridge]:
    """Run one end of the link; the one without a port listens."""
    identity = TlsIdentity(
        folder / f"{name}.key", folder / f"{name}.crt", {peer: folder / f"{peer}.crt"}
    )
    stream = StreamInfo(stream=0, name="paced", provenance=Provenance.MOCK, neurons=(1,))
    made = Bridge(
        LocalSite(name, name.encode().hex().ljust(32, "0"), "hash", "clock", (stream,)),
        identity,
        (PeerAddress(peer, None if port is None else "127.0.0.1", port),),
        listen=("127.0.0.1", 0) if port is None else None,
        last_seqs={},
        on_event=on_event,
        clock_ns=clock_ns,
        on_failure=failed,
    )
    made.start()
    try:
        yield made
    finally:
        made.request_stop()
        made.join(5.0)


def failed(worker: str, exc: BaseException) -> None:
    """Say what broke; the figures then miss blocks, which is a goal of its own."""
    print(f"{worker}: {exc!r}", file=sys.stderr)


def run_as_an_engine_does() -> None:
    """Set the interpreter up like an engine's, before the threads start."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()


class NotedClock:
    """A clock that remembers its last answer."""

    def __init__(self) -> None:
        self.last_ns = 0

    def __call__(self) -> int:
        self.last_ns = monotonic_ns()
        return self.last_ns


def receive(folder: Path) -> None:
    """Decode until standard input ends; print the `Arrival`s of each leg."""
    arrivals: dict[str, list[Arrival]] = {leg: [] for leg in LEGS}
    clock = NotedClock()  # the bridge looks at it when it is awake and about to read

    def take(event: LinkEvent) -> None:
        if isinstance(event, SpikesReceived):
            if len(event.batch.records):
                due_ns = event.batch.complete_until_ns
                arrivals["tls"].append((due_ns, clock.last_ns, monotonic_ns()))
            # A site that never says so is sent no more: it seems unable to keep what it gets.
            far.recorded(event.site, event.session, event.seq)

    run_as_an_engine_does()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        bridge(folder, FAR, NEAR, take, None, clock) as far,
    ):
        print(json.dumps({"tls": far.listen_port, "tcp": server.getsockname()[1]}), flush=True)
        plain = threading.Thread(target=receive_plain, args=(server, arrivals["tcp"]))
        plain.start()
        sys.stdin.read()
        plain.join(LIMIT_S)
    print(json.dumps(arrivals), flush=True)


def receive_plain(server: socket.socket, arrivals: list[Arrival]) -> None:
    """Decode the frames of one plain connection until it ends."""
    client, _ = server.accept()
    decoder = FrameDecoder()
    with client:
        while data := client.recv(65_536):
            awake_ns = monotonic_ns()
            for frame in decoder.feed(data):
                _, records, due_ns = decode_spikes(frame.body)
                if len(records):
                    arrivals.append((due_ns, awake_ns, monotonic_ns()))


if __name__ == "__main__":
    receive(Path(sys.argv[1]))
