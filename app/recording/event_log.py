"""The always-on record of everything but samples: group commit, by its thread or by who waits."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from app.core.clock import ClockNs, monotonic_ns
from app.core.inbox import InboxOverflowError
from app.core.worker import OnFailure, Worker
from app.recording.commit_ticket import CommitTicket
from app.recording.errors import RecordingError
from app.recording.event_store import Connect, EventStore, checkpoint, connect, wal_of
from app.recording.files import DiskFiles, Files
from app.recording.latency import RecentDurations
from app.recording.periodic_sync import PeriodicSync
from app.recording.rows import Entry
from app.recording.uncommitted import LogItem, OnCommitted, Uncommitted

log = logging.getLogger(__name__)

COMMIT_INTERVAL_NS = 100_000_000
GATHER_S = 0.02
"""Items that nobody waits for are gathered this long before they are inserted."""
INSERT_ITEMS = 32
"""Inserted in one turn. All of a busy 20 ms at once would keep the interpreter, and whoever waits
for the turn, for milliseconds, in which spikes come."""
COMMIT_ITEMS = 256
"""Committed at the latest when so many are inserted: forgetting them also takes its time."""
PAUSE_S = 0.0002
"""Between two turns while more waits: a thread that waits for the interpreter needs to be given it,
for it wakes too late to catch the moments in which SQLite does without."""
CHECKPOINT_AT_BYTES = 16 * 2**20
"""Emptying the write-ahead log makes one commit wait for the disk, so it happens by size."""
SYNC_JOIN_S = 10.0


@dataclass(frozen=True, slots=True)
class EventLogStatus:
    """What the event log has done so far."""

    is_writable: bool
    failure: str
    """Empty while all is well."""
    n_rows: int
    """Committed."""
    n_rows_lost: int
    n_waiting: int
    """Items in the inbox."""
    capacity: int
    last_commit_ns: int | None
    commit_p99_s: float
    """Of the last 1024 commits; nan before the first."""
    durable_p99_s: float
    """From `append_durably` to the commit, of the last 1024; nan before the first."""


class EventLog(Worker):
    """Writes `events.sqlite`. Any thread may append and ask for the status.

    Items are inserted in the order in which they came, and committed: by the log's thread after
    100 ms or `COMMIT_ITEMS`, or by whoever waits for a ticket, at once and on his own thread, which
    saves a spike on its way to its stimulus two changes of threads. Whoever uses the store holds
    `_turn`. All rows of one item are in one transaction. A second thread syncs the write-ahead log
    every second: a dead process loses nothing committed, a power cut at most that second. After
    the first failure (`is_writable` is False for good) nothing is acknowledged any more; what can
    still be written is. Rows that cannot be are counted.

    While this process runs, nothing in it may open and close the database file by other means than
    SQLite: closing any descriptor of a file drops all its POSIX locks (sqlite.org, "How To
    Corrupt"). Other programs may read it.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_failure: OnFailure,
        release_reserve: Callable[[], bool] = lambda: False,
        on_room_ran_out: Callable[[str], None] = log.error,
        is_strict: bool = False,
        capacity: int = 65536,
        files: Files | None = None,
        open_database: Connect = connect,
        sync_period_s: float = 1.0,
        checkpoint_at_bytes: int = CHECKPOINT_AT_BYTES,
        clock_ns: ClockNs = monotonic_ns,
    ) -> None:
        super().__init__("event log", self._fail)
        self.path = path
        self._tell_failure = on_failure
        self._release_reserve = release_reserve
        self._on_room_ran_out = on_room_ran_out
        self._is_strict = is_strict
        self._files = files or DiskFiles()
        self._open_database = open_database
        self._checkpoint_at_bytes = checkpoint_at_bytes
        self._clock_ns = clock_ns
        self._capacity = capacity
        self._waiting: deque[LogItem] = deque()
        """No inbox: every spike goes this way, nobody is woken, and whoever has the turn takes."""
        self._door = threading.Lock()
        self._turn = threading.Lock()
        self._is_closed = False
        self._failure: BaseException | None = None
        self._store: EventStore | None = None
        self._sync = PeriodicSync("event log sync", self._sync_wal, sync_period_s, self._fail)
        self._is_whole = False
        """The store is open and no step was left by an exception."""
        self._wants_checkpoint = threading.Event()
        self._uncommitted = Uncommitted()
        self._commit_due_ns = 0
        self._is_behind = False
        self._n_rows = 0
        self._n_rows_lost = 0
        self._last_commit_ns: int | None = None
        self._commits = RecentDurations()

    # --- any thread ---------------------------------------------------------------------------

    def append(
        self, entry: Entry, on_committed: OnCommitted | None = None, number: int = 0
    ) -> None:
        """Hand over a row, or a batch of them, without waiting and without raising."""
        self._give(LogItem((entry,), on_committed, number, None, 0))

    def append_many(
        self, entries: Sequence[Entry], on_committed: OnCommitted | None = None, number: int = 0
    ) -> None:
        """Hand over rows that are committed together or not at all, of any tables."""
        self._give(LogItem(tuple(entries), on_committed, number, None, 0))

    def append_durably(self, *entries: Entry) -> CommitTicket:
        """Hand over rows that are committed as soon as somebody waits for the ticket."""
        ticket = CommitTicket(self._commit_now)
        self._give(LogItem(entries, None, 0, ticket, self._clock_ns()))
        return ticket

    @property
    def is_writable(self) -> bool:
        """Say whether the log is open and has never failed."""
        return self._store is not None and self._failure is None and not self._is_closed

    @property
    def is_writing(self) -> bool:
        """Say whether somebody is at the database now, perhaps waiting for the disk."""
        return self._turn.locked()

    def status(self) -> EventLogStatus:
        """Return a snapshot."""
        return EventLogStatus(
            is_writable=self.is_writable,
            failure="" if self._failure is None else str(self._failure),
            n_rows=self._n_rows,
            n_rows_lost=self._n_rows_lost,
            n_waiting=len(self._waiting),
            capacity=self._capacity,
            last_commit_ns=self._last_commit_ns,
            commit_p99_s=self._commits.p99_s(),
            durable_p99_s=self._uncommitted.durable.p99_s(),
        )

    def _give(self, item: LogItem) -> None:
        with self._door:
            is_full = len(self._waiting) >= self._capacity
            if self._is_closed or is_full:
                self._lose(item)
            else:
                self._waiting.append(item)
                return
        # Raising would end the giver, who has more to do than to be recorded.
        if is_full and self._failure is None:
            self._fail(
                self.name,
                InboxOverflowError(
                    f"{self.name}: full with {self._capacity} items, it has fallen behind"
                ),
            )

    def _lose(self, item: LogItem) -> None:
        self._n_rows_lost += item.n_rows
        if item.ticket is not None:
            item.ticket.settle(is_committed=False)

    def _fail(self, name: str, exc: BaseException) -> None:
        if self._failure is None:
            self._failure = exc
        self._tell_failure(name, exc)

    # --- whoever waits --------------------------------------------------------------------------

    def _commit_now(self, ticket: CommitTicket, timeout_s: float) -> None:
        """Commit everything up to a ticket, on the caller's thread; a failure is the log's own."""
        if not self._turn.acquire(timeout=max(timeout_s, 0.0)):
            return
        try:
            can_write = self._store is not None and not self._is_closed
            if can_write and not ticket.is_settled and not self.has_foreign_failure:
                self._write(self._taken(len(self._waiting)), commits_now=True)
        except Exception as exc:  # noqa: BLE001 - told by the log's thread
            self.fail_with(exc)
        finally:
            self._turn.release()

    # --- the log's thread ---------------------------------------------------------------------

    def prepare(self) -> None:
        """Create the database and start syncing it."""
        self._store = EventStore(
            self.path,
            is_strict=self._is_strict,
            release_reserve=self._take_reserve,
            open_database=self._open_database,
        )
        self._is_whole = True
        self._sync.start()

    def step(self) -> None:
        """Insert some of what has come; commit what is due."""
        self.stop_requested.wait(self._patience_s())
        with self._turn:
            if self.has_foreign_failure:
                return
            wants_checkpoint = self._wants_checkpoint.is_set()
            items = self._taken(INSERT_ITEMS)
            self._is_behind = len(items) == INSERT_ITEMS
            self._write(items, commits_now=wants_checkpoint)
            if wants_checkpoint and self._store is not None:
                self._wants_checkpoint.clear()
                self._store.checkpoint()

    def finish(self) -> None:
        """Close the door, write and commit what still waits, checkpoint, close."""
        with self._door:
            self._is_closed = True
        with self._turn:
            self._finish()

    def _finish(self) -> None:
        left = self._taken(len(self._waiting))
        try:
            if self._is_whole:
                self._insert(left)
                left = []
                self._commit()
        finally:
            with self._door:
                self._n_rows_lost += self._uncommitted.n_rows
                for item in left:
                    self._lose(item)
            self._uncommitted.end(self._clock_ns(), is_committed=False)
            self._close()

    def _write(self, items: list[LogItem], *, commits_now: bool) -> None:
        """Insert what has come; commit what is due, or all of it now. The turn is held."""
        self._is_whole = False
        self._insert(items)
        is_due = (
            self._uncommitted.n_items >= COMMIT_ITEMS or self._clock_ns() >= self._commit_due_ns
        )
        if commits_now or is_due:
            self._commit()
        self._is_whole = True

    def _taken(self, n: int) -> list[LogItem]:
        """Return the oldest `n` items, or as many as there are. The turn is held."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(n, len(waiting)))]

    def _patience_s(self) -> float:
        if self._is_behind:
            return PAUSE_S
        if not self._uncommitted.n_items:
            return GATHER_S
        return min(GATHER_S, max(0, self._commit_due_ns - self._clock_ns()) / 1e9)

    def _insert(self, items: list[LogItem]) -> None:
        if not items or self._store is None:
            return
        if not self._uncommitted.n_items:
            self._commit_due_ns = self._clock_ns() + COMMIT_INTERVAL_NS
        try:
            n_rows = self._store.insert([entry for item in items for entry in item.entries])
        except Exception:
            self._uncommitted.add(items, sum(item.n_rows for item in items))  # to be counted lost
            raise
        self._uncommitted.add(items, n_rows)

    def _commit(self) -> None:
        if not self._uncommitted.n_items or self._store is None:
            return
        began_ns = self._clock_ns()
        self._store.commit()
        now_ns = self._clock_ns()
        self._commits.add(now_ns - began_ns)
        self._last_commit_ns = now_ns
        self._n_rows += self._uncommitted.n_rows
        # After a failure nothing is acknowledged, also not what could still be written.
        self._uncommitted.end(now_ns, is_committed=self._failure is None)

    def _take_reserve(self) -> bool:
        was_there = self._release_reserve()
        if was_there:
            # No failure: the rows that did not fit are now written.
            self._on_room_ran_out(f"{self.path}: disk full; the reserve is used, make room now")
        return was_there

    def _close(self) -> None:
        self._sync.request_stop()
        if not self._sync.join(SYNC_JOIN_S):
            log.error("%s: still waiting for the disk after %g s", self._sync.name, SYNC_JOIN_S)
        if self._store is not None:
            self._store.close()

    # --- the sync thread ----------------------------------------------------------------------

    def _sync_wal(self) -> None:
        try:
            with closing(self._files.open(wal_of(self.path))) as wal:
                wal.sync_data()
                n_bytes = wal.size()
        except OSError as exc:
            raise RecordingError(
                f"{wal_of(self.path)}: not safe on the disk: {exc}; its last second may be lost at "
                "a power cut, check the disk"
            ) from exc
        if n_bytes >= self._checkpoint_at_bytes:
            checkpoint(self.path, self._open_database)
            self._wants_checkpoint.set()
