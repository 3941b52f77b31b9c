"""A console server with a scripted engine behind it, for tests. No tests in here."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from chain_rig import until

from app.console.attachment import Arrival, Attachment, LocalEngine
from app.console.control import Caller
from app.console.feed import FEED_SPIKE, EnvelopeBatch, FeedFormat
from app.console.feed_wire import decode_item
from app.console.frame_buffer import FrameBuffer
from app.console.live_feed import LiveFeed
from app.console.messages import CommandRefusedError, Reply
from app.console.server import ConsoleServer, NetworkAccess
from app.console.subscription import BUFFER_BYTES, Subscription
from app.core.frames import FrameDecoder, FrameType
from app.core.signal_view import EnvelopeRing


def feed_format(n_channels: int = 4) -> FeedFormat:
    return FeedFormat(
        site="padova",
        channel_names=tuple(f"A-{i:03d}" for i in range(n_channels)),
        sample_rate_hz=20_000.0,
        microvolts_per_count=0.195,
        samples_per_column=20,
        position_um=np.full((n_channels, 2), np.nan, np.float32),
        sites=("padova", "zurich"),
        neurons=((1, "zurich", "ANpre"), (256, "padova", "BN")),
    )


class ScriptedHandler:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, dict[str, Any]]] = []
        self.gone: list[int] = []
        self.shown: dict[str, Any] = {"site": "padova"}
        self.refusals: dict[str, str] = {}

    def handle(self, caller: Caller, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((caller.number, name, arguments))
        if name in self.refusals:
            raise CommandRefusedError(self.refusals[name])
        return {"operator": caller.operator}

    def status(self) -> dict[str, Any]:
        return self.shown

    def left(self, caller: Caller) -> None:
        self.gone.append(caller.number)


@contextmanager
def serving(
    feed: LiveFeed, handler: Any, network: NetworkAccess | None = None
) -> Iterator[tuple[ConsoleServer, Path]]:
    """A server on a socket of its own, listening."""
    failures: list[BaseException] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "console.sock"
        server = ConsoleServer(
            path, handler, lambda _name, exc: failures.append(exc), feed=feed, network=network
        )
        server.start()
        try:
            until(lambda: path.exists() and server.last_step_ns > 0, "server listens")
            yield server, path
        finally:
            server.request_stop()
            assert server.join(5.0)
        assert not failures


def attached(path: Path) -> Attachment:
    return Attachment(LocalEngine(path))


def gather(
    attachment: Attachment, is_enough: Callable[[list[Arrival]], bool], what: str
) -> list[Arrival]:
    """Poll until what has arrived is enough; return all of it."""
    arrivals: list[Arrival] = []

    def look() -> bool:
        arrivals.extend(attachment.poll())
        return is_enough(arrivals)

    until(look, what)
    return arrivals


def reply(attachment: Attachment, name: str, **arguments: Any) -> Reply:
    """Send a command and return its reply; everything else that comes is let go."""
    number = attachment.send(name, **arguments)
    arrivals = gather(
        attachment, lambda got: any(isinstance(a, Reply) and a.id == number for a in got), name
    )
    return next(a for a in arrivals if isinstance(a, Reply) and a.id == number)


def fill(ring: EnvelopeRing, first: int, n: int, sample: int, value_uv: float = 0.0) -> None:
    """Write `n` columns from ring column `first` on, the first one beginning at `sample`."""
    for k in range(n):
        row = (first + k) % len(ring.extents)
        ring.extents[row] = sample + k * ring.n_samples_per_column, ring.n_samples_per_column
        ring.values[row] = np.rint(np.array([-1, 1, -2, 2])[:, None] * value_uv / 0.195)
    ring.publish(first + n)


def feed_with_ring(n_channels: int = 4) -> tuple[LiveFeed, EnvelopeRing]:
    feed, ring = LiveFeed(feed_format(n_channels)), EnvelopeRing(n_channels, 20, 4096, 0.195)
    feed.set_envelopes(ring)
    feed.time_of = lambda sample: 1000 + sample * 50_000
    return feed, ring


def spikes(first: int, n: int) -> np.ndarray:
    records = np.zeros(n, FEED_SPIKE)
    records["sample_index"] = np.arange(first, first + n)
    return records


def last_sample(arrivals: list[object]) -> int:
    return max((a.end_sample for a in arrivals if isinstance(a, EnvelopeBatch)), default=0)


def items(subscription: Subscription) -> list[object]:
    buffer, decoder, frames = FrameBuffer(BUFFER_BYTES), FrameDecoder(), []
    while True:
        buffer.clear()
        subscription.fill(buffer)
        if not buffer.filled:
            return [decode_item(f.body) for f in frames if f.type is FrameType.FEED]
        frames += decoder.feed(bytes(buffer.filled))


def envelopes(subscription: Subscription) -> list[EnvelopeBatch]:
    return [item for item in items(subscription) if isinstance(item, EnvelopeBatch)]
