"""An engine that starts slowly and says so is waited for; a silent one is ended."""

import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import one_site
import pytest
from numba.core import caching

from app.config.load import load_site
from app.core.compile_cache import cached_njit
from app.core.compile_progress import compilation_told
from app.core.heartbeat import (
    ALIVE,
    RUN_SILENCE_S,
    START_LIMIT_S,
    START_SILENCE_S,
    STARTING,
    Heartbeat,
    Patience,
)
from app.supervisor import _Watch

A_BIT_S = 0.1


def test_a_start_without_a_word_ends_after_a_minute() -> None:
    patience = Patience(1000.0)
    assert not patience.why_over(1000.0 + START_SILENCE_S)
    assert patience.why_over(1000.0 + START_SILENCE_S + A_BIT_S) == "silent for 60.1 s"


def test_each_step_of_a_start_buys_time_up_to_a_limit() -> None:
    patience = Patience(0.0)
    now_s = 0.0
    while now_s + START_SILENCE_S <= START_LIMIT_S:
        now_s += START_SILENCE_S
        assert not patience.why_over(now_s)
        patience.heard(STARTING, now_s)
    assert patience.why_over(now_s + A_BIT_S) == "not started within 600 s"


def test_what_runs_has_no_steps_of_a_start_any_more() -> None:
    patience = Patience(0.0)
    patience.heard(STARTING + ALIVE, 50.0)
    assert not patience.is_starting
    assert not patience.why_over(50.0 + RUN_SILENCE_S)
    patience.heard(STARTING, 53.0)
    assert patience.why_over(50.0 + RUN_SILENCE_S + A_BIT_S) == "silent for 4.1 s"
    patience.heard(ALIVE, 55.0)
    assert not patience.why_over(55.0 + RUN_SILENCE_S)
    assert not Patience(0.0).why_over(0.0)


def test_a_clock_that_is_no_number_is_no_reason_to_wait() -> None:
    assert Patience(0.0).why_over(float("nan"))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_full_pipe_and_a_supervisor_that_is_gone_stop_no_engine(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    heartbeat = Heartbeat(write_end)
    heartbeat.starting()
    heartbeat.alive()
    assert os.read(read_end, 10) == STARTING + ALIVE
    for _ in range(100_000):
        heartbeat.starting()
    assert set(os.read(read_end, 10**6)) == set(STARTING)
    Heartbeat(None).alive()
    gone_read, gone_write = os.pipe()
    os.close(gone_read)
    Heartbeat(gone_write).alive()
    os.close(gone_write)


def test_the_supervisor_waits_for_steps_and_tells_systemd(
    tmp_path: Path, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten pipefuls of steps, then silence, on a clock that jumps by 15 s whenever it is read."""
    read_end, write_end = pipe
    os.write(write_end, STARTING * 40_960)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        path = one_site.site_file(tmp_path)
        clock = itertools.count(0.0, 15.0)
        watch = _Watch(path, load_site(path), [], -1, clock_s=lambda: next(clock))
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as engine:
            watch._watch(engine, read_end)
            assert engine.returncode == -9
        steps = [manager.recv(4096) for _ in range(10)]
        assert steps == [b"EXTEND_TIMEOUT_USEC=60000000"] * 10
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)  # nobody said that it was ready
    assert next(clock) > 20 * 15.0, "longer than one silence"


def test_a_compilation_says_that_it_goes_on() -> None:
    @numba.njit
    def double(x: int) -> int:
        return 2 * x

    steps: list[str] = []
    with compilation_told(lambda: steps.append("step")):
        assert double(2) == 4
        n_first = len(steps)
        assert double(3) == 6
    assert n_first >= 2
    assert len(steps) == n_first, "what is compiled is not compiled again"
    assert double(2.5) == 5.0
    assert len(steps) == n_first, "nobody listens any more"


def test_where_nothing_can_be_kept_each_start_compiles(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a service without a home whose installation only root may write."""
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])

    @cached_njit(nogil=True)
    def triple(x: int) -> int:
        return 3 * x

    assert triple(2) == 6
    assert "set NUMBA_CACHE_DIR" in caplog.text
