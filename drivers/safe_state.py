"""What `make_safe()` achieved, in one of three words and a sentence."""

import enum
from dataclasses import dataclass


class SafeState(enum.Enum):
    """How sure we are that an instrument's outputs are off."""

    CONFIRMED = "confirmed"
    """Read back from the instrument."""
    SENT = "sent"
    """The command left; nothing came back that proves it."""
    BY_CONSTRUCTION = "by construction"
    """Only finite pulses exist on this instrument, and no further one will be sent."""
    FAILED = "failed"
    """Not even sent: the way to the instrument is gone. A person must look."""


@dataclass(frozen=True, slots=True)
class SafeReport:
    """One instrument's answer to `make_safe()`."""

    instrument: str
    state: SafeState
    detail: str
