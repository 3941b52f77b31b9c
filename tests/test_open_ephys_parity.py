"""Our detector beside the Open Ephys GUI's on the GUI's own recording.

The GUI's Spike Detector (node 104 of the recording, behind its band-pass of 300 to 6000 Hz) fires
on the first sample below -50 uV on any channel of a stereotrode, walks down to the trough, and is
deaf until 33 samples behind it. That rule is applied here to what our detector hands out: crossings
and snippets of each channel, from the unfiltered node 101 through our own filter. The comparison is
with the spikes that Record Node 105 wrote.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from app.core.detector import Detector
from app.core.detector_settings import DetectorSettings
from app.core.signal_view import SpikeDetails
from drivers.mea.protocol import SampleBlock, StreamFormat

DATA = Path(os.environ.get("SPIKEBRIDGE_TEST_DATA", Path(__file__).parents[2] / "shared/data"))
RECORDING = DATA / "open-ephys-16ch"
THRESHOLD_UV = 50.0
MAX_WALK, DEAF = 32, 33
TOLERANCE = 8  # samples; 0.2 ms

pytestmark = [
    pytest.mark.timeout(240),  # the first test waits for the compilation
    pytest.mark.skipif(
        not RECORDING.is_dir(),
        reason=f"no recording at {RECORDING}; SPIKEBRIDGE_TEST_DATA says where it is",
    ),
]


def unfiltered() -> tuple[np.ndarray, StreamFormat, int]:
    folder = RECORDING / "Record Node 101/experiment1/recording1"
    entry = json.loads((folder / "structure.oebin").read_text())["continuous"][0]
    data = folder / "continuous" / entry["folder_name"]
    samples = np.fromfile(data / "continuous.dat", "<i2").reshape(-1, entry["num_channels"])
    names = tuple(c["channel_name"] for c in entry["channels"])
    scale_uv = entry["channels"][0]["bit_volts"]
    first = int(np.load(data / "sample_numbers.npy")[0])
    return samples, StreamFormat(names, float(entry["sample_rate"]), scale_uv), first


def spikes_of_the_gui(electrode: int) -> np.ndarray:
    folder = next((RECORDING / "Record Node 105/experiment1/recording1/spikes").iterdir())
    return np.load(folder / f"Stereotrode {electrode}" / "sample_numbers.npy")


def every_crossing(samples: np.ndarray, stream_format: StreamFormat, first: int) -> SpikeDetails:
    settings = DetectorSettings(
        n_poles_per_edge=2,
        threshold_uv=dict.fromkeys(stream_format.channel_names, THRESHOLD_UV),
        dead_time_s=1 / stream_format.sample_rate_hz,
        coincidence_window_s=0.0,
        trough_window_s=MAX_WALK / stream_format.sample_rate_hz,
        snippet_before_s=0.002,
        snippet_after_s=0.004,
        min_noise_s=0.05,
        max_rate_hz=1e6,
    )
    detector = Detector(stream_format, settings)
    results = [
        detector.process(SampleBlock(samples[i : i + 400], first + i, 0, 0))
        for i in range(0, len(samples), 400)
    ]
    end = first + len(samples)
    results.append(detector.process(SampleBlock(samples[:0], end + 1, 1, 0)))
    return SpikeDetails(
        np.concatenate([result.details.records for result in results]),
        np.concatenate([result.details.snippets_uv for result in results]),
        results[0].details.n_before,
    )


def troughs_by_the_rule(details: SpikeDetails, electrode: int) -> np.ndarray:
    """Apply the rule of the GUI to the crossings on one stereotrode's two channels."""
    waves = []
    for record, snippet_uv in zip(details.records, details.snippets_uv, strict=True):
        if record["channel"] // 2 == electrode - 1:
            start = int(record["sample_index"])
            at = start - (int(record["trough_index"]) - details.n_before)
            is_above = ~(snippet_uv[at:] < -THRESHOLD_UV)
            end = start + (int(np.argmax(is_above)) if is_above.any() else len(is_above))
            waves.append((start, end, int(record["channel"]), snippet_uv[at:]))
    troughs = []
    listens_from = 0
    while True:
        heard = [
            (max(start, listens_from), channel, start, wave)
            for start, end, channel, wave in waves
            if end > listens_from
        ]
        if not heard:
            return np.array(troughs)
        fires, _, start, wave = min(heard, key=lambda h: h[:2])
        at = fires - start
        stop = min(at + MAX_WALK, len(wave) - 1)
        while at < stop and wave[at + 1] < wave[at]:
            at += 1
        troughs.append(start + at)
        listens_from = start + at + DEAF


def test_spikes_are_those_of_the_open_ephys_gui() -> None:
    samples, stream_format, first = unfiltered()
    details = every_crossing(samples, stream_format, first)
    begin, end = first + 8000, first + len(samples) - 300
    n_theirs = n_identical = n_near = n_extra = 0
    for electrode in range(1, 9):
        theirs = spikes_of_the_gui(electrode)
        ours = troughs_by_the_rule(details, electrode)
        distance = np.abs(ours[:, None] - theirs[None, :])
        nearest_ours, nearest_theirs = distance.min(axis=0), distance.min(axis=1)
        is_covered = (theirs >= begin) & (theirs < end)
        n_theirs += is_covered.sum()
        n_identical += (nearest_ours[is_covered] == 0).sum()
        n_near += (nearest_ours[is_covered] <= TOLERANCE).sum()
        is_ours = (ours >= begin) & (ours < end)
        n_extra += (nearest_theirs[is_ours] > TOLERANCE).sum()
    assert n_theirs > 900
    assert n_identical >= 0.96 * n_theirs
    assert n_near >= 0.99 * n_theirs
    assert n_extra <= 0.02 * n_theirs
