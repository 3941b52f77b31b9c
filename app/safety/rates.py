"""How much happened lately, in a window that slides."""

from collections import deque


class SlidingCount:
    """Counts events in the last `window_ns`, half open: one exactly a window ago is outside.

    With `bucket_ns` above 1 events share buckets, to bound the memory of long windows; a bucket
    counts until its last nanosecond has left the window, so the count errs high, never low.
    Times must not decrease.
    """

    def __init__(self, window_ns: int, bucket_ns: int = 1) -> None:
        self._window_ns = window_ns
        self._bucket_ns = bucket_ns
        self._buckets: deque[tuple[int, int]] = deque()
        self._n = 0

    def count(self, now_ns: int) -> int:
        """Return how many events the window that ends now holds."""
        while self._buckets and self._buckets[0][0] <= now_ns - self._window_ns:
            self._n -= self._buckets.popleft()[1]
        return self._n

    def add(self, now_ns: int) -> None:
        """Count one event."""
        last_ns = now_ns - now_ns % self._bucket_ns + self._bucket_ns - 1
        n_here = 1
        if self._buckets and self._buckets[-1][0] == last_ns:
            n_here += self._buckets.pop()[1]
        self._buckets.append((last_ns, n_here))
        self._n += 1


SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS


def last_second() -> SlidingCount:
    """Return an exact count over one second."""
    return SlidingCount(SECOND_NS)


def last_hour() -> SlidingCount:
    """Return a count over one hour, in buckets of one second."""
    return SlidingCount(HOUR_NS, SECOND_NS)
