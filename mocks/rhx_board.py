"""The simulated RHS controller board: culture in, blocks of bytes for both data sockets out.

Latency: a trigger takes effect in the block being generated next, at the sample that
corresponds to the moment it was received, if that sample lies in this block, else at the block's
nearer end. The board is not thread-safe and never waits.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mocks.culture import Culture
from mocks.rhx_detector import SpikeDetector
from mocks.rhx_filter import bessel2_high_pass, bessel2_low_pass
from mocks.rhx_impedance import Electrodes, actual_frequency_hz
from mocks.rhx_parameters import ParameterSet, channel_parameters, global_parameters
from mocks.rhx_stim import Stimulator
from mocks.rhx_streams import (
    N_FRAMES,
    STIM_AMP_SETTLE,
    STIM_NEGATIVE,
    Columns,
    amplifier_words,
    dc_words,
    spike_record,
    waveform_block,
)

ELECTRODE_OHM = 100e3
_SATURATION_UV = 32768 * 0.195
_BAND_EDGE_HZ = 250.0
_OUTPUT_PARAMETERS = {
    "wide": "TCPDataOutputEnabled",
    "low": "TCPDataOutputEnabledLow",
    "high": "TCPDataOutputEnabledHigh",
    "dc": "TCPDataOutputEnabledDC",
    "stim": "TCPDataOutputEnabledStim",
    "spike": "TCPDataOutputEnabledSpike",
}


@dataclass(frozen=True, slots=True)
class BoardBlock:
    """What one block of 128 samples puts on the data sockets; empty where nothing is due."""

    waveform: bytes
    spikes: bytes


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the board: its number from 1, and where it began in the culture's time."""

    number: int
    first_sample: int


