"""Checks left for later: done in the background, never beside a recording, taken up again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from faulty_files import eventually
from small_session import make_session

from app.cli import main
from app.console.status_text import status_lines
from app.engine.late_checker import LateChecker
from app.recording import checksums, sorting
from app.recording.checksums import NAME, read_checksums, verify
from app.recording.files import DiskFiles
from app.recording.late_checks import all_left, complete, left_in
from app.recording.reader import open_session
from app.recording.recovery import CHECK_LEFT
from app.recording.session import encode_info, read_info
from app.recording.sorting import sort_at_once
from app.sessions.facts import facts

DAT = "Record Node 101/experiment1/recording1/continuous/MEA-100.raw/continuous.dat"
NPY = DAT.replace("continuous.dat", "sample_numbers.npy")


def without(session: Path, *names: str) -> Path:
    """The session as if these files had been too large when it ended."""
    lines = (session / NAME).read_text().splitlines(keepends=True)
    (session / NAME).write_text("".join(x for x in lines if x.split("  ")[1].strip() not in names))
    return session


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return without(make_session(tmp_path, seconds=0.1), DAT, NPY)


def test_what_is_left_is_known_said_and_completed(session: Path) -> None:
    left = left_in(session)
    assert left is not None
    n_bytes = (session / DAT).stat().st_size + (session / NPY).stat().st_size
    assert (left.n_files, left.n_bytes, left.is_unchecked) == (2, n_bytes, False)
    with open_session(session) as reader:
        assert next(x.text for x in facts(reader) if x.what == "checksums").endswith("background")
    complete(left, DiskFiles())
    assert left_in(session) is None
    assert verify(session) == []
    assert {DAT, NPY} <= read_checksums(session).keys()


def test_an_interrupted_run_goes_on_with_the_next_file(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "LARGE_BYTES", 0)
    left = left_in(session)
    assert left is not None
    n_done = 0

    def stop_after_the_first(n_bytes: int) -> None:
        nonlocal n_done
        n_done += n_bytes
        if n_done > (session / DAT).stat().st_size:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete(left, DiskFiles(), stop_after_the_first)
    rest = left_in(session)
    assert rest is not None
    assert rest.n_files == 1
    hashed: list[int] = []
    complete(rest, DiskFiles(), hashed.append)
    assert sum(hashed) == rest.n_bytes
    assert verify(session) == []


def test_a_large_event_log_is_checked_and_the_session_says_so(session: Path) -> None:
    told = msgspec.structs.replace(read_info(session), state="recovered", recovered=(CHECK_LEFT,))
    (session / "session.json").write_bytes(encode_info(told))
    left = left_in(session)
    assert left is not None
    assert left.is_unchecked
    complete(left, DiskFiles())
    assert read_info(session).recovered == ("events.sqlite: large; checked later: ok",)
    assert verify(session) == [], "the changed description is hashed anew"
    assert left_in(session) is None


def test_many_spikes_are_sorted_later_few_at_once(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "AT_ONCE_ROWS", 1)
    assert not sort_at_once(session, DiskFiles())
    left = left_in(session)
    assert left is not None
    assert left.is_unsorted
    complete(left, DiskFiles())
    assert left_in(session) is None
    assert verify(session) == []
    spikes = (session / "sorting/spikes.npy").read_bytes()
    assert "sorting/spikes.npy" in read_checksums(session)
    shutil.rmtree(session / "sorting")
    monkeypatch.setattr(sorting, "AT_ONCE_ROWS", 1000)
    assert sort_at_once(session, DiskFiles())
    assert (session / "sorting/spikes.npy").read_bytes() == spikes


def test_recover_completes_it_for_a_person(
    session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recover", str(session)]) == 0
    assert left_in(session) is None
    assert "whole" in capsys.readouterr().out


# --- beside an engine -------------------------------------------------------------------------


@contextmanager
def checker(root: Path, is_recording: Callable[[], bool]) -> Iterator[LateChecker]:
    failures: list[BaseException] = []
    made = LateChecker(root, "padova", is_recording, lambda _name, exc: failures.append(exc))
    made.start()
    try:
        yield made
    finally:
        made.request_stop()
        assert made.join(5.0)
        assert failures == []


def test_it_waits_for_the_end_of_a_recording_and_gives_way_to_the_next(session: Path) -> None:
    is_recording = True
    dat = session / DAT
    data = dat.read_bytes()
    os.truncate(dat, 2**36)  # 64 GiB of nothing: longer than this test
    with checker(session.parent, lambda: is_recording) as late:
        eventually(lambda: late.status.state == "waits")
        assert late.status.n_bytes > 2**36
        is_recording = False
        eventually(lambda: late.status.state == "runs")
        child = late._child
        assert child is not None
        is_recording = True
        eventually(lambda: late.status.state == "waits")
        assert child.poll() is not None, "its process has ended"
        dat.write_bytes(data)
        is_recording = False
        eventually(lambda: late.status.state == "done")
    assert late.status.n_files == 0
    assert verify(session) == []
    assert list(all_left(session.parent)) == []


def test_it_ends_with_whoever_started_it(session: Path) -> None:
    os.truncate(session / DAT, 2**36)
    command = [sys.executable, "-m", "app.sessions.complete_checks", str(session.parent), "padova"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.close()  # as the kernel does when an engine is killed
        assert child.wait(20.0) == 0
    assert left_in(session) is not None


def test_what_fails_is_said_and_not_tried_over_and_over(session: Path) -> None:
    (session / f"{NAME}.tmp").mkdir()
    with checker(session.parent, lambda: False) as late:
        eventually(lambda: late.status.state == "failed")
        assert late._child is None
    assert session.name in late.status.detail
    assert NAME in late.status.detail


def test_a_status_says_it_in_words() -> None:
    late = {"state": "waits", "n_sessions": 2, "n_files": 3, "n_bytes": 4_200_000_000, "detail": ""}
    (line,) = [x for x in _lines(late) if "checksums" in x]
    assert line == (
        "checksums of earlier sessions wait until nothing is recorded: 3 files, 4.2 GB in "
        "2 sessions"
    )
    assert not [x for x in _lines({**late, "state": "done"}) if "checksums" in x]
    assert "FAILED: disk" in "".join(_lines({**late, "state": "failed", "detail": "disk"}))


def _lines(late: dict[str, object]) -> list[str]:
    gate = {
        "state": "disarmed", "reason": "", "who": "", "expires_ns": None, "blocks": {},
        "last_refusal": "", "frozen": [], "budgets": [],
    }  # fmt: skip
    status = {
        "site": "padova", "gate": gate, "session_code": "1", "experiment_hash": "", "links": [],
        "session_folder": "s", "is_dry_run": False, "failure": "", "synapses": [],
        "amplifier": None, "protocol": None, "late_checks": late, "certificate_days_left": None,
    }  # fmt: skip
    return status_lines(status)
