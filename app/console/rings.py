"""Fixed rings between engine threads and the console thread: the writer never waits or allocates.

A position counts everything ever written. A reader keeps its own position; when the writer has
lapped it, the oldest is what it lost, and it is told how much.
"""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt


class RecordRing:
    """The newest rows of one array type. Any thread writes, any number of readers read.

    `rows` has the shape of one row and dtype; `capacity` rows are kept. A read returns a copy.
    """

    def __init__(self, capacity: int, dtype: npt.DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self._rows = np.empty((capacity, *shape), dtype)
        self._bytes = self._rows.view(np.uint8).reshape(-1).data
        self.row_bytes = self._rows[:1].nbytes
        self._lock = threading.Lock()
        self._end = 0

    @property
    def end(self) -> int:
        """Get the position after the newest row."""
        return self._end

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Add rows in place of the oldest."""
        with self._lock:
            capacity = len(self._rows)
            rows = rows[-capacity:]
            start = self._end % capacity
            n_first = min(len(rows), capacity - start)
            self._rows[start : start + n_first] = rows[:n_first]
            self._rows[: len(rows) - n_first] = rows[n_first:]
            self._end += len(rows)

    def read(self, position: int, n_max: int) -> tuple[npt.NDArray[Any], int, int]:
        """Return (rows, position after them, rows lost before them), at most `n_max` rows."""
        with self._lock:
            capacity = len(self._rows)
            start = max(position, self._end - capacity)
            n = min(self._end - start, n_max)
            index = start % capacity
            n_first = min(n, capacity - index)
            rows = np.empty((n, *self._rows.shape[1:]), self._rows.dtype)
            rows[:n_first] = self._rows[index : index + n_first]
            rows[n_first:] = self._rows[: n - n_first]
            return rows, start + n, start - position

    def read_into(self, place: memoryview, position: int, n_max: int) -> tuple[int, int, int]:
        """Copy rows into a place; return (bytes copied, position after them, rows lost before)."""
        with self._lock:
            capacity, size = len(self._rows), self.row_bytes
            start = max(position, self._end - capacity)
            n = min(self._end - start, n_max)
            index = start % capacity
            n_first = min(n, capacity - index) * size
            n_bytes = n * size
            place[:n_first] = self._bytes[index * size : index * size + n_first]
            place[n_first:n_bytes] = self._bytes[: n_bytes - n_first]
            return n_bytes, start + n, start - position