class RhxBoard:
    """Runs the culture, filters, detector and stimulator block by block."""

    def __init__(
        self,
        culture: Culture,
        step_a: float,
        clock_ns: Callable[[], int],
        electrodes: Electrodes | None = None,
    ) -> None:
        self.culture = culture
        self.electrodes = electrodes or Electrodes(culture.settings.layout.names, seed=1)
        self.names = culture.settings.layout.names
        self.sample_rate_hz = culture.settings.sample_rate_hz
        self.step_a = step_a
        self.parameters = ParameterSet(global_parameters(self.sample_rate_hz, f"{step_a * 1e6:g}"))
        self.channels = [ParameterSet(channel_parameters(name)) for name in self.names]
        n = len(self.names)
        self.stimulator = Stimulator(n, step_a)
        self.runs: list[Run] = []
        self.mode = "stop"
        self.next_timestamp = 0
        self._clock_ns = clock_ns
        self.stopped_ns = 0
        """When the newest run ended; 0: none has."""
        self._start_ns = 0
        self._high_pass = bessel2_high_pass(_BAND_EDGE_HZ, self.sample_rate_hz, n)
        self._low_pass = bessel2_low_pass(_BAND_EDGE_HZ, self.sample_rate_hz, n)
        self._detector = SpikeDetector(n, N_FRAMES)
        self.note_changed_outputs()

    def note_changed_outputs(self) -> None:
        """Read the enabled outputs and thresholds again before the next block."""
        self._is_stale = True

    def _refresh(self) -> None:
        self._is_stale = False
        self._columns = Columns(len(self.names), self._is_enabled)
        self._is_spike = np.array(
            [self._is_enabled(i, "spike") for i in range(len(self.names))], dtype=np.bool_
        )
        self._threshold_uv = np.array(
            [p.number("SpikeThresholdMicroVolts") for p in self.channels], dtype=np.float64
        )

    def _is_enabled(self, channel: int, signal: str) -> bool:
        return self.channels[channel].is_true(_OUTPUT_PARAMETERS[signal])

    def clear_outputs(self) -> None:
        """Disable every output of every channel."""
        for channel in self.channels:
            for name in _OUTPUT_PARAMETERS.values():
                channel.put(name, "False")
        self.note_changed_outputs()

    def impedance_hz(self) -> float:
        """Return at which frequency impedances would be measured now; 0: at none."""
        number = self.parameters.number
        return actual_frequency_hz(
            number("DesiredImpedanceFreqHertz"),
            self.sample_rate_hz,
            number("DesiredUpperBandwidthHertz"),
        )

    @property
    def is_running(self) -> bool:
        """Return whether samples are being taken, recorded or not."""
        return self.mode != "stop"

    @property
    def stream_s(self) -> float:
        """Return the seconds of stream generated in the present run."""
        return self.next_timestamp / self.sample_rate_hz

    def start(self, mode: str = "run") -> None:
        """Begin a run at timestamp 0, mode run, record or trigger; filters begin at rest."""
        self.culture.skip(round(self.sample_rate_hz))
        self.runs.append(Run(len(self.runs) + 1, self.culture.n_samples))
        self.next_timestamp = 0
        self._start_ns = self._clock_ns()
        self._high_pass.reset()
        self._low_pass.reset()
        self._detector.reset()
        self.mode = mode

    def stop(self) -> None:
        """End the run; pulses still to come are not delivered."""
        if self.is_running:
            self.stopped_ns = self._clock_ns()
        self.mode = "stop"
        self.stimulator.reset()

    def lose(self, n_samples: int) -> None:
        """Jump ahead by samples that never reach the host."""
        self.next_timestamp += n_samples
        self.culture.skip(n_samples)

    def due_ns(self) -> int:
        """Return when the next block is complete, by the clock the board was given."""
        n_samples = self.next_timestamp + N_FRAMES
        return self._start_ns + round(n_samples * 1e9 / self.sample_rate_hz)

    def press(self, key: str) -> None:
        """Raise a key's line now; nothing happens while the board is stopped."""
        if self.is_running:
            self.stimulator.press(key, self._sample_now())

    def release(self, key: str) -> None:
        """Drop a key's line now; nothing happens while the board is stopped."""
        if self.is_running:
            self.stimulator.release(key, self._sample_now())

    def _sample_now(self) -> int:
        elapsed = int((self._clock_ns() - self._start_ns) * self.sample_rate_hz / 1e9)
        return min(max(elapsed, self.next_timestamp), self.next_timestamp + N_FRAMES - 1)

    def make_block(self, waveform_magic: int, spike_magic: int) -> BoardBlock:
        """Generate the next 128 samples."""
        if self._is_stale:
            self._refresh()
        first = self.next_timestamp
        offset = self.runs[-1].first_sample
        pulses = self.stimulator.take_pulses(first, N_FRAMES)
        signal_uv = self.culture.step(
            [replace(pulse, first_sample=pulse.first_sample + offset) for pulse in pulses]
        )
        stim = self.stimulator.words(first, N_FRAMES)
        np.clip(signal_uv, -_SATURATION_UV, _SATURATION_UV, out=signal_uv)
        signal_uv[(stim & STIM_AMP_SETTLE) != 0] = 0.0
        high_uv = self._high_band(signal_uv)
        self.next_timestamp = first + N_FRAMES
        return BoardBlock(
            waveform=self._waveform(first, signal_uv, high_uv, stim, waveform_magic),
            spikes=self._spikes(first, high_uv, spike_magic),
        )

    def _high_band(self, signal_uv: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the high-pass band; nothing where nobody looks at it, for it costs most."""
        if "high" in self._columns.signals or self._is_spike.any():
            return self._high_pass.block(signal_uv)
        self._high_pass.reset()
        return np.zeros((0, len(self.names)))

    def _waveform(
        self,
        first: int,
        wide_uv: NDArray[np.float32],
        high_uv: NDArray[np.float64],
        stim: NDArray[np.uint16],
        magic: int,
    ) -> bytes:
        if not self._columns.order and not self._is_spike.any():
            return b""
        signals = {"stim": stim}
        wanted = self._columns.signals
        if "wide" in wanted:
            signals["wide"] = amplifier_words(wide_uv)
        if "high" in wanted:
            signals["high"] = amplifier_words(high_uv)
        if "low" in wanted:
            signals["low"] = amplifier_words(self._low_pass.block(wide_uv))
        if "dc" in wanted:
            signals["dc"] = dc_words(self._electrode_v(stim))
        return waveform_block(first, self._columns.words(signals), magic)

    def _electrode_v(self, stim: NDArray[np.uint16]) -> NDArray[np.float64]:
        sign = np.where(stim & STIM_NEGATIVE, -1.0, 1.0)
        return np.asarray(sign * (stim & 0xFF) * self.step_a * ELECTRODE_OHM, dtype=np.float64)

    def _spikes(self, first: int, high_uv: NDArray[np.float64], magic: int) -> bytes:
        if not self._is_spike.any():
            return b""
        suppresses = self.parameters.is_true("ArtifactSuppressionEnabled")
        artefact_uv = self.parameters.number("ArtifactSuppressionThresholdMicroVolts")
        found = self._detector.block(
            high_uv,
            first,
            self._threshold_uv,
            self._is_spike,
            artefact_uv if suppresses else np.inf,
        )
        return b"".join(
            spike_record(self.names[s.channel], s.sample_index, s.spike_id, magic) for s in found
        )

    def measure_thresholds(self) -> None:
        """Set thresholds from the RMS of 3 s of signal, if relative thresholds are chosen.

        One-shot and negative, as in RHX. The culture lives through these 3 s.
        """
        if self.parameters.is_true("AbsoluteThresholdsEnabled"):
            return
        self._high_pass.reset()
        n_blocks = round(3 * self.sample_rate_hz / N_FRAMES)
        square = np.zeros(len(self.names))
        for _ in range(n_blocks):
            square += (self._high_pass.block(self.culture.step()) ** 2).mean(axis=0)
        multiple = self.parameters.number("RmsMultipleThreshold")
        for channel, rms_uv in zip(self.channels, np.sqrt(square / n_blocks), strict=True):
            channel.put("SpikeThresholdMicroVolts", str(round(-multiple * rms_uv)))
        self.note_changed_outputs()
