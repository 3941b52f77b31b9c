"""What the event log has inserted and not yet committed, and who wants to hear of it."""

from collections.abc import Callable, Collection

import msgspec

from app.recording.commit_ticket import CommitTicket
from app.recording.latency import RecentDurations
from app.recording.rows import Entry, n_rows_of

OnCommitted = Callable[[int], None]
"""Told after a commit the newest number that was given with it, by the thread that committed; once
a commit however many items it has. Must not raise."""


class LogItem(msgspec.Struct, frozen=True, eq=False):
    """Entries that are committed together or not at all."""

    entries: tuple[Entry, ...]
    on_committed: OnCommitted | None
    number: int
    """What `on_committed` is told of this item."""
    ticket: CommitTicket | None
    given_ns: int
    """0 without a ticket."""

    @property
    def n_rows(self) -> int:
        """Get how many rows it makes."""
        return sum(map(n_rows_of, self.entries))


class Uncommitted:
    """The open transaction's items, without their content, which the store keeps."""

    def __init__(self) -> None:
        self.n_items = 0
        self.n_rows = 0
        self.durable = RecentDurations()
        """From being given to the commit, of items with a ticket."""
        self._tickets: list[tuple[CommitTicket, int]] = []
        self._reached: dict[OnCommitted, int] = {}

    def add(self, items: Collection[LogItem], n_rows: int) -> None:
        """Note what has been inserted; how many rows it made the store has counted anyway."""
        self.n_items += len(items)
        self.n_rows += n_rows
        for item in items:
            if item.ticket is not None:
                self._tickets.append((item.ticket, item.given_ns))
            if item.on_committed is not None:
                self._reached[item.on_committed] = item.number

    def end(self, now_ns: int, *, is_committed: bool) -> None:
        """Tell everybody what became of it, and begin anew."""
        for ticket, given_ns in self._tickets:
            if is_committed:
                self.durable.add(now_ns - given_ns)
            ticket.settle(is_committed=is_committed)
        if is_committed:
            for on_committed, number in self._reached.items():
                on_committed(number)
        self.n_items = 0
        self.n_rows = 0
        self._tickets.clear()
        self._reached.clear()
