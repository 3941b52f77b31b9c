"""What consoles are shown: the live feed 30 times a second, the status four times."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from app.console.attached import Attached
from app.console.feed_wire import RINGS
from app.console.frame_buffer import FrameBuffer
from app.console.live_feed import LiveFeed
from app.console.messages import CommandRefusedError
from app.console.subscription import BUFFER_BYTES, Subscription
from app.core.clock import ClockNs
from app.core.frames import Frame, FrameType, encode_frame

FRAME_INTERVAL_NS = 33_000_000
STATUS_INTERVAL_NS = 250_000_000


@dataclass(slots=True)
class FeedCost:
    """What showing costs the engine: Python time of this thread per display frame."""

    n_frames: int = 0
    total_ns: int = 0
    worst_ns: int = 0

    def note(self, spent_ns: int) -> None:
        """Count one display frame."""
        self.n_frames += 1
        self.total_ns += spent_ns
        self.worst_ns = max(self.worst_ns, spent_ns)


class Display:
    """Belongs to the console server's thread. `status` gives what every console is shown."""

    def __init__(
        self, feed: LiveFeed | None, status: Callable[[], dict[str, Any]], clock_ns: ClockNs
    ) -> None:
        self._feed = feed
        self._status = status
        self._clock_ns = clock_ns
        self._next_frame_ns = 0
        self._next_status_ns = 0
        self._buffer = FrameBuffer(BUFFER_BYTES)

    def subscribe(self, console: Attached, arguments: dict[str, Any]) -> dict[str, Any]:
        """Show a console everything from now on, or from the place that it names."""
        if self._feed is None:
            raise CommandRefusedError("this engine has no live feed")
        has_traces = arguments.get("has_traces", True) is True
        place = _place_of(arguments) if arguments.get("feed") == self._feed.id else None
        console.subscription = Subscription(self._feed, has_traces=has_traces, place=place)
        return {
            "number": console.caller.number,
            "feed": self._feed.id,
            "place": console.subscription.place,
        }

    def choose(self, console: Attached, arguments: dict[str, Any]) -> dict[str, Any]:
        """Show a console what it wants of the signals.

        `is_filtered`: traces as detection sees them, or as they came from the amplifier. `channel`:
        whose snippets it wants, by index; None or missing: every channel's.
        """
        if console.subscription is None or self._feed is None:
            raise CommandRefusedError("show: subscribe first")
        is_filtered, channel = arguments.get("is_filtered", True), arguments.get("channel")
        n_channels = self._feed.format.n_channels
        if not isinstance(is_filtered, bool):
            raise CommandRefusedError(f"is_filtered: true or false is needed, not {is_filtered!r}")
        if channel is not None and not (type(channel) is int and 0 <= channel < n_channels):
            raise CommandRefusedError(f"channel: must be 0 to {n_channels - 1}, not {channel!r}")
        console.subscription.is_filtered, console.subscription.channel = is_filtered, channel
        return {}

    def count_watchers(self, consoles: Iterable[Attached]) -> None:
        """Tell the feed who looks at what: nobody works for a picture that nobody sees."""
        if self._feed is not None:
            subscriptions = [c.subscription for c in consoles if c.subscription]
            self._feed.want_snippets([s.channel for s in subscriptions])
            self._feed.n_watchers = len(subscriptions)

    @property
    def wait_s(self) -> float:
        """Get how long it is until the next frame is due; 0 if it is."""
        return max(0.0, (self._next_frame_ns - self._clock_ns()) / 1e9)

    def begin_frame(self) -> bytes:
        """Begin the frame that is due; return the status for all, encoded, if that is due too."""
        now_ns = self._clock_ns()
        self._next_frame_ns = max(self._next_frame_ns + FRAME_INTERVAL_NS, now_ns)
        if now_ns < self._next_status_ns:
            return b""
        self._next_status_ns = now_ns + STATUS_INTERVAL_NS
        if self._feed is not None:
            self._feed.refresh()
        return encode_frame(Frame(FrameType.STATUS, msgspec.json.encode(self._status())))

    def send(self, console: Attached) -> None:
        """Send a console what is new, unless it has not read the last."""
        subscription, connection = console.subscription, console.connection
        if connection.n_unsent or subscription is None:
            return
        status, console.status = console.status, b""
        if status:
            connection.write(status)
        self._buffer.clear()
        subscription.fill(self._buffer)
        console.write(self._buffer.filled)


def _place_of(arguments: dict[str, Any]) -> dict[str, int]:
    """Return the positions that a console has got to; what is no position is left out."""
    return {
        ring: at for ring, at in arguments.items() if ring in RINGS and type(at) is int and at >= 0
    }
