"""Event time of one synapse: its pre and post events in order of firing time, once complete.

Two streams come from different sites with different delays. Events wait here until both streams
are complete beyond them, and leave in order of time, so a rule sees the same sequence whatever the
network did. Waiting is bounded: what waits too long is given up as a declared hole.
"""

import enum
import heapq
from collections.abc import Iterator
from dataclasses import dataclass


class Role(enum.IntEnum):
    """The side of the synapse. At equal times pre comes first: the count's window is closed."""

    PRE = 0
    POST = 1


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch of event time in which events are missing or were given up."""

    from_ns: int
    to_ns: int
    reason: str


class Timeline:
    """Merges the two streams of one synapse. Times are on the clock of the synapse's site."""

    def __init__(self, max_wait_ns: int, max_waiting: int) -> None:
        self._max_wait_ns = max_wait_ns
        self._max_waiting = max_waiting
        self._waiting: list[tuple[int, Role]] = []
        self._complete_ns: list[int | None] = [None, None]
        self._released_ns: int | None = None
        self._waiting_since_ns: int | None = None
        self.continuous_since_ns: int | None = None
        """From here on no event is missing; None while a stream has not spoken yet."""
        self.n_late = 0
        """Events that came after their time had been passed: recorded, not used."""

    @property
    def n_waiting(self) -> int:
        """Get the number of events that wait for completeness."""
        return len(self._waiting)

    @property
    def complete_until_ns(self) -> int | None:
        """Get the time up to which both streams are complete; None before both have spoken."""
        pre, post = self._complete_ns
        return None if pre is None or post is None else min(pre, post)

    def add(self, role: Role, time_ns: int, now_ns: int) -> None:
        """Take one event of one side."""
        complete_ns = self._complete_ns[role]
        is_late = complete_ns is not None and time_ns < complete_ns
        if is_late or (self._released_ns is not None and time_ns < self._released_ns):
            self.n_late += 1
            return
        if not self._waiting:
            self._waiting_since_ns = now_ns
        heapq.heappush(self._waiting, (time_ns, role))

    def advance(self, role: Role, complete_until_ns: int) -> None:
        """Note that no event of this side before `complete_until_ns` will follow."""
        old_ns = self._complete_ns[role]
        self._complete_ns[role] = (
            complete_until_ns if old_ns is None else max(old_ns, complete_until_ns)
        )
        if old_ns is None and self.complete_until_ns is not None:
            self.continuous_since_ns = max(t for t in self._complete_ns if t is not None)

    def take_ready(self, now_ns: int) -> Iterator[tuple[int, Role]]:
        """Yield the events that both streams have passed, in order of (time, role)."""
        until_ns = self.complete_until_ns
        if until_ns is None:
            return
        while self._waiting and self._waiting[0][0] < until_ns:
            event = heapq.heappop(self._waiting)
            self._released_ns = event[0]
            self._waiting_since_ns = now_ns if self._waiting else None
            yield event

    def overdue(self, now_ns: int) -> Hole | None:
        """Give up what has waited too long or is too much; return the hole, or None."""
        if not self._waiting or self._waiting_since_ns is None:
            return None
        waited_ns = now_ns - self._waiting_since_ns
        if len(self._waiting) > self._max_waiting:
            reason = f"more than {self._max_waiting} events waited for the other stream"
        elif waited_ns > self._max_wait_ns:
            reason = f"the other stream was silent for {waited_ns / 1e9:.1f} s"
        else:
            return None
        return self.give_up(reason)

    def restart(self, role: Role, reason: str) -> Hole:
        """Declare that a side's stream lost events or began anew.

        Its completeness counts again from its next batch; the side's old promises are void.
        """
        hole = self.give_up(reason)
        self._complete_ns[role] = None
        self.continuous_since_ns = None
        return hole

    def give_up(self, reason: str) -> Hole:
        """Drop what waits and declare a hole up to the newest time known."""
        known = [t for t, _ in self._waiting]
        known += [t for t in self._complete_ns if t is not None]
        to_ns = max(known, default=0)
        from_ns = min(known, default=0)
        self._waiting.clear()
        self._waiting_since_ns = None
        self._released_ns = max(to_ns, self._released_ns or to_ns)
        self.continuous_since_ns = to_ns
        return Hole(from_ns, to_ns, reason)
