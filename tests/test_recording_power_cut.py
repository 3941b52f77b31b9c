"""Power cut at every point of a recorded write log, and every file operation failing once.

The model of the disk: what was synced is there; of what was written to a file after its last sync
any part may be there, whole pages or none, in any order; names made since a folder was last synced
may be missing, all of them. 1,000 cuts are SPIKEBRIDGE_CUTS=1000; the default is a tenth.
"""

import errno
import os
import random
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from app.core.inbox import InboxOverflowError
from app.recording.files import DiskFile, DiskFiles, RecordFile
from app.recording.raw_reader import read_raw
from app.recording.raw_recovery import raw_folders, recover_raw
from app.recording.raw_writer import RawWriter
from app.recording.rows import RawRecordingRow
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

N_CUTS = int(os.environ.get("SPIKEBRIDGE_CUTS", "100"))
N_FAILURES = int(os.environ.get("SPIKEBRIDGE_FAILURES", "20"))
FORMAT = StreamFormat(("A", "B", "C"), 20_000.0, 0.195)
PAGE = 4096
N_BLOCKS, BLOCK = 40, 100


def samples_of(first: int, n_samples: int) -> np.ndarray:
    return np.arange(first * 3, (first + n_samples) * 3, dtype=np.int16).reshape(-1, 3)


@dataclass(slots=True)
class Kept:
    """One file as the disk has it: synced content, and writes since."""

    synced: bytes = b""
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    """(offset, data); offset -1: truncated to len(data) bytes, data being zeros."""


class Disk:
    """What reached the disk, operation by operation; `state(n, rng)` is it after a cut at n."""

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self.lock = threading.Lock()

    def note(self, *operation: object) -> None:
        with self.lock:
            self.log.append(operation)

    def state(self, n_operations: int, rng: random.Random) -> dict[Path, bytes]:
        files: dict[int, Kept] = {}
        names: dict[Path, int] = {}
        safe: dict[Path, int] = {}
        for operation in self.log[:n_operations]:
            match operation:
                case ("create", Path() as path, int(number)):
                    files[number] = Kept()
                    names[path] = number
                case ("write", int(number), int(offset), bytes(data)):
                    files[number].pending.append((offset, data))
                case ("sync", int(number)):
                    files[number].synced = applied(files[number].synced, files[number].pending)
                    files[number].pending.clear()
                case ("rename", Path() as source, Path() as target):
                    for path in [p for p in names if p == source or source in p.parents]:
                        names[target / path.relative_to(source)] = names.pop(path)
                    # ext4 and XFS keep the order of names: one kept, the older ones are kept.
                    safe = dict(names) if rng.random() < 0.5 else safe
                case ("sync folder",):
                    safe = dict(names)
        return {path: survivor(files[number], rng) for path, number in safe.items()}


def applied(content: bytes, writes: Sequence[tuple[int, bytes]]) -> bytes:
    data = bytearray(content)
    for offset, piece in writes:
        if offset < 0:
            data = data[: len(piece)] + bytes(max(0, len(piece) - len(data)))
            continue
        data.extend(bytes(max(0, offset - len(data))))
        data[offset : offset + len(piece)] = piece
    return bytes(data)


def survivor(kept: Kept, rng: random.Random) -> bytes:
    """Keep a part of what was not synced: a prefix, or any of its pages, or nothing."""
    kind = rng.randrange(3)
    if kind == 0:
        return kept.synced
    if kind == 1:
        return applied(kept.synced, kept.pending[: rng.randrange(len(kept.pending) + 1)])
    new = applied(kept.synced, kept.pending)
    pages = []
    for start in range(0, len(new), PAGE):
        page = new[start : start + PAGE]
        old = kept.synced[start : start + PAGE]
        pages.append(page if rng.random() < 0.5 else old + bytes(len(page) - len(old)))
    data = b"".join(pages)
    return data[: rng.randint(min(len(kept.synced), len(data)), len(data))]


