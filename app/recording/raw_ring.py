"""Blocks on their way to the raw writer: bounded in time, and the last seconds before the start."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.core.inbox import Inbox, InboxOverflowError, Overflow
from drivers.mea.protocol import SampleBlock

MAX_ITEMS = 1_000_000
RING_S = 10.0
HALF_FULL, PRESSED_AT = 0.5, 0.9
LIT_BELOW_S = 0.05
"""The recording light comes on when no more than this waits."""


@dataclass(frozen=True, slots=True)
class Message:
    """A text event at a sample."""

    sample_index: int
    text: str


class RawRing:
    """The hand-over from the acquisition thread, counted in samples.

    Everything but `take` and `written` is called under the writer's door lock. While nobody
    records, the last `n_pretrigger` samples are remembered; `begin` puts them first.
    """

    def __init__(self, name: str, ring_s: float, n_pretrigger: int) -> None:
        self._inbox: Inbox[SampleBlock | Message] = Inbox(name, MAX_ITEMS, Overflow.FAIL)
        self._name = name
        self._ring_s = ring_s
        self._n_pretrigger = n_pretrigger
        self._kept: deque[SampleBlock] = deque()
        self._n_kept = 0
        self._n_put = 0
        self._n_written = 0
        self._is_half_full = False
        self._rate_hz = 1.0
        self.capacity_samples = 0
        """Known once a recording has begun."""

    @property
    def n_waiting(self) -> int:
        """Get the number of samples that wait to be written."""
        return self._n_put - self._n_written

    @property
    def waits_s(self) -> float:
        """Get how many seconds of samples wait."""
        return self.n_waiting / self._rate_hz

    @property
    def fill(self) -> float:
        """Get how full it is, 0 to 1."""
        return self.n_waiting / self.capacity_samples if self.capacity_samples else 0.0

    def keep(self, block: SampleBlock) -> None:
        """Remember a block that nobody records, and forget what is too old."""
        if not self._n_pretrigger:
            return
        self._kept.append(block)
        self._n_kept += len(block.samples)
        while self._n_kept - len(self._kept[0].samples) >= self._n_pretrigger:
            self._n_kept -= len(self._kept.popleft().samples)

    def begin(self, rate_hz: float) -> None:
        """Make room for `ring_s` of samples, and hand over what is remembered."""
        self._rate_hz = rate_hz
        self.capacity_samples = max(1, round(self._ring_s * rate_hz)) + self._n_kept
        kept, self._n_kept = list(self._kept), 0
        self._kept.clear()
        for block in kept:
            self.put(block)

    def put(self, item: SampleBlock | Message) -> None:
        """Hand over without waiting and without waking the writer, who looks often enough.

        Raises
        ------
        InboxOverflowError
            `ring_s` of samples wait already.
        """
        n_samples = len(item.samples) if isinstance(item, SampleBlock) else 0
        if self.n_waiting + n_samples > self.capacity_samples:
            raise InboxOverflowError(
                f"{self._name}: {self.n_waiting} samples wait, "
                f"{self._ring_s:g} s are all it holds; the disk has fallen behind"
            )
        self._inbox.put(item, wakes=False)
        self._n_put += n_samples

    def warning(self) -> str | None:
        """Return a sentence when it has become half full."""
        was_half_full, self._is_half_full = self._is_half_full, self.fill >= HALF_FULL
        if was_half_full or not self._is_half_full:
            return None
        return (
            f"{self._name}: {self.n_waiting} samples wait for the disk, half of what may; at 90 % "
            "pictures stop, then samples are lost"
        )

    def close(self) -> None:
        """Wake the writer for good."""
        self._inbox.close()

    def take(self, timeout_s: float) -> list[SampleBlock | Message]:
        """Return what waits, oldest first; the writer's thread."""
        return self._inbox.take_all(timeout_s)

    def written(self, n_samples: int) -> None:
        """Note that so many of the samples taken are dealt with; the writer's thread."""
        self._n_written += n_samples


def runs(items: Sequence[SampleBlock | Message]) -> Iterator[list[SampleBlock] | Message]:
    """Yield blocks that follow each other together: one write, whatever the blocks' length."""
    run: list[SampleBlock] = []
    for item in items:
        is_next = isinstance(item, SampleBlock) and (not run or _follows(item, run[-1]))
        if run and not is_next:
            yield run
            run = []
        if isinstance(item, SampleBlock):
            run.append(item)
        else:
            yield item
    if run:
        yield run


def _follows(block: SampleBlock, last: SampleBlock) -> bool:
    return (
        not block.n_lost
        and block.first_sample == last.end_sample
        and block.samples.shape[1:] == last.samples.shape[1:]
        and block.samples.dtype == last.samples.dtype
    )
