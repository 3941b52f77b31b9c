"""How fast spikes are found, beside one read pass over the same bytes and beside SpikeInterface.

    python -m benchmarks.detection [--quick] [--json]

The detector is the live one with everything it does: filter, noise, search, veto, snippets,
envelope columns, called from Python block by block. The stream is a gigabyte of int16 at 20 kHz
with 8 spikes per second and channel (with --quick an eighth of it), cut into segments; each
segment is read once, detected in blocks of 1, 5 and 50 ms, and taken by SpikeInterface, in turns.
SpikeInterface filters with the same causal filter, runs in one process on chunks of 1 s, is given
the noise levels, and makes no snippets.

Times are processor times of this process, so that other work on the machine lengthens none of
them. A ratio is the median over the segments.
"""

import os
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numba as nb
import numpy as np
import numpy.typing as npt

from app.core.detector import Detector, warm_up
from app.core.detector_settings import DetectorSettings
from benchmarks.report import Goal, Row, parser, publish
from drivers.mea.protocol import SampleBlock, StreamFormat

RATE_HZ = 20_000.0
UV_PER_COUNT = 0.195
NOISE_UV, SPIKE_UV, SPIKES_HZ = 5.0, 80.0, 8.0
N_CHANNELS = (64, 256, 1024, 4096)
BLOCKS_MS = (1, 5, 50)
SEGMENT_BYTES = 1 << 26
N_SEGMENTS = {"full": 16, "quick": 2}
N_BLOCKS_WATCHED = 500


@nb.njit(nogil=True)
def read_pass(samples: npt.NDArray[np.int16]) -> int:
    """Sum up, which a compiler turns into the fastest reading there is."""
    total = np.int64(0)
    for i in range(samples.shape[0]):
        row, row_total = samples[i], np.int32(0)
        for c in range(row.shape[0]):
            row_total += row[c]
        total += row_total
    return total


