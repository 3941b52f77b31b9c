"""How far a long job has come, on one line of a terminal; silent anywhere else."""

import sys
import time
from types import TracebackType
from typing import Self

INTERVAL_S = 0.25


class Progress:
    """Counts bytes, rows or samples; of a total, if that is known."""

    def __init__(self, title: str, total: int | None = None) -> None:
        self._title = title
        self._total = total
        self._n_done = 0
        self._next_s = 0.0
        self._is_shown = sys.stderr.isatty()
        self._has_line = False

    def advance(self, n: int) -> None:
        """Note that `n` more are done."""
        self._n_done += n
        now_s = time.monotonic()
        if not self._is_shown or now_s < self._next_s:
            return
        self._next_s = now_s + INTERVAL_S
        self._has_line = True
        done = f"{self._n_done / 1e6:.1f} M"
        if self._total:
            done = f"{self._n_done / self._total:.0%}"
        print(f"\r{self._title}: {done}  ", end="", file=sys.stderr, flush=True)  # noqa: T201

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._has_line:
            print(file=sys.stderr)  # noqa: T201
