"""How much happened lately, in a window that slides."""

from collections import deque


class SlidingSum:
    """Sums amounts over the last `window_ns`, half open: one exactly a window ago is outside.

    Amounts are whole numbers, so that what was added is taken away again exactly. With `bucket_ns`
    above 1 they share buckets, to bound the memory of long windows; a bucket counts until its last
    nanosecond has left the window, so the sum errs high, never low. Times must not decrease.
    """

    def __init__(self, window_ns: int, bucket_ns: int = 1) -> None:
        self._window_ns = window_ns
        self._bucket_ns = bucket_ns
        self._buckets: deque[tuple[int, int]] = deque()
        self._total = 0

    def total(self, now_ns: int) -> int:
        """Return the sum over the window that ends now."""
        while self._buckets and self._buckets[0][0] <= now_ns - self._window_ns:
            self._total -= self._buckets.popleft()[1]
        return self._total

    def add(self, now_ns: int, amount: int = 1) -> None:
        """Add an amount, without one a single event."""
        last_ns = now_ns - now_ns % self._bucket_ns + self._bucket_ns - 1
        here = amount
        if self._buckets and self._buckets[-1][0] == last_ns:
            here += self._buckets.pop()[1]
        self._buckets.append((last_ns, here))
        self._total += amount


SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


def last_second() -> SlidingSum:
    """Return an exact sum over one second."""
    return SlidingSum(SECOND_NS)


def last_hour() -> SlidingSum:
    """Return a sum over one hour, in buckets of one second."""
    return SlidingSum(HOUR_NS, SECOND_NS)


def last_day() -> SlidingSum:
    """Return a sum over one day, in buckets of one minute."""
    return SlidingSum(DAY_NS, MINUTE_NS)
