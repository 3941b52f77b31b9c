"""Recorded sessions. `open(path)` gives one: spikes, events and samples as NumPy arrays."""

from app.recording.reader import open_session as open  # noqa: A004 - recording.open(path)

__all__ = ["open"]
