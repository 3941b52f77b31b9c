"""What becomes of a damaged source in an engine's acquisition: a declared gap or a named failure.

Each source is a process behind its real wire, or a recording on disk.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fake_rhx import FakeRhx
from mock_process import MockProcess
from recordings import spiking, write_open_ephys

from app.console.status_text import channel_lines
from app.core.acquisition import Acquisition, AmplifierSilentError
from app.core.batch_maker import ElectrodeUse
from app.core.clock import monotonic_ns
from app.core.detector import Detector, DetectorSettings, warm_up
from app.core.spikes import SpikeBatch
from drivers.errors import InstrumentProtocolError, TransportError
from drivers.mea.intan_rhx.driver import IntanRhx
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.open_ephys.driver import OpenEphysGui
from drivers.mea.open_ephys.settings import OpenEphysSettings
from drivers.mea.playback.driver import Playback
from drivers.mea.protocol import MeaAmplifier

LIMIT_S = 20.0
GUI_NAMES = tuple(f"CH{number}" for number in range(1, 61))
RHX_NAMES = ("A-000", "A-001", "A-002")


class Run:
    """An acquisition thread at work, and what it said."""

    def __init__(self, amplifier: MeaAmplifier) -> None:
        self.amplifier = amplifier
        self.gaps: list[tuple[int, int]] = []
        self.failures: list[BaseException] = []
        self.batches: list[SpikeBatch] = []
        self.changed = threading.Condition()
        amplifier.open()
        self.detector = Detector(amplifier.stream_format, DetectorSettings())
        n_channels = amplifier.stream_format.n_channels
        self.acquisition = Acquisition(
            amplifier,
            self.detector,
            ElectrodeUse({c: c + 1 for c in range(n_channels)}, {}, 0.0),
            stream=0,
            on_block=lambda _block: self._tell(),
            on_batch=self.batches.append,
            on_gap=lambda first, n_lost: self.gaps.append((first, n_lost)),
            on_mapping=lambda _mapping: None,
            clock_ns=monotonic_ns,
            on_failure=self._failed,
        )
        self.acquisition.start()

    def wait(self, is_so: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        with self.changed:
            while not is_so():
                assert time.monotonic() < deadline_s, (self.gaps, self.failures)
                self.changed.wait(0.02)

    def wait_for_samples(self, n_samples: int) -> None:
        self.wait(lambda: self.acquisition.status.n_samples >= n_samples or self.failures)
        assert not self.failures

    def close(self) -> None:
        self.acquisition.request_stop()
        assert self.acquisition.join(LIMIT_S)
        self.amplifier.close()

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _failed(self, _worker: str, exc: BaseException) -> None:
        self.failures.append(exc)
        self._tell()


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    warm_up()


@pytest.fixture
def begun() -> Iterator[list[MockProcess | Run]]:
    made: list[MockProcess | Run] = []
    yield made
    for one in reversed(made):
        one.close()


def rhx(begun: list[MockProcess | Run], *faults: dict[str, object]) -> tuple[MockProcess, Run]:
    source = MockProcess("mocks.rhx_server", "--faults", json.dumps(faults))
    begun.append(source)
    ports = {k: source.ready[k] for k in ("command_port", "waveform_port", "spike_port")}
    settings = IntanRhxSettings(
        host="127.0.0.1",
        channels=RHX_NAMES,
        reply_timeout_s=LIMIT_S,
        start_timeout_s=LIMIT_S,
        **ports,
    )
    run = Run(IntanRhx("rhx1", settings))
    begun.append(run)
    return source, run


def gui(
    begun: list[MockProcess | Run], *faults: dict[str, object], n: int = 60
) -> tuple[MockProcess, Run]:
    options = ("--n-channels", str(n), "--faults", json.dumps(faults))
    source = MockProcess("mocks.open_ephys_gui", *options)
    begun.append(source)
    settings = OpenEphysSettings(
        host="127.0.0.1",
        http_port=source.ready["http_port"],
        falcon_port=source.ready["falcon_port"],
        channels=GUI_NAMES,
        sample_rate_hz=20_000.0,
        http_timeout_s=0.3,
        mode_timeout_s=LIMIT_S,
        start_timeout_s=LIMIT_S,
    )
    run = Run(OpenEphysGui("oe1", settings))
    begun.append(run)
    return source, run


def test_a_jump_of_the_counter_is_a_gap_of_its_length(begun: list[MockProcess | Run]) -> None:
    _, run = rhx(begun, {"kind": "timestamp_gap", "at_s": 0.2, "n_samples": 300})
    run.wait_for_samples(8_000)
    assert [n_lost for _, n_lost in run.gaps] == [300]
    assert run.detector.status().n_lost == 300
    assert run.acquisition.status.n_gaps == 1


def test_a_lost_message_is_a_gap_of_its_length(begun: list[MockProcess | Run]) -> None:
    _, run = gui(begun, {"kind": "drop", "at": 5})
    run.wait_for_samples(8_000)
    assert run.gaps == [(384 * 5, 384)]
    assert run.detector.status().n_lost == 384


def test_a_jump_in_a_recording_is_a_gap_of_its_length(
    begun: list[MockProcess | Run], tmp_path: Path
) -> None:
    numbers = np.arange(8_000)
    numbers[2_000:] += 77
    numbers[4_000:] -= 1_000
    samples = spiking(n_channels=2).samples[:8_000]
    folder = write_open_ephys(tmp_path / "s", samples, numbers)
    run = Run(Playback("rec", folder, is_looping=False))
    begun.append(run)
    run.wait_for_samples(8_000)
    assert run.gaps == [(2_077, 77), (4_077, -1)]


@pytest.mark.parametrize(
    ("make", "faults", "error", "words"),
    [
        (rhx, {"kind": "wrong_magic", "at_s": 0.2}, InstrumentProtocolError, "rhx1"),
        (rhx, {"kind": "drop", "at_s": 0.2}, TransportError, "closed the connection"),
        (gui, {"kind": "garbage", "at": 3}, InstrumentProtocolError, "no ContinuousData"),
    ],
)
def test_bytes_that_are_wrong_are_a_named_failure(
    make: Callable[..., tuple[MockProcess, Run]],
    faults: dict[str, object],
    error: type[Exception],
    words: str,
    begun: list[MockProcess | Run],
) -> None:
    _, run = make(begun, faults)
    run.wait(lambda: run.failures)
    assert isinstance(run.failures[0], error)
    assert words in str(run.failures[0])


def test_a_wrong_number_of_channels_is_a_named_failure(begun: list[MockProcess | Run]) -> None:
    _, run = gui(begun, n=59)
    run.wait(lambda: run.failures)
    assert isinstance(run.failures[0], InstrumentProtocolError)
    assert "has 59 channels, the settings name 60" in str(run.failures[0])


@pytest.mark.parametrize("n_columns", [2, 4])
def test_a_wrong_number_of_columns_is_a_named_failure(n_columns: int) -> None:
    server = FakeRhx(n_columns)
    settings = IntanRhxSettings(
        host="127.0.0.1",
        command_port=server.command_port,
        waveform_port=server.waveform_port,
        channels=RHX_NAMES,
    )
    amplifier = IntanRhx("rhx1", settings)
    run = Run(amplifier)
    try:
        run.wait(lambda: run.failures)
    finally:
        run.close()
        server.close()
    assert isinstance(run.failures[0], InstrumentProtocolError)
    assert "the columns are not those that were enabled" in str(run.failures[0])


@pytest.mark.parametrize("make", [rhx, gui])
def test_a_source_that_freezes_is_a_named_failure(
    make: Callable[..., tuple[MockProcess, Run]], begun: list[MockProcess | Run]
) -> None:
    source, run = make(begun)
    run.wait_for_samples(2_000)
    os.kill(source.process.pid, signal.SIGSTOP)
    run.wait(lambda: run.failures)
    os.kill(source.process.pid, signal.SIGCONT)
    assert isinstance(run.failures[0], AmplifierSilentError)
    assert f"amplifier {run.amplifier.name}: no samples for 1." in str(run.failures[0])


@pytest.mark.parametrize(("make", "error"), [(rhx, TransportError), (gui, AmplifierSilentError)])
def test_a_source_that_is_killed_is_a_named_failure(
    make: Callable[..., tuple[MockProcess, Run]],
    error: type[Exception],
    begun: list[MockProcess | Run],
) -> None:
    source, run = make(begun)
    run.wait_for_samples(2_000)
    source.process.kill()
    run.wait(lambda: run.failures)
    assert isinstance(run.failures[0], error)


def test_a_recording_that_ends_is_a_named_failure(
    begun: list[MockProcess | Run], tmp_path: Path
) -> None:
    folder = write_open_ephys(tmp_path / "s", spiking(n_channels=2).samples[:2_000])
    run = Run(Playback("rec", folder, is_looping=False))
    begun.append(run)
    run.wait(lambda: run.failures)
    assert isinstance(run.failures[0], AmplifierSilentError)


def test_stuck_and_saturated_channels_are_flagged_and_silent(
    begun: list[MockProcess | Run], tmp_path: Path
) -> None:
    samples = spiking(n_channels=4, seconds=2.0).samples
    samples[:, 1] = 123
    samples[:, 2] = 32767
    samples[21_000:, 3] = np.where(np.arange(len(samples) - 21_000) // 6 % 2, 900, -900)
    run = Run(Playback("rec", write_open_ephys(tmp_path / "s", samples), is_looping=False))
    begun.append(run)
    run.wait(lambda: run.acquisition.status.channels.n_suspended)
    run.wait_for_samples(len(samples))
    status = run.detector.status()
    assert status.is_dead.tolist() == [False, True, False, False]
    assert status.is_pegged.tolist() == [False, False, True, False]
    counts = run.acquisition.status.channels
    assert (counts.n_dead, counts.n_saturated, counts.n_suspended) == (1, 1, 1)
    amplifier = msgspec.to_builtins(run.acquisition.status)
    assert channel_lines(amplifier["channels"]) == [
        "channels: 1 dead (noise below the floor), 1 saturated, 1 suspended (too many events)"
    ]
    assert status.is_settled, "a pegged channel does not keep the others from being used"
    neurons = {int(n) for batch in run.batches for n in batch.records["neuron"]}
    assert neurons == {1, 4}
