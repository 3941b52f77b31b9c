"""The helper thread that waits for the disk, so that no writer has to."""

from collections.abc import Callable

from app.core.worker import OnFailure, Worker


class PeriodicSync(Worker):
    """Calls `sync` every `period_s`, from its own thread; a slow disk stalls only this one."""

    def __init__(
        self, name: str, sync: Callable[[], None], period_s: float, on_failure: OnFailure
    ) -> None:
        super().__init__(name, on_failure)
        self._sync = sync
        self._period_s = period_s

    def step(self) -> None:
        """Wait one period, or for the end, then sync."""
        if not self.stop_requested.wait(self._period_s):
            self._sync()
