"""Streams whose truth is known, their cutting into blocks, and what a detector makes of them."""

import itertools
from collections.abc import Sequence

import numpy as np

from app.core.detector import Detector
from app.core.detector_settings import DetectorSettings
from app.core.signal_view import SpikeDetails
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

RATE_HZ = 20_000.0
UV_PER_COUNT = 0.195  # of an Intan RHX
QUICK = {"min_noise_s": 0.1, "noise_refresh_s": 0.2}


def stream(
    n_channels: int, rate_hz: float = RATE_HZ, scale_uv: float = UV_PER_COUNT
) -> StreamFormat:
    return StreamFormat(tuple(f"A-{i:03d}" for i in range(n_channels)), rate_hz, scale_uv)


def noise_uv(seconds: float, n_channels: int, sigma_uv: float = 6.0, seed: int = 1) -> np.ndarray:
    n_samples = round(seconds * RATE_HZ)
    return np.random.default_rng(seed).normal(0.0, sigma_uv, (n_samples, n_channels))


def counts(signal_uv: np.ndarray) -> np.ndarray:
    return np.clip(np.round(signal_uv / UV_PER_COUNT), -32768, 32767).astype(np.int16)


def template(amplitude_uv: float) -> np.ndarray:
    """A biphasic spike of 2.5 ms with its trough at sample 8."""
    t_s = (np.arange(50) - 8) / RATE_HZ
    trough = np.exp(-((t_s / 0.00015) ** 2))
    hump = 0.3 * np.exp(-(((t_s - 0.0005) / 0.0003) ** 2))
    return amplitude_uv * (trough - hump)


def add_spikes(
    signal_uv: np.ndarray, channel: int, troughs: Sequence[int], amplitude_uv: float
) -> None:
    for trough in troughs:
        signal_uv[trough - 8 : trough + 42, channel] += template(amplitude_uv)


def cut(
    samples: np.ndarray,
    edges: Sequence[int] = (),
    marks: Sequence[StimMark] = (),
    gaps: Sequence[tuple[int, int]] = (),
) -> list[SampleBlock]:
    """Cut rows at `edges`; at each gap (row, n_lost) the counter jumps. Marks are given by row."""
    lost_at = {row: n_lost for row, n_lost in gaps if 0 < row < len(samples)}
    rows = sorted({0, len(samples), *edges, *lost_at})
    blocks, n_lost_so_far = [], 0
    for start, stop in itertools.pairwise(rows):
        n_lost = lost_at.get(start, 0)
        n_lost_so_far += n_lost
        own = tuple(
            StimMark(m.sample_index + n_lost_so_far, m.channel, m.amplitude_a)
            for m in marks
            if start <= m.sample_index < stop
        )
        first = start + n_lost_so_far
        blocks.append(SampleBlock(samples[start:stop], first, n_lost, 0, own))
    return blocks


def run(detector: Detector, blocks: Sequence[SampleBlock]) -> np.ndarray:
    return np.concatenate([detector.process(block).spikes for block in blocks])


def flush(blocks: Sequence[SampleBlock]) -> SampleBlock:
    """Return an empty block beyond the end; at the gap before it everything is handed out."""
    return SampleBlock(blocks[-1].samples[:0], blocks[-1].end_sample + 1, 1, 0)


def run_for_details(detector: Detector, blocks: Sequence[SampleBlock]) -> SpikeDetails:
    """Return the details of all spikes."""
    results = [detector.process(block) for block in blocks]
    results.append(detector.process(flush(blocks)))
    return SpikeDetails(
        np.concatenate([r.details.records for r in results]),
        np.concatenate([r.details.snippets_uv for r in results]),
        results[0].details.n_before,
    )


def detect(
    signal_uv: np.ndarray, detector_settings: DetectorSettings, **cutting: Sequence[object]
) -> np.ndarray:
    detector = Detector(stream(signal_uv.shape[1]), detector_settings)
    return run(detector, cut(counts(signal_uv), **cutting))  # type: ignore[arg-type]


def eventful_stream(seed: int) -> np.ndarray:
    """0.6 s of eight channels with everything that may happen to them."""
    rng = np.random.default_rng(seed)
    n_samples = 12_000
    x = rng.normal(0.0, 6.0, (n_samples, 8)) + rng.normal(0.0, 500.0, 8)
    for channel in range(8):
        add_spikes(x, channel, rng.integers(20, n_samples - 50, 40).tolist(), rng.normal(0.0, 90.0))
    for trough in rng.integers(2500, n_samples - 50, 4):
        for channel in range(8):
            add_spikes(x, channel, [int(trough)], -150.0)
    x[:, 6] += 60 * (np.arange(n_samples) // 40 % 2)  # fires at 500 Hz and gets suspended
    start = int(rng.integers(3000, 9000))
    x[start : start + 50, 2] = 20_000.0
    x[start + 50 : start + 52, 3] = -20_000.0
    return counts(x)
