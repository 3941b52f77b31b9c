"""The INSERT statements of the event log, for any number of rows in a few of them."""

from typing import Final, NamedTuple

from app.recording.rows import SPIKE_FIELDS, SpikeRow
from app.recording.schema import INSERTS, TABLES

ROWS_PER_STATEMENT: Final = (64, 32, 16, 8, 4, 2, 1)
"""One for 64 spikes takes 0.8 us a row, `executemany` 1.5 us (measured), and each end of one is a
moment at which the caller gives up the interpreter and waits for it again."""

ROWS: Final[dict[tuple[type[NamedTuple], int], str]] = {
    (row_type, n): insert + f", ({', '.join('?' * len(row_type._fields))})" * (n - 1)
    for row_type, insert in INSERTS.items()
    for n in ROWS_PER_STATEMENT
}
"""By table and number of rows; the values stand row after row."""

_SHARED: Final = ("site", "stream", "origin_seq")


def _spike_batch(n: int) -> str:
    n_shared, n_own = len(_SHARED), len(SPIKE_FIELDS)
    shared = [f"?{place + 1}" for place in range(n_shared)]
    rows = (
        ", ".join([*shared, *(f"?{n_shared + row * n_own + place + 1}" for place in range(n_own))])
        for row in range(n)
    )
    columns = ", ".join((*_SHARED, *SPIKE_FIELDS))
    return f"INSERT INTO {TABLES[SpikeRow]} ({columns}) VALUES ({'), ('.join(rows)})"


SPIKE_BATCH: Final[dict[int, str]] = {n: _spike_batch(n) for n in ROWS_PER_STATEMENT}
"""By number of rows, for spikes of one batch: site, stream and origin_seq once, then the fields of
each record. Seven values a row, made by columns, take a sixth less time than ten (measured)."""
