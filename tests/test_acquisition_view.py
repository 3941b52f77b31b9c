"""What an acquisition thread shows while it runs, and the threshold that others may move."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from app.core.acquisition import Acquisition
from app.core.batch_maker import ElectrodeUse
from app.core.clock import monotonic_ns
from app.core.detector import Detector, warm_up
from app.core.detector_settings import DetectorSettings
from app.core.signal_view import SpikeDetails, ThresholdChange
from drivers.mea.protocol import SampleBlock, StreamFormat

LIMIT_S = 20.0
N_BLOCK = 200

pytestmark = pytest.mark.timeout(240)  # it may wait for the compilation


class SpikingAmplifier:
    """Two channels of noise with a spike of 60 uV each in every block."""

    name = "mea"
    stream_format = StreamFormat(("A-000", "A-001"), 20_000.0, 0.2)

    def __init__(self) -> None:
        self._rng = np.random.default_rng(1)
        self._at = 0

    def start(self) -> None: ...
    def stop(self) -> None: ...

    def read_block(self, timeout_s: float) -> SampleBlock:
        threading.Event().wait(0.001)
        samples = self._rng.normal(0.0, 15.0, (N_BLOCK, 2))
        samples[50:53] -= 300.0
        block = SampleBlock(samples.astype(np.int16), self._at, 0, monotonic_ns())
        self._at += N_BLOCK
        return block


def until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"never: {what}"
        threading.Event().wait(0.01)


def test_thresholds_details_and_columns_of_a_running_acquisition() -> None:
    warm_up()
    details: list[SpikeDetails] = []
    failures: list[BaseException] = []
    amplifier = SpikingAmplifier()
    acquisition = Acquisition(
        amplifier,  # type: ignore[arg-type]
        Detector(amplifier.stream_format, DetectorSettings(min_noise_s=0.1)),
        ElectrodeUse({}, {}, 0.02),
        stream=0,
        on_block=lambda _block: None,
        on_batch=lambda _batch: None,
        on_gap=lambda _first, _n: None,
        on_mapping=lambda _mapping: None,
        clock_ns=monotonic_ns,
        on_failure=lambda _name, failure: failures.append(failure),
        on_details=details.append,
    )
    acquisition.start()
    try:
        until(lambda: {0, 1} <= channels(details), "both channels fire")
        until(lambda: acquisition.detector_status.is_settled, "the noise is known")
        assert acquisition.envelopes.n_published > 0
        with pytest.raises(ValueError, match="X-999"):
            acquisition.request_threshold(ThresholdChange(("X-999",), threshold_uv=90.0))
        acquisition.request_threshold(ThresholdChange(("A-001",), threshold_uv=90.0))
        until(lambda: acquisition.detector_status.threshold_uv[1] == 90.0, "it is shown")
        details.clear()
        until(lambda: len(details) > 10, "spikes after the change")
        assert channels(details[3:]) == {0}
        assert not failures
    finally:
        acquisition.request_stop()
        acquisition.join(LIMIT_S)


def channels(details: list[SpikeDetails]) -> set[int]:
    return {int(channel) for batch in list(details) for channel in batch.records["channel"]}
