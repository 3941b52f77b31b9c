"""Own stimuli and messages of a raw recording after a crash: what is torn, the event log completes.

Rows that all headers of a group count had reached the disk, and all before them; they are not
looked at again. Behind them come rows that may be torn: those that can be believed stay, and what
the event log knows of later moments is added.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.recording.files import Files, RecordFile, short_write
from app.recording.npy_file import HEADER_BYTES, npy_header, rows_in_header
from app.recording.raw_recording import TEXT_BYTES, TTL_LINE

SAME_STIMULUS_SAMPLES = 2
"""Channels of one pattern start within so many samples, and the event log has the first."""
BEFORE_ALL = -(2**62)
TTL_ARRAYS = {"sample_numbers": "<i8", "timestamps": "<f8", "full_words": "<u8", "states": "<i2"}
MESSAGE_ARRAYS = {"sample_numbers": "<i8", "timestamps": "<f8", "text": f"|S{TEXT_BYTES}"}

Integers = npt.NDArray[np.int64]
Tail = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One delivery that the event log has: a PSP, or a person's wish."""

    sample_index: int
    neuron: int


def recover_event_arrays(
    events: Path,
    stream: str,
    span: tuple[int, int],
    rate_hz: float,
    known: Iterable[Stimulus],
    files: Files,
) -> list[str]:
    """Complete TTL and MessageCenter below `events`; return what was done, one sentence each.

    `span` is the recording's first sample and the one after its last.
    Raises OSError as the operating system does.
    """
    inside = [k for k in known if span[0] <= k.sample_index < span[1]]
    with _Group(events / stream / "TTL", TTL_ARRAYS, files) as ttl:
        rises, missing = _rises_behind(ttl, inside)
        said = ttl.bring_to(_edges(np.append(rises, _samples(missing)), rate_hz))
    with _Group(events / "MessageCenter", MESSAGE_ARRAYS, files) as messages:
        samples, texts, untold = _messages_behind(messages, span[0], inside)
        added = [f"stimulus for neuron {k.neuron}, from the event log".encode() for k in untold]
        samples = np.append(samples, _samples(untold))
        tail = {
            "sample_numbers": samples,
            "timestamps": samples / rate_hz,
            "text": np.append(texts, np.array(added, texts.dtype)),
        }
        said += messages.bring_to(tail)
    if missing or untold:
        n_added = max(len(missing), len(untold))
        said.append(f"{n_added} own stimuli added from the event log")
    return said


