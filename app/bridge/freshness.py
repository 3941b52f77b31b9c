"""How old what came can be at most, without trusting any clock but our own.

Each side sends nonces and keeps when. Whatever echoes one was made after it had left us, so it is
younger than the nonce. Wrong clocks, stepped clocks and a network that delays cannot shorten that.
"""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from app.core.spikes import SpikeRecords

_LONGEST_US = np.uint64(2**32 - 1)


class Freshness:
    """Our nonces and when they left; the peer's newest and when it came. Times are ours, in ns."""

    def __init__(self, new_nonce: Callable[[], int], n_kept: int) -> None:
        self._new_nonce = new_nonce
        self._n_kept = n_kept
        self._sent: OrderedDict[int, int] = OrderedDict()
        self.peer_nonce = 0
        """To be echoed; 0 before the first."""
        self.peer_nonce_received_ns = 0

    def issue(self, now_ns: int) -> int:
        """Return a fresh nonce that leaves now."""
        nonce = self._new_nonce()
        self._sent[nonce] = now_ns
        while len(self._sent) > self._n_kept:
            self._sent.popitem(last=False)
        return nonce

    def sent_ns(self, echo: int) -> int | None:
        """Return when a nonce of ours left; None if it is none, or forgotten."""
        return self._sent.get(echo)

    def age_bound(self, echo: int, now_ns: int) -> int | None:
        """Return the upper bound of the age of what echoes a nonce; None: not known."""
        sent_ns = self._sent.get(echo)
        return None if sent_ns is None else now_ns - sent_ns

    def heard(self, nonce: int, now_ns: int) -> None:
        """Take the peer's newest nonce."""
        self.peer_nonce, self.peer_nonce_received_ns = nonce, now_ns

    def forget_peer(self) -> None:
        """Begin anew with the next connection: until the peer's first nonce nothing is fresh."""
        self.peer_nonce = 0

    def aged(self, records: SpikeRecords, made_ns: int, now_ns: int) -> SpikeRecords:
        """Return events with what they waited in this engine added, unless the echo covers it.

        The echo bounds the age of whatever was made after its nonce had come.
        """
        if made_ns >= self.peer_nonce_received_ns or made_ns >= now_ns or not len(records):
            return records
        aged = records.copy()
        bound_us = aged["age_bound_us"].astype(np.uint64)
        bound_us += np.uint64(-((made_ns - now_ns) // 1000))
        aged["age_bound_us"] = np.minimum(bound_us, _LONGEST_US)
        return aged
