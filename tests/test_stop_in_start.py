"""An emergency stop that comes while the amplifier is just being started: it stands."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from fake_rhx import FakeRhx

from app.core.acquisition import Acquisition
from app.core.batch_maker import ElectrodeUse
from app.core.clock import monotonic_ns
from app.core.detector import Detector, DetectorSettings, warm_up
from drivers.errors import SafetyLimitError
from drivers.mea.intan_rhx.driver import IntanRhx
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.protocol import CurrentPulse, Pattern, SampleBlock, StreamFormat
from drivers.permit import Permit, Stimulate
from drivers.safe_state import SafeReport, SafeState

LIMIT_S = 10.0


class Amplifier:
    """Its `start` lasts until the test lets it end."""

    name = "mea"
    stream_format = StreamFormat(("A-000",), 20_000.0, 0.195)

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.starting = threading.Event()
        self.may_start = threading.Event()
        self.may_start.set()

    def open(self) -> None: ...
    def close(self) -> None: ...
    def prepare(self, patterns: Sequence[Pattern]) -> None: ...

    def start(self) -> None:
        self.starting.set()
        assert self.may_start.wait(LIMIT_S)
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def read_block(self, timeout_s: float) -> SampleBlock | None:
        threading.Event().wait(min(timeout_s, 0.01))
        samples = np.zeros((20, 1), np.int16)
        return SampleBlock(samples, 0, -1, monotonic_ns())

    def stimulate(self, permit: Permit) -> int:
        raise NotImplementedError

    def make_safe(self) -> SafeReport:
        return SafeReport(self.name, SafeState.CONFIRMED, "test")


def acquisition_of(amplifier: Amplifier, failures: list[BaseException]) -> Acquisition:
    warm_up()
    return Acquisition(
        amplifier,
        Detector(amplifier.stream_format, DetectorSettings()),
        ElectrodeUse({0: 1}, {}, 0.0),
        stream=0,
        on_block=lambda _block: None,
        on_batch=lambda _batch: None,
        on_gap=lambda _first, _n: None,
        on_mapping=lambda _mapping: None,
        clock_ns=monotonic_ns,
        on_failure=lambda _name, exc: failures.append(exc),
    )


def test_a_stop_during_a_restart_stops_what_was_started() -> None:
    amplifier, failures = Amplifier(), []
    acquisition = acquisition_of(amplifier, failures)
    acquisition.suspend()
    amplifier.may_start.clear()
    acquisition.request_restart()
    thread = threading.Thread(target=acquisition.step)
    thread.start()
    assert amplifier.starting.wait(LIMIT_S)
    acquisition.suspend()  # the stop
    amplifier.may_start.set()
    thread.join(LIMIT_S)
    assert amplifier.calls == ["start", "stop"]
    assert acquisition.is_suspended
    acquisition.stop_requested.set()
    acquisition.step()
    assert amplifier.calls == ["start", "stop"], "and it stays stopped"


def test_a_stop_takes_back_a_restart_that_has_not_begun() -> None:
    amplifier, failures = Amplifier(), []
    acquisition = acquisition_of(amplifier, failures)
    acquisition.suspend()
    acquisition.request_restart()
    acquisition.suspend()
    acquisition.stop_requested.set()
    acquisition.step()
    assert amplifier.calls == []
    assert acquisition.is_suspended


def test_a_driver_that_is_made_safe_while_it_starts_stimulates_nothing() -> None:
    server = FakeRhx(3)
    settings = IntanRhxSettings(
        host="127.0.0.1",
        command_port=server.command_port,
        waveform_port=server.waveform_port,
        channels=("A-000", "A-001"),
        stim_channels=("A-001",),
        idle_gap_s=0.01,
        start_timeout_s=LIMIT_S,
    )
    driver = IntanRhx("mea", settings)
    pulse = CurrentPulse(2e-6, 200e-6, 2e-6, 200e-6)
    try:
        driver.open()
        driver.prepare([Pattern(1, ("A-001",), pulse)])
        server.sends_waveforms = False
        thread = threading.Thread(target=driver.start)
        thread.start()
        assert server.was_run.wait(LIMIT_S)
        report = driver.make_safe()
        thread.join(LIMIT_S / 2)
        assert not thread.is_alive(), "the start gave up instead of waiting for samples"
        assert report.state in (SafeState.CONFIRMED, SafeState.SENT)
        permit = Permit(
            instrument="mea",
            action=Stimulate(1),
            number=1,
            expires_ns=1,
            is_tripped=lambda: False,
            clock_ns=lambda: 0,
        )
        with pytest.raises(SafetyLimitError, match="made safe"):
            driver.stimulate(permit)
        assert server.triggers == []
    finally:
        driver.close()
        server.close()
