"""What the raw writer says about itself."""

import enum
from dataclasses import dataclass
from pathlib import Path


class RawState(enum.Enum):
    """What the raw writer is doing."""

    IDLE = "idle"
    STARTING = "starting"
    """Asked to record; the first block is not yet on the disk, or not yet read back."""
    RECORDING = "recording"
    FAILED = "failed"
    """The last recording ended by a fault; it may be started again."""


@dataclass(frozen=True, slots=True)
class RawStatus:
    """What the raw writer has really done."""

    state: RawState
    failure: str
    """Why the last recording failed; empty while all is well."""
    folder: Path | None
    """Of the recordingN being written, or of the last one."""
    n_samples: int
    """Whole frames in its `continuous.dat`."""
    n_bytes: int
    """Length of its `continuous.dat` as the operating system knows it."""
    n_recordings: int
    """Folders since the writer was made."""
    n_waiting: int
    """Samples on their way to the disk."""
    fill: float
    """How full the ring before the writer is, 0 to 1."""
    n_samples_lost: int
    """Offered while recording, but not written."""
    seconds_left: float | None
    """Until the disk is full at the stream's rate; None if not known."""

    @property
    def is_recording(self) -> bool:
        """Say whether samples are on the disk and were read back."""
        return self.state is RawState.RECORDING
