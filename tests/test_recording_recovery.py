"""Recovery after a crash: every sample and committed row stays, all is whole, twice is once."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from app.cli import main
from app.core.spikes import SPIKE_RECORD
from app.recording.checksums import read_checksums, verify
from app.recording.event_log import EventLog
from app.recording.event_recovery import MESSAGE_ARRAYS, TTL_ARRAYS
from app.recording.npy_file import npy_header
from app.recording.raw_writer import RawWriter
from app.recording.reader import open_session
from app.recording.recovery import recover_all, recover_session
from app.recording.rows import NoteRow, SpikeRows
from app.recording.session import create_session
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

FORMAT = StreamFormat(("A", "B", "C"), 20_000.0, 0.195)
STREAM = "Record Node 101/experiment1/recording1/continuous/MEA-100.raw"
TTL = "Record Node 101/experiment1/recording1/events/MEA-100.raw/TTL"
MESSAGES = TTL.replace("MEA-100.raw/TTL", "MessageCenter")
N_SAMPLES, FIRST = 2000, 1000
STIMULI = list(range(FIRST, FIRST + N_SAMPLES, 100))


def fail(name: str, exc: BaseException) -> None:
    raise AssertionError(f"{name}: {exc}")


def delivered() -> np.ndarray:
    """The same stimuli as the event log knows them."""
    records = np.zeros(len(STIMULI), SPIKE_RECORD)
    records["time_ns"] = 2**62
    records["sample_index"] = STIMULI
    records["neuron"] = 256
    return records


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session whose files are as a killed engine leaves them."""
    root = tmp_path_factory.mktemp("crash")
    session = create_session(
        root, site="site-a", session="0f" * 16, config=b"", experiment=b"", experiment_sha256="",
        software={}, clock="c", anchor=(0, 1_900_000_000_000_000_000, 0), reserve_bytes=4096,
    )  # fmt: skip
    log = EventLog(session.events_path, on_failure=fail)
    raw = RawWriter(session.node_folder(), on_failure=fail, record=log.append)
    log.start()
    raw.start()
    raw.start_recording(FORMAT)
    for first in range(FIRST, FIRST + N_SAMPLES, 100):
        samples = np.arange(first * 3, (first + 100) * 3, dtype=np.int16).reshape(-1, 3)
        raw.offer(SampleBlock(samples, first, 0, 0, (StimMark(first, 1, 1e-6),)))
    log.append(SpikeRows("site-a", 0, 0, delivered()))
    raw.request_stop()
    assert raw.join(5.0)
    log.append(NoteRow(1, "a", "kept"))
    log.append_durably().wait(5.0)
    # As a crash leaves it: nobody said that the recording was closed.
    copy = root / "copy" / session.folder.name
    shutil.copytree(session.folder, copy)
    log.request_stop()
    assert log.join(5.0)
    session.close((1, 1, 1))
    return copy


@pytest.fixture
def session(crashed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crashed, tmp_path / crashed.name))


def check_whole(session: Path, n_samples: int = N_SAMPLES) -> None:
    with open_session(session) as reader:
        assert reader.info.state == "recovered"
        assert reader.integrity() == "ok"
        assert [note.text for note in reader.rows(NoteRow)] == ["kept"]
        (raw,) = reader.raw()
        values = np.arange(FIRST * 3, (FIRST + n_samples) * 3, dtype=np.int16)
        np.testing.assert_array_equal(raw.samples, values.reshape(-1, 3))
    numbers = np.load(session / STREAM / "sample_numbers.npy")
    assert numbers.tolist() == list(range(FIRST, FIRST + n_samples))
    np.testing.assert_array_equal(np.load(session / STREAM / "timestamps.npy"), numbers / 20_000.0)
    lengths = {len(np.load(path)) for path in (session / TTL).glob("*.npy")}
    assert len(lengths) == 1
    assert not list(session.glob("*-wal"))
    assert (session / "sorting/numpysorting_info.json").exists()
    assert verify(session) == []
    assert f"{STREAM}/continuous.dat" in read_checksums(session)


