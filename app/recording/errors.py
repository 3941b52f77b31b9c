"""What can go wrong with a recording."""


class RecordingError(Exception):
    """Something could not be recorded or read back; the message names the file and the reason."""
