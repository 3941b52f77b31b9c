"""The session folder: created whole, numbered, closed; and what a reader makes of damage."""

import datetime as dt
import errno
import os
from pathlib import Path

import msgspec
import pytest

from app.recording.errors import RecordingError
from app.recording.files import DiskFiles, RecordFile, replace_file
from app.recording.session import Session, create_session, read_info, session_folders

UTC_NS = int(dt.datetime(2031, 3, 4, 12, 30, 5, tzinfo=dt.UTC).timestamp()) * 10**9


def create(root: Path, files: DiskFiles | None = None, **changed: object) -> Session:
    arguments: dict[str, object] = {
        "site": "site-a",
        "session": os.urandom(16).hex(),
        "config": b"a = 1\r\n# exact\n",
        "experiment": b"\xef\xbb\xbfb = 2",
        "experiment_sha256": "ab" * 32,
        "software": {"spikebridge": "0.1.0"},
        "clock": "boot-1",
        "anchor": (1000, UTC_NS, 50),
        "limits": b'{"current_a": 1e-5}',
        "provenance": {"mea1": "mock"},
        "reserve_bytes": 100_000,
        "files": files,
    }
    return create_session(root, **(arguments | changed))  # type: ignore[arg-type]


def test_a_session_has_its_name_copies_and_description(tmp_path: Path) -> None:
    session = create(tmp_path / "deep" / "root", session="0f" * 16)
    assert session.folder == tmp_path / "deep" / "root" / "2031-03-04T123005Z_site-a_0001"
    assert (session.folder / "config.toml").read_bytes() == b"a = 1\r\n# exact\n"
    assert (session.folder / "experiment.toml").read_bytes() == b"\xef\xbb\xbfb = 2"
    assert (session.folder / "reserve.bin").stat().st_blocks * 512 >= 100_000
    plain = msgspec.json.decode((session.folder / "session.json").read_bytes())
    assert plain == {
        "format_version": 1,
        "state": "recording",
        "number": 1,
        "session": "0f" * 16,
        "site": "site-a",
        "experiment_sha256": "ab" * 32,
        "software": {"spikebridge": "0.1.0"},
        "clock": "boot-1",
        "anchors": [{"monotonic_ns": 1000, "utc_ns": UTC_NS, "width_ns": 50}],
        "limits": {"current_a": 1e-5},
        "provenance": {"mea1": "mock"},
        "metadata": {
            "about": {
                "institution": None,
                "laboratory": None,
                "experimenters": [],
                "description": None,
            },
            "cultures": {},
            "culture_elsewhere": None,
            "electrodes": {},
            "devices": {},
        },
        "recovered": [],
    }
    assert [path.name for path in session.folder.parent.iterdir()] == [session.folder.name]


def test_numbers_count_on_and_folders_are_listed_by_number(tmp_path: Path) -> None:
    later = create(tmp_path, anchor=(1, UTC_NS + 10**12, 0))
    earlier_by_utc = create(tmp_path)
    other = create(tmp_path, site="site_a_2")
    (tmp_path / "2031-03-04T123005Z_site-a_9999.txt").touch()
    (tmp_path / "notes").mkdir()
    assert [s.info.number for s in (later, earlier_by_utc, other)] == [1, 2, 3]
    assert session_folders(tmp_path) == [later.folder, earlier_by_utc.folder, other.folder]
    assert session_folders(tmp_path, "site-a") == [later.folder, earlier_by_utc.folder]
    assert session_folders(tmp_path / "nowhere") == []


def test_a_name_taken_in_the_meantime_gives_the_next_number(tmp_path: Path) -> None:
    class Race(DiskFiles):
        def rename(self, source: Path, target: Path) -> None:
            if target.name.endswith("_0001"):
                target.mkdir()
                (target / "session.json").touch()
            super().rename(source, target)

    session = create(tmp_path, Race())
    assert session.info.number == 2
    assert read_info(session.folder).number == 2


def test_closing_says_so_and_gives_the_reserve_back(tmp_path: Path) -> None:
    session = create(tmp_path)
    session.close((2000, UTC_NS + 1000, 60))
    session.close((9000, UTC_NS + 9000, 60))
    info = read_info(session.folder)
    assert info.state == "closed"
    assert [anchor.monotonic_ns for anchor in info.anchors] == [1000, 2000]
    assert not (session.folder / "reserve.bin").exists()
    assert not session.release_reserve()


def test_the_reserve_helps_once(tmp_path: Path) -> None:
    session = create(tmp_path)
    assert session.release_reserve()
    assert not (session.folder / "reserve.bin").exists()
    assert not session.release_reserve()
    session.close((2000, UTC_NS, 0))


@pytest.mark.parametrize("site", ["", "a/b", "..", "ä", "a b", "-a"])
def test_a_site_that_is_no_folder_name_is_refused(tmp_path: Path, site: str) -> None:
    with pytest.raises(RecordingError, match="no folder name"):
        create(tmp_path, site=site)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "operation", ["create", "make_folder", "rename", "sync_folder", "allocate"]
)
def test_whatever_fails_at_creation_leaves_no_session(tmp_path: Path, operation: str) -> None:
    files = DiskFiles()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    setattr(files, operation, fail)
    with pytest.raises(RecordingError, match="No space left"):
        create(tmp_path, files)
    assert session_folders(tmp_path) == []
    assert list(tmp_path.glob("*/reserve.bin")) == []


def test_a_failed_close_leaves_it_open(tmp_path: Path) -> None:
    class Failing(DiskFiles):
        is_full = False

        def create(self, path: Path) -> RecordFile:
            if self.is_full:
                raise OSError(errno.EIO, "Input/output error")
            return super().create(path)

    files = Failing()
    session = create(tmp_path, files)
    files.is_full = True
    with pytest.raises(RecordingError, match="cannot be closed"):
        session.close((1, 2, 3))
    assert read_info(session.folder).state == "recording"
    files.is_full = False
    session.close((1, 2, 3))
    assert read_info(session.folder).state == "closed"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": "recording"}', b"\xff", None])
def test_a_damaged_description_is_named(tmp_path: Path, content: bytes | None) -> None:
    session = create(tmp_path)
    path = session.folder / "session.json"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"session\.json"):
        read_info(session.folder)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    session = create(tmp_path)
    path = session.folder / "session.json"
    path.write_bytes(path.read_bytes().replace(b'"format_version": 1', b'"format_version": 2'))
    with pytest.raises(RecordingError, match="format version 2"):
        read_info(session.folder)


def test_replacing_a_file_survives_a_stale_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    (tmp_path / "a.json.tmp").write_bytes(b"torn")
    replace_file(DiskFiles(), path, b"whole")
    assert path.read_bytes() == b"whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