class LoggedFile(DiskFile):
    def __init__(self, path: Path, flags: int, disk: Disk, number: int) -> None:
        super().__init__(path, flags)
        self.disk, self.number = disk, number

    def append(self, data: bytes | memoryview) -> int:
        self.disk.note("write", self.number, self.size(), bytes(data))
        return super().append(data)

    def append_all(self, pieces: Sequence[memoryview]) -> int:
        return self.append(b"".join(pieces))

    def write_at(self, data: bytes, offset: int) -> int:
        self.disk.note("write", self.number, offset, data)
        return super().write_at(data, offset)

    def truncate(self, n_bytes: int) -> None:
        self.disk.note("write", self.number, -1, bytes(n_bytes))
        super().truncate(n_bytes)

    def sync_data(self) -> None:
        super().sync_data()
        self.disk.note("sync", self.number)


class LoggedFiles(DiskFiles):
    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.n_files = 0

    def create(self, path: Path) -> RecordFile:
        self.n_files += 1
        file = LoggedFile(path, os.O_CREAT | os.O_EXCL, self.disk, self.n_files)
        self.disk.note("create", path, self.n_files)
        return file

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.disk.note("rename", source, target)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self.disk.note("sync folder")


def record(root: Path, files: DiskFiles, failures: list[BaseException]) -> list[RawRecordingRow]:
    rows: list[RawRecordingRow] = []
    root.mkdir()
    writer = RawWriter(
        root / "Record Node 101",
        on_failure=lambda _name, exc: failures.append(exc),
        record=rows.append,
        release_reserve=lambda: True,
        files=files,
        sync_period_s=0.002,
        clock_ns=iter(range(0, 10**15, 400_000_000)).__next__,
    )
    writer.start()
    writer.start_recording(FORMAT)
    pause = threading.Event()
    for number in range(N_BLOCKS):
        first = number * BLOCK
        marks = (StimMark(first, 1, 1e-6),) if number % 4 == 0 else ()
        writer.offer(SampleBlock(samples_of(first, BLOCK), first, 0, 0, marks))
        pause.wait(0.004)
    writer.request_stop()
    assert writer.join(10.0)
    return rows


def check(root: Path, n_synced: int) -> bool:
    """Open what is there, repair it, open it again; return whether there is a recording."""
    folders = raw_folders(root)
    for folder in folders:
        is_named = not folder.name.startswith(".")
        if is_named and (folder / "structure.oebin").exists():
            for npy in folder.rglob("*.npy"):
                np.load(npy)  # unrepaired: refuses a header that counts more rows than there are
            (raw,) = read_raw(root / "Record Node 101")
            assert len(raw.samples) >= n_synced
        try:
            recover_raw(folder, 0, DiskFiles())
        except ValueError:
            assert n_synced == 0
    if not any((root / "Record Node 101").glob("experiment1/recording1/structure.oebin")):
        assert n_synced == 0
        return False
    (raw,) = read_raw(root / "Record Node 101")
    n_samples = len(raw.samples)
    assert raw.first_sample == 0
    assert n_samples >= n_synced
    np.testing.assert_array_equal(raw.samples[:n_synced], samples_of(0, n_synced))
    numbers = np.load(raw.folder / "continuous/MEA-100.raw/sample_numbers.npy")
    assert numbers.tolist() == list(range(max(1, n_samples)))
    return True


def synced_samples(disk: Disk, n_operations: int) -> int:
    """Return how many samples the recorder had waited for and shown under their name."""
    dat, n_bytes, n_synced = None, 0, 0
    is_renamed = is_shown = False
    for operation in disk.log[:n_operations]:
        match operation:
            case ("create", Path() as path, int(number)) if path.name == "continuous.dat":
                dat = number
            case ("write", int(number), int(offset), bytes(data)) if number == dat:
                n_bytes = max(n_bytes, offset + len(data))
            case ("sync", int(number)) if number == dat:
                n_synced = n_bytes // 6
            case ("rename", _, Path() as target) if target.name == "structure.oebin":
                is_renamed = True
            case ("sync folder",):
                is_shown = is_renamed
    return n_synced if is_shown else 0


