"""What a Gate calls, and the flag by which its permits learn that their arming has ended."""

from collections.abc import Callable

from app.safety.audit import AuditRow
from app.safety.dose import Dose

OnAudit = Callable[[AuditRow], None]
"""Called under the Gate's lock, before the verdict is returned; hands over and returns at once."""
OnInput = Callable[[str, dict[str, object], int], None]
"""Called under the lock with kind, body and time of each input, before it is decided upon."""
OnDose = Callable[[int, int, tuple[Dose, ...]], None]
"""Called under the lock, before `OnAudit`, with number and time of a permit and what it gives."""
OnTrip = Callable[[str], None]
"""Called under the lock with the reason when the Gate trips; hands over and returns at once."""


class StopLatch:
    """One arming's end, as the permits of that arming see it. Never undone."""

    __slots__ = ("is_stopped",)

    def __init__(self) -> None:
        self.is_stopped = False

    def read(self) -> bool:
        """Say whether the arming has ended; a plain attribute read, without a lock."""
        return self.is_stopped