def contents(session: Path) -> dict[str, bytes]:
    return {str(p.relative_to(session)): p.read_bytes() for p in session.rglob("*") if p.is_file()}


def tear_frame(session: Path) -> None:
    with (session / STREAM / "continuous.dat").open("ab") as file:
        file.write(b"\x01\x02\x03")


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def truncate(path: Path, n_bytes: int) -> None:
    with path.open("r+b") as file:
        file.truncate(n_bytes)


def take_name(session: Path) -> None:
    folder = session / "Record Node 101/experiment1/recording1"
    (folder / "structure.oebin").rename(folder / "structure.oebin.tmp")
    folder.rename(folder.with_name(".creating-recording1"))


DAMAGE = {
    "nothing": lambda _s: None,
    "torn frame": tear_frame,
    "numbers short": lambda s: truncate(s / STREAM / "sample_numbers.npy", 128 + 8),
    "numbers torn": lambda s: truncate(s / STREAM / "sample_numbers.npy", 128 + 8 * 77 + 3),
    "numbers empty": lambda s: truncate(s / STREAM / "sample_numbers.npy", 0),
    "numbers zeroed": lambda s: patch(s / STREAM / "sample_numbers.npy", 128 + 8000, bytes(800)),
    "times zeroed": lambda s: patch(s / STREAM / "timestamps.npy", 128 + 8000, bytes(800)),
    "header garbage": lambda s: patch(s / STREAM / "timestamps.npy", 0, b"\xff" * 128),
    "event arrays uneven": lambda s: truncate(s / TTL / "states.npy", 128 + 2 * 13),
    "no name yet": take_name,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_every_damage_of_a_crash_is_made_whole(session: Path, name: str) -> None:
    DAMAGE[name](session)
    names = {p.name for p in session.rglob("*") if p.is_file()} - {"structure.oebin.tmp"}
    recovery = recover_session(session)
    assert recovery.state == "recovered", recovery.said
    check_whole(session)
    assert {p.name for p in session.rglob("*")} >= names - {
        "events.sqlite-wal",
        "events.sqlite-shm",
    }
    before = contents(session)
    assert recover_session(session).state == "whole"
    assert contents(session) == before


def as_when_killed(session: Path) -> None:
    """The fixture's recording ended in order; here the event log does not know of it."""
    with closing(sqlite3.connect(session / "events.sqlite")) as events:
        events.execute("DELETE FROM raw_recordings WHERE event != 'started'")
        events.commit()


def lose_rows(session: Path, n_safe: int, n_torn: int) -> None:
    """Let headers count what was safe; the last rows never came, or came as zeros."""
    groups = ((TTL, TTL_ARRAYS, 2), (MESSAGES, MESSAGE_ARRAYS, 1))
    for folder, arrays, n_each in groups:
        for name, descr in arrays.items():
            path, item = session / folder / f"{name}.npy", np.dtype(descr).itemsize
            patch(path, 0, npy_header(descr, n_safe * n_each))
            n_there = (path.stat().st_size - 128) // item
            first_torn = max(n_safe, n_there // n_each - n_torn) * n_each
            patch(path, 128 + item * first_torn, bytes(item * (n_there - first_torn)))


def stimuli_of(session: Path) -> list[int]:
    numbers, states = (np.load(session / TTL / f"{n}.npy") for n in ("sample_numbers", "states"))
    assert states.tolist() == [1, -1] * (len(states) // 2)
    assert (numbers[1::2] == numbers[::2] + 1).all()
    np.testing.assert_array_equal(np.load(session / TTL / "timestamps.npy"), numbers / 20_000.0)
    assert np.load(session / TTL / "full_words.npy").tolist() == [1, 0] * (len(states) // 2)
    return numbers[::2].tolist()


@pytest.mark.parametrize(("n_safe", "n_torn"), [(0, 99), (0, 3), (8, 99), (8, 5), (20, 0)])
def test_stimuli_that_the_files_lost_come_from_the_event_log(
    session: Path, n_safe: int, n_torn: int
) -> None:
    as_when_killed(session)
    lose_rows(session, n_safe, n_torn)
    recovery = recover_session(session)
    assert recovery.state == "recovered", recovery.said
    assert stimuli_of(session) == STIMULI
    texts, at = (np.load(session / MESSAGES / f"{n}.npy") for n in ("text", "sample_numbers"))
    stimulated = [int(s) for s, text in zip(at, texts, strict=True) if b"stimulus" in text]
    assert stimulated == STIMULI
    n_added = sum(b"for neuron 256, from the event log" in text for text in texts)
    n_messages = 1 + len(STIMULI)  # the first one says that the recording started
    assert n_added == min(n_torn, n_messages - n_safe, len(STIMULI))
    assert any("added from the event log" in said for said in recovery.said) == bool(n_added)
    before = contents(session)
    assert recover_session(session).state == "whole"
    assert contents(session) == before


def test_an_interrupted_recovery_is_taken_up_again(session: Path) -> None:
    tear_frame(session)
    assert recover_session(session).state == "recovered"
    info = json.loads((session / "session.json").read_text())
    (session / "session.json").write_text(json.dumps(info | {"state": "recording"}))
    truncate(session / STREAM / "timestamps.npy", 1000)
    assert recover_session(session).state == "recovered"
    check_whole(session)


def test_samples_behind_a_damaged_description_stay_and_it_is_said(session: Path) -> None:
    oebin = session / "Record Node 101/experiment1/recording1/structure.oebin"
    oebin.write_text("{")
    dat = (session / STREAM / "continuous.dat").read_bytes()
    recovery = recover_session(session)
    assert recovery.state == "damaged"
    assert "structure.oebin: description is damaged" in " ".join(recovery.said)
    assert (session / STREAM / "continuous.dat").read_bytes() == dat
    assert json.loads((session / "session.json").read_text())["state"] == "recording"


def test_a_damaged_event_log_is_left_alone_and_said(session: Path) -> None:
    (session / "events.sqlite-wal").unlink()
    patch(session / "events.sqlite", 0, b"\xff" * 64)
    data = (session / "events.sqlite").read_bytes()
    recovery = recover_session(session)
    assert recovery.state == "damaged"
    assert "events.sqlite" in " ".join(recovery.said)
    assert (session / "events.sqlite").read_bytes() == data


def test_a_session_being_written_is_left_alone(tmp_path: Path) -> None:
    session = create_session(
        tmp_path, site="a", session="1f" * 16, config=b"", experiment=b"", experiment_sha256="",
        software={}, clock="c", anchor=(0, 1_900_000_000_000_000_000, 0), reserve_bytes=4096,
    )  # fmt: skip
    (recovery,) = recover_all(tmp_path)
    assert recovery.state == "in use"
    session.close((1, 1, 1))
    (recovery,) = recover_all(tmp_path)
    assert recovery.state == "whole"


def test_the_command_tells_what_it_did(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tear_frame(session)
    assert main(["recover", str(session.parent)]) == 0
    said = capsys.readouterr().out
    assert "recovered" in said
    assert "torn frame of 3 bytes" in said
    check_whole(session)
    assert main(["recover", str(session)]) == 0
    assert "whole" in capsys.readouterr().out
    assert main(["recover", str(session / "Record Node 101")]) == 1


def test_a_changed_file_does_not_match_its_checksum(session: Path) -> None:
    recover_session(session)
    patch(session / STREAM / "continuous.dat", 100, b"\x00\x01")
    assert verify(session) == [f"{STREAM}/continuous.dat: differs from what was recorded"]
    (session / "CHECKSUMS.sha256").write_text("nonsense")
    with pytest.raises(Exception, match="damaged at 'nonsense'"):
        verify(session)
