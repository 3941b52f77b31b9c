"""The two doors through which everything that is recorded reaches a disk, held together."""

from dataclasses import dataclass, field

from app.recording.event_store import Connect, connect
from app.recording.files import DiskFiles, Files


@dataclass(frozen=True, slots=True)
class Disk:
    """What an engine records through; without arguments the operating system and SQLite.

    The one place where a test puts a disk that fails or stands still under a whole engine.
    """

    files: Files = field(default_factory=DiskFiles)
    open_database: Connect = connect
