"""A session folder of SpikeBridge as one recording: its raw recordings in order, gaps as gaps.

One `recordingN` holds samples without a gap, so a session whose stream had gaps has several.
"""

import bisect
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentProtocolError
from drivers.mea.playback.open_ephys_files import DESCRIPTION, open_open_ephys
from drivers.mea.playback.recording import Recording, SampleRows


def is_session(path: Path) -> bool:
    """Say whether a folder is a session."""
    return (path / "session.json").is_file()


def open_session_recording(session: Path) -> Recording:
    """Join all raw recordings of a session's first record node.

    Raises
    ------
    InstrumentError
        One of them cannot be read.
    InstrumentProtocolError
        There are none; they are of different formats, or a crash left one torn: recover the session
        first.
    """
    parts = [open_open_ephys(description.parent) for description in _descriptions(session)]
    if not parts:
        raise InstrumentProtocolError(f"{session}: a session without raw samples")
    if len({part.stream_format for part in parts}) != 1:
        raise InstrumentProtocolError(
            f"{session}: its raw recordings have different channels or rates; name one recordingN"
        )
    ends = np.cumsum([len(part.samples) for part in parts]).tolist()
    starts: list[int] = []
    numbers: list[int] = []
    for part, end in zip(parts, ends, strict=True):
        before = end - len(part.samples)
        starts += [before + start for start in part.starts]
        numbers += part.numbers
    rows = _JoinedRows([part.samples for part in parts], ends)
    others = sorted(node.name for node in session.glob("Record Node *"))[1:]
    return Recording(
        parts[0].stream_format, rows, tuple(starts), tuple(numbers), not_read=tuple(others)
    )


class _JoinedRows:
    """The rows of several recordings, one after the other."""

    def __init__(self, parts: Sequence[SampleRows], ends: Sequence[int]) -> None:
        self._parts = parts
        self._ends = ends

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, rows: slice, /) -> npt.NDArray[np.int16]:
        start, stop, _ = rows.indices(len(self))
        pieces: list[npt.NDArray[np.int16]] = []
        for index in range(bisect.bisect_right(self._ends, start), len(self._ends)):
            before = self._ends[index] - len(self._parts[index])
            if before >= stop and pieces:
                break
            pieces.append(self._parts[index][max(0, start - before) : max(0, stop - before)])
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else self._parts[-1][0:0]


def _descriptions(session: Path) -> list[Path]:
    nodes = sorted(session.glob("Record Node *"))
    found = nodes[0].glob(f"experiment*/recording*/{DESCRIPTION}") if nodes else ()
    return sorted(found, key=lambda path: [_number(part) for part in path.parts[-3:-1]])


def _number(name: str) -> int:
    digits = "".join(letter for letter in name if letter.isdecimal())
    return int(digits) if digits.isascii() and 0 < len(digits) < 10 else 0