def synthetic(n_samples: int, n_channels: int) -> npt.NDArray[np.int16]:
    """Return noise with spikes; beyond some seconds it repeats itself in memory."""
    rng = np.random.default_rng(n_channels)
    n_own = min(n_samples, (1 << 23) // n_channels)
    signal = rng.standard_normal((n_own, n_channels), np.float32) * np.float32(NOISE_UV)
    n_spikes = round(SPIKES_HZ * n_channels * n_own / RATE_HZ)
    at, channel = rng.integers(0, n_own - 20, n_spikes), rng.integers(0, n_channels, n_spikes)
    for k in range(20):
        shape = np.exp(-(((k - 5) / 3) ** 2)) - 0.4 * np.exp(-(((k - 13) / 4) ** 2))
        signal[at + k, channel] -= np.float32(SPIKE_UV * shape)
    own = np.rint(signal / np.float32(UV_PER_COUNT)).astype(np.int16)
    samples = np.empty((n_samples, n_channels), np.int16)
    for start in range(0, n_samples, n_own):
        samples[start : start + n_own] = own[: n_samples - start]
    samples.flags.writeable = False
    return samples


def processor_s(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


class Stream:
    """A detector fed in blocks of one length, as an acquisition thread does it."""

    def __init__(self, n_channels: int, block_ms: int) -> None:
        names = tuple(f"c{i}" for i in range(n_channels))
        self.detector = Detector(StreamFormat(names, RATE_HZ, UV_PER_COUNT), DetectorSettings())
        self.n_rows = round(block_ms * RATE_HZ / 1000)
        self.at = 0
        self.n_spikes = 0

    def blocks(self, samples: npt.NDArray[np.int16]) -> list[SampleBlock]:
        """Cut beforehand: making blocks is the driver's work."""
        starts = range(0, len(samples), self.n_rows)
        cut = [SampleBlock(samples[i : i + self.n_rows], self.at + i, 0, 0) for i in starts]
        self.at += len(samples)
        return cut

    def run(self, blocks: list[SampleBlock]) -> None:
        process = self.detector.process
        for block in blocks:
            self.n_spikes += len(process(block).spikes)


def spikeinterface_run(samples: npt.NDArray[np.int16]) -> Callable[[], object]:
    """Return SpikeInterface's band-pass and peak detection, ready to run on a segment."""
    from spikeinterface.core import NumpyRecording
    from spikeinterface.preprocessing import bandpass_filter
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks

    n_channels = samples.shape[1]
    recording = NumpyRecording([samples], RATE_HZ)
    side = int(np.ceil(np.sqrt(n_channels)))
    grid = np.stack(np.divmod(np.arange(n_channels), side), axis=1) * 40.0
    recording.set_dummy_probe_from_locations(grid)
    band = DetectorSettings().band_hz
    filtered = bandpass_filter(recording, *band, filter_order=1, direction="forward")
    return lambda: detect_peaks(
        filtered,
        method="locally_exclusive",
        method_kwargs={
            "peak_sign": "neg",
            "detect_threshold": 5,
            "exclude_sweep_ms": 1.0,
            "radius_um": 50,
            "noise_levels": np.full(n_channels, NOISE_UV / UV_PER_COUNT),
        },
        job_kwargs={"n_jobs": 1, "chunk_duration": "1s", "progress_bar": False},
    )


@dataclass(slots=True)
class Times:
    """Nanoseconds per sample of one channel, a value per segment."""

    read: list[float] = field(default_factory=list)
    ours: dict[int, list[float]] = field(default_factory=lambda: {ms: [] for ms in BLOCKS_MS})
    theirs: list[float] = field(default_factory=list)
    spikes_hz: float = 0.0

    def over_read(self, block_ms: int) -> float:
        pairs = zip(self.ours[block_ms], self.read, strict=True)
        return statistics.median(ours / read for ours, read in pairs)

    def over_theirs(self, block_ms: int) -> float:
        pairs = zip(self.ours[block_ms], self.theirs, strict=True)
        return statistics.median(theirs / ours for ours, theirs in pairs)


def measure(n_channels: int, n_segments: int) -> Times:
    n_rows = SEGMENT_BYTES // (2 * n_channels) // 1000 * 1000
    whole = synthetic(n_rows * n_segments, n_channels)
    streams = {ms: Stream(n_channels, ms) for ms in BLOCKS_MS}
    learnt = synthetic(round(1.2 * RATE_HZ), n_channels)
    for stream in streams.values():
        stream.run(stream.blocks(learnt))
        stream.n_spikes = 0
    spikeinterface_run(whole[: round(RATE_HZ)])()  # compiles
    times, to_ns = Times(), 1e9 / (n_rows * n_channels)
    for k in range(n_segments):
        segment = whole[k * n_rows : (k + 1) * n_rows]
        times.read.append(processor_s(lambda s=segment: read_pass(s)) * to_ns)
        for ms, stream in streams.items():
            blocks = stream.blocks(segment)
            times.ours[ms].append(processor_s(lambda s=stream, b=blocks: s.run(b)) * to_ns)
        times.theirs.append(processor_s(spikeinterface_run(segment)) * to_ns)
    seconds = n_rows * n_segments / RATE_HZ
    times.spikes_hz = streams[1].n_spikes / seconds / n_channels
    return times


def bytes_beyond_results(n_channels: int) -> int:
    """Return the most that a block allocated besides what it handed out."""
    stream = Stream(n_channels, 1)
    stream.run(stream.blocks(synthetic(round(1.2 * RATE_HZ), n_channels)))
    blocks = stream.blocks(synthetic(20 * N_BLOCKS_WATCHED, n_channels))
    most = 0
    tracemalloc.start()
    for block in blocks:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = stream.detector.process(block)
        peak = tracemalloc.get_traced_memory()[1]
        details = result.details
        handed = result.spikes.nbytes + details.records.nbytes + details.snippets_uv.nbytes
        most = max(most, peak - before - handed)
    tracemalloc.stop()
    return most


def main() -> int:
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warm_up()
    read_pass(synthetic(20, 2))
    n_segments = N_SEGMENTS["quick" if arguments.quick else "full"]
    rows: list[Row] = []
    times = {}
    for n_channels in N_CHANNELS:
        times[n_channels] = t = measure(n_channels, n_segments)
        for ms in BLOCKS_MS:
            ours_ns = statistics.median(t.ours[ms])
            n_samples = ms * RATE_HZ / 1000 * n_channels
            rows.append(
                {
                    "channels": n_channels,
                    "block_ms": ms,
                    "ns_per_sample": ours_ns,
                    "us_per_block": ours_ns * n_samples / 1000,
                    "times_real_time": ms * 1e6 / (ours_ns * n_samples),
                    "read_ns": statistics.median(t.read),
                    "over_read": t.over_read(ms),
                    "spikeinterface_ns": statistics.median(t.theirs),
                    "over_spikeinterface": t.over_theirs(ms),
                    "spikes_hz": t.spikes_hz,
                }
            )
    allocated = bytes_beyond_results(1024)
    goals = [
        Goal("1024 channels, 1 ms: times a read pass", times[1024].over_read(1), 12, "lower"),
        Goal("(stretch) the same", times[1024].over_read(1), 6, "lower"),
        Goal(
            "256 channels, 50 ms: SpikeInterface's time", times[256].over_theirs(50), 20, "higher"
        ),
        Goal("256 channels, 1 ms: SpikeInterface's time", times[256].over_theirs(1), 10, "higher"),
        Goal("1024 channels, 1 ms: bytes beyond the results", allocated, 4096, "lower"),
    ]
    return publish(rows, goals, as_json=arguments.json, title=__doc__.splitlines()[0])


if __name__ == "__main__":
    sys.exit(main())