@pytest.mark.timeout(60 + N_CUTS)
def test_a_power_cut_costs_what_was_not_synced_and_no_more(tmp_path: Path) -> None:
    disk, failures = Disk(), []
    record(tmp_path / "whole", LoggedFiles(disk), failures)
    assert failures == []
    n_recordings = 0
    for number in range(N_CUTS):
        rng = random.Random(number)
        n_operations = rng.randrange(len(disk.log) + 1)
        root = tmp_path / "cut"
        for path, content in disk.state(n_operations, rng).items():
            place = root / path.relative_to(tmp_path / "whole")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        try:
            n_recordings += check(root, synced_samples(disk, n_operations))
        except Exception as exc:
            raise AssertionError(f"cut {number}, after {n_operations} operations") from exc
        shutil.rmtree(root, ignore_errors=True)
    assert n_recordings > N_CUTS // 2


class FailingFiles(DiskFiles):
    """Fails the n-th operation, and those after it too if the fault stays."""

    def __init__(self, n_good: float, code: int, *, stays: bool) -> None:
        self.n_done = 0
        self.n_good, self.code, self.stays = n_good, code, stays
        self.lock = threading.Lock()

    def tick(self) -> None:
        with self.lock:
            self.n_done += 1
            n_beyond = self.n_done - self.n_good
        if n_beyond == 1 or (n_beyond > 1 and self.stays):
            raise OSError(self.code, os.strerror(self.code))

    def create(self, path: Path) -> RecordFile:
        self.tick()
        return FailingFile(path, self)

    def rename(self, source: Path, target: Path) -> None:
        self.tick()
        super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        self.tick()
        super().sync_folder(path)


def failing(name: str) -> Callable[..., object]:
    def call(self: "FailingFile", *arguments: object) -> object:
        self.files.tick()
        return getattr(super(FailingFile, self), name)(*arguments)

    return call


class FailingFile(DiskFile):
    def __init__(self, path: Path, files: FailingFiles) -> None:
        super().__init__(path, os.O_CREAT | os.O_EXCL)
        self.files = files

    append = failing("append")  # type: ignore[assignment]
    append_all = failing("append_all")  # type: ignore[assignment]
    write_at = failing("write_at")  # type: ignore[assignment]
    sync_data = failing("sync_data")  # type: ignore[assignment]


@pytest.mark.timeout(60 + N_FAILURES)
def test_each_file_operation_may_fail_once_or_for_good(tmp_path: Path) -> None:
    clean = FailingFiles(float("inf"), 0, stays=False)
    record(tmp_path / "clean", clean, [])
    for number in range(N_FAILURES):
        rng = random.Random(number)
        code = rng.choice((errno.ENOSPC, errno.EIO))
        n_good = rng.randrange(clean.n_done)
        failures: list[BaseException] = []
        root = tmp_path / str(number)
        rows = record(root, FailingFiles(n_good, code, stays=rng.random() < 0.5), failures)
        who = f"failure {number}: operation {n_good} of {clean.n_done}, {os.strerror(code)}"
        assert not any(isinstance(exc, InboxOverflowError) for exc in failures), who
        for folder in raw_folders(root):
            if (folder / "structure.oebin").exists() and not folder.name.startswith("."):
                dat = folder / "continuous/MEA-100.raw/continuous.dat"
                assert dat.stat().st_size % 6 == 0, who
        for raw in read_raw(root / "Record Node 101"):
            first = raw.first_sample
            np.testing.assert_array_equal(raw.samples, samples_of(first, len(raw.samples)), who)
        events = [row.event for row in rows]
        is_whole = events == ["started", "closed"]
        n_samples = sum(len(raw.samples) for raw in read_raw(root / "Record Node 101"))
        assert failures or (is_whole and n_samples == N_BLOCKS * BLOCK), who
