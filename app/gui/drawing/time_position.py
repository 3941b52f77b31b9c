"""Where in time a view stands."""


class TimePosition:
    """What is at the right edge: the newest while live, a fixed time while paused.

    Times are whole numbers of any unit: columns for traces, nanoseconds for the raster.
    """

    def __init__(self) -> None:
        self._end: int | None = None

    @property
    def is_live(self) -> bool:
        """Say whether the view follows what arrives."""
        return self._end is None

    def end(self, newest: int) -> int:
        """Return the time at the right edge."""
        return newest if self._end is None else min(self._end, newest)

    def pause(self, newest: int) -> None:
        """Stay where the view is."""
        self._end = self.end(newest)

    def resume(self) -> None:
        """Follow the newest again."""
        self._end = None

    def move(self, step: int, oldest: int, newest: int, n_window: int) -> None:
        """Go later (positive) or earlier, pausing; the newest edge does not make it live."""
        earliest = min(oldest + n_window, newest)
        self._end = min(max(self.end(newest) + step, earliest), newest)