def _rises_behind(ttl: "_Group", known: Sequence[Stimulus]) -> tuple[Integers, list[Stimulus]]:
    """Return the pulses behind the safe ones that are whole, and what comes after all of them."""
    ttl.n_safe = ttl.n_safe // 2 * 2
    last = int(ttl.rows("sample_numbers", ttl.n_safe - 2)[0]) if ttl.n_safe else BEFORE_ALL
    tail = ttl.rows("sample_numbers", ttl.n_safe)
    pairs = tail[: len(tail) // 2 * 2].reshape(-1, 2)
    good = (pairs[:, 1] == pairs[:, 0] + 1) & (np.diff(pairs[:, 0], prepend=last) > 0)
    rises = pairs[: _n_leading(good), 0].astype(np.int64)
    return rises, _after(max(last, int(rises.max(initial=last))), known)


def _edges(rises: Integers, rate_hz: float) -> Tail:
    edges = np.column_stack([rises, rises + 1]).ravel()
    states = np.tile([TTL_LINE, -TTL_LINE], len(rises))
    return {
        "sample_numbers": edges,
        "timestamps": edges / rate_hz,
        "full_words": np.where(states > 0, 1 << (TTL_LINE - 1), 0),
        "states": states,
    }


def _messages_behind(
    messages: "_Group", first_sample: int, known: Sequence[Stimulus]
) -> tuple[Integers, npt.NDArray[np.bytes_], list[Stimulus]]:
    """Return the messages behind the safe ones that are whole, and what none of them tells."""
    first = max(0, messages.n_safe - 1)  # with the last safe one, which may tell of a stimulus
    samples, texts = messages.rows("sample_numbers", first), messages.rows("text", first)
    n_rows = min(len(samples), len(texts))
    n_good = _n_leading((samples[:n_rows] >= first_sample) & (texts[:n_rows] != b""))
    n_good = max(n_good, messages.n_safe - first)
    told = [
        int(sample)
        for sample, text in zip(samples[:n_good], texts[:n_good], strict=True)
        if text.startswith(b"stimulus")
    ]
    behind = slice(messages.n_safe - first, n_good)
    return (
        samples[behind].astype(np.int64),
        texts[behind],
        _after(max(told, default=BEFORE_ALL), known),
    )


def _after(last: int, known: Sequence[Stimulus]) -> list[Stimulus]:
    return [k for k in known if k.sample_index > last + SAME_STIMULUS_SAMPLES]


def _samples(stimuli: Sequence[Stimulus]) -> Integers:
    return np.array([k.sample_index for k in stimuli], np.int64)


def _n_leading(is_good: npt.NDArray[np.bool_]) -> int:
    """Return how many are good before the first that is not."""
    bad = np.flatnonzero(~is_good)
    return int(bad[0]) if len(bad) else len(is_good)


class _Group:
    """Arrays that readers join row by row, so they have one length."""

    def __init__(self, folder: Path, arrays: Mapping[str, str], files: Files) -> None:
        self._folder = folder
        self._arrays = arrays
        self._opened: dict[str, RecordFile] = {}
        for name in arrays:
            path = folder / f"{name}.npy"
            self._opened[name] = files.open(path) if path.exists() else files.create(path)
        counted = [self._counted(name) for name in arrays]
        self.n_safe = max(0, min(counted))
        """Rows that every header counts and every file has."""

    def __enter__(self) -> "_Group":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._opened.values():
            file.close()

    def rows(self, name: str, first: int) -> npt.NDArray[Any]:
        """Return the whole rows of one array from `first` on."""
        dtype = np.dtype(self._arrays[name])
        n_rows = max(0, self._n_there(name) - first)
        start = HEADER_BYTES + first * dtype.itemsize
        return np.frombuffer(self._opened[name].read_at(n_rows * dtype.itemsize, start), dtype)

    def bring_to(self, tail: Tail) -> list[str]:
        """Let each array hold its safe rows and these behind them; return what was done."""
        lengths = sorted({self._counted(name) for name in self._arrays})
        n_changed = sum(self._bring_one(name, tail[name]) for name in self._arrays)
        n_rows = self.n_safe + len(tail["sample_numbers"])
        place = "/".join(self._folder.parts[-2:])
        return [f"{place}: headers counted {lengths}, now {n_rows}"] if n_changed else []

    def _bring_one(self, name: str, rows: npt.NDArray[Any]) -> bool:
        descr, file = self._arrays[name], self._opened[name]
        dtype = np.dtype(descr)
        start = HEADER_BYTES + self.n_safe * dtype.itemsize
        header, data = npy_header(descr, self.n_safe + len(rows)), rows.astype(dtype).tobytes()
        size = start + len(data)
        is_right = (
            file.size() == size
            and file.read_at(HEADER_BYTES, 0) == header
            and file.read_at(len(data), start) == data
        )
        if is_right:
            return False
        # Rows before the header that counts them: a crash in here is recovered from like the first.
        n_taken = file.write_at(data, start)
        if n_taken < len(data):
            raise short_write(file.path, n_taken, len(data))
        file.truncate(size)
        file.sync_data()
        file.write_at(header, 0)
        file.sync_data()
        return True

    def _n_there(self, name: str) -> int:
        item = np.dtype(self._arrays[name]).itemsize
        return max(0, (self._opened[name].size() - HEADER_BYTES) // item)

    def _counted(self, name: str) -> int:
        header = self._opened[name].read_at(HEADER_BYTES, 0)
        return min(self._n_there(name), rows_in_header(header, self._arrays[name]))
