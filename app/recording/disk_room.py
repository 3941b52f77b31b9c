"""How long a recording may still go on: time left, not bytes; and when to warn."""

from pathlib import Path

from app.recording.errors import RecordingError
from app.recording.files import Files

WARN_AT_S = (1800.0, 600.0)


class DiskRoom:
    """Measures the room on a recording's disk. `seconds_left` may be read by any thread."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._warned_at_s = float("inf")
        self.seconds_left: float | None = None
        """None: not known."""

    def measure(self, bytes_per_s: float) -> float:
        """Return the seconds left at this rate. Raises OSError as the operating system does."""
        self.seconds_left = None
        left_s = self._files.free_bytes(self._folder) / bytes_per_s
        self.seconds_left = left_s
        return left_s

    def must_hold(self, planned_s: float, bytes_per_s: float, who: str) -> None:
        """Raise `RecordingError` unless there is room for `planned_s` and 10 % more."""
        try:
            left_s = self.measure(bytes_per_s)
        except OSError as exc:
            raise RecordingError(f"{who}: {self._folder}: {exc}") from exc
        if not left_s > 1.1 * planned_s:
            raise RecordingError(
                f"{who}: the disk of {self._folder} has room for {left_s:.0f} s, "
                f"{planned_s:.0f} s and 10 % more are planned; make room"
            )

    def begin(self) -> None:
        """Forget what was warned of: a new recording begins."""
        self._warned_at_s = float("inf")

    def warning(self) -> str | None:
        """Return a sentence when less than 30, then less than 10 minutes are left; once each."""
        left_s = self.seconds_left
        reached = [] if left_s is None else [limit for limit in WARN_AT_S if left_s < limit]
        if left_s is None or not reached or min(reached) >= self._warned_at_s:
            return None
        self._warned_at_s = min(reached)
        return f"{self._folder}: room for {left_s / 60:.0f} min of raw data left; make room"
