"""Which spikes are found, of those that are known to be there, beside SpikeInterface.

    python -m benchmarks.accuracy [--quick] [--json] [--filters] [--mearec-templates FILE.h5]

Two comparisons per recording. "Same filter and threshold": SpikeInterface's locally_exclusive on
the signal through the same causal filter, against our detector with the same microvolts per
channel. "Defaults": our live detector as it comes, causal and learning its noise, against
SpikeInterface's default band-pass, which runs over the data twice and sees the future, with its own
noise levels. Our events go through the same spatial exclusion (1 ms, 50 um), for the comparison
only; each true spike counts one detection within 1 ms and 60 um, so a second one is false.

The recordings are SpikeInterface's and, where it is installed, MEArec's.

`--filters` prints instead how our detector does with other filters, on the same recordings and on
ones with a field potential and mains hum added.
"""

import statistics
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.detector import Detector, warm_up
from app.core.detector_settings import DetectorSettings
from benchmarks.ground_truth import NOISE_UV, RATE_HZ, Score, Truth, locally_exclusive, make, score
from benchmarks.ground_truth_mearec import make as make_mearec
from benchmarks.report import Goal, Row, parser, publish
from drivers.mea.protocol import SampleBlock

ARRAYS = {60: 20, 256: 60}
"""Electrodes to neurons."""
N_UNITS_OF_FILE = 20
EXCLUSION_UM = 50.0
FILTERS: Mapping[str, tuple[int, tuple[float, float]]] = {
    "2 poles, 300-6000 Hz (default)": (1, (300.0, 6000.0)),
    "2 poles, 300-3000 Hz": (1, (300.0, 3000.0)),
    "2 poles, 100-6000 Hz": (1, (100.0, 6000.0)),
    "2 poles, 200-6000 Hz": (1, (200.0, 6000.0)),
    "2 poles, 500-6000 Hz": (1, (500.0, 6000.0)),
    "4 poles, 300-6000 Hz": (2, (300.0, 6000.0)),
    "4 poles, 300-3000 Hz": (2, (300.0, 3000.0)),
    "8 poles, 300-6000 Hz": (4, (300.0, 6000.0)),
}


def ours(truth: Truth, settings: DetectorSettings) -> Score:
    """Run the live detector in blocks of 1 ms worth of rows, and score its events."""
    detector = Detector(truth.stream_format, settings)
    n_block, end = round(RATE_HZ / 1000), len(truth.samples)
    results = [
        detector.process(SampleBlock(truth.samples[i : i + n_block], i, 0, 0))
        for i in range(0, end, n_block)
    ]
    results.append(detector.process(SampleBlock(truth.samples[:0], end + 1, 1, 0)))
    events = np.concatenate([result.details.records for result in results])
    events = events[np.argsort(events["trough_index"], kind="stable")]
    at, channel = events["trough_index"].astype(np.int64), events["channel"].astype(np.int64)
    size = np.abs(events["amplitude_uv"] / events["threshold_uv"]).astype(np.float64)
    distance_um = np.linalg.norm(truth.position_um[:, None] - truth.position_um[None], axis=2)
    is_kept = locally_exclusive(at, channel, size, distance_um <= EXCLUSION_UM)
    return score(truth, at[is_kept], channel[is_kept])


def theirs(truth: Truth, **filtering: Any) -> tuple[Score, npt.NDArray[np.float64]]:
    """Return SpikeInterface's score and its noise levels in microvolts."""
    from spikeinterface.core import NumpyRecording, get_noise_levels
    from spikeinterface.preprocessing import bandpass_filter
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks

    recording = NumpyRecording([truth.microvolts], RATE_HZ)
    recording.set_dummy_probe_from_locations(truth.position_um)
    filtered = bandpass_filter(recording, dtype="float32", **filtering)
    noise_uv = get_noise_levels(filtered, return_in_uV=False, method="mad", progress_bar=False)
    peaks = detect_peaks(
        filtered,
        method="locally_exclusive",
        method_kwargs={
            "peak_sign": "neg",
            "detect_threshold": 5,
            "exclude_sweep_ms": 1.0,
            "radius_um": EXCLUSION_UM,
            "noise_levels": noise_uv,
        },
        job_kwargs={"n_jobs": 1, "chunk_duration": "1s", "progress_bar": False},
    )
    peaks = peaks[np.argsort(peaks["sample_index"], kind="stable")]
    return score(truth, peaks["sample_index"], peaks["channel_index"]), noise_uv


def compare(truth: Truth) -> dict[str, Score]:
    """Return the four scores of one recording."""
    defaults = DetectorSettings()
    low_hz, high_hz = defaults.band_hz
    same_theirs, noise_uv = theirs(
        truth,
        freq_min=low_hz,
        freq_max=high_hz,
        filter_order=defaults.n_poles_per_edge,
        direction="forward",
    )
    names = truth.stream_format.channel_names
    same = replace(
        defaults,
        threshold_uv={name: 5.0 * float(uv) for name, uv in zip(names, noise_uv, strict=True)},
    )
    return {
        "same, ours": ours(truth, same),
        "same, SpikeInterface": same_theirs,
        "defaults, ours": ours(truth, defaults),
        "defaults, SpikeInterface": theirs(truth)[0],
    }


def row_of(data: str, n_channels: int, seed: int, name: str, found: Score) -> Row:
    return {
        "data": data,
        "channels": n_channels,
        "seed": seed,
        "detector": name,
        "sensitivity": found.sensitivity,
        "precision": found.precision,
        "f1": found.f1,
        "n_found": found.n_found,
    }


def all_truths(
    seeds: range, seconds: float, templates: Path | None, *, is_quick: bool
) -> Iterator[tuple[str, int, Truth]]:
    """Yield the recordings one by one, each with its maker's name and its seed."""
    for seed in seeds:
        for n_channels, n_units in ARRAYS.items():
            yield "SpikeInterface", seed, make(n_channels, n_units, seed, seconds, has_hum=False)
        if templates is not None:
            made = make_mearec(0, N_UNITS_OF_FILE, seed, seconds, templates)
            yield f"MEArec, {templates.name}", seed, made
        elif find_spec("MEArec") is not None:
            for n_channels, n_units in [*ARRAYS.items()][: 1 if is_quick else None]:
                yield "MEArec", seed, make_mearec(n_channels, n_units, seed, seconds, None)


def compare_all(truths: Iterable[tuple[str, int, Truth]], *, as_json: bool) -> int:
    rows: list[Row] = []
    differences: dict[str, list[float]] = {"sensitivity": [], "precision": []}
    advantage = []
    for data, seed, truth in truths:
        scores = compare(truth)
        n_channels = truth.stream_format.n_channels
        rows += [row_of(data, n_channels, seed, name, found) for name, found in scores.items()]
        mine, other = scores["same, ours"], scores["same, SpikeInterface"]
        differences["sensitivity"].append(abs(mine.sensitivity - other.sensitivity))
        differences["precision"].append(abs(mine.precision - other.precision))
        advantage.append(scores["defaults, ours"].f1 - scores["defaults, SpikeInterface"].f1)
    goals = [
        Goal(f"same filter and threshold: {figure} differs by", max(values), 0.005, "lower")
        for figure, values in differences.items()
    ]
    goals.append(
        Goal("defaults: mean F1 beyond SpikeInterface's", statistics.mean(advantage), 0, "higher")
    )
    return publish(rows, goals, as_json=as_json, title=__doc__.splitlines()[0])


def filter_truths(
    seeds: range, seconds: float, templates: Path | None
) -> Iterator[tuple[str, list[Truth]]]:
    """Yield the recordings of each kind of data."""
    pairs = [(sizes, seed) for sizes in ARRAYS.items() for seed in seeds]
    for name, has_hum in (("white noise", False), ("field potential and hum", True)):
        yield name, [make(*sizes, seed, seconds, has_hum=has_hum) for sizes, seed in pairs]
    if templates is not None:
        units = N_UNITS_OF_FILE
        yield "MEArec", [make_mearec(0, units, seed, seconds, templates) for seed in seeds]
    elif find_spec("MEArec") is not None:
        yield "MEArec", [make_mearec(*sizes, seed, seconds, None) for sizes, seed in pairs]


def compare_filters(kinds: Iterable[tuple[str, list[Truth]]], *, as_json: bool) -> int:
    rows: list[Row] = []
    for data, truths in kinds:
        for name, (n_poles, band_hz) in FILTERS.items():
            settings = DetectorSettings(n_poles_per_edge=n_poles, band_hz=band_hz)
            scores = [ours(truth, settings) for truth in truths]
            rows.append(
                {
                    "data": data,
                    "filter": name,
                    "sensitivity": statistics.mean(s.sensitivity for s in scores),
                    "precision": statistics.mean(s.precision for s in scores),
                    "f1": statistics.mean(s.f1 for s in scores),
                    "worst_f1": min(s.f1 for s in scores),
                }
            )
    return publish(rows, [], as_json=as_json, title=f"Filters, noise of {NOISE_UV} uV")


def main() -> int:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--filters", action="store_true", help="compare filters instead")
    options.add_argument(
        "--mearec-templates", type=Path, help="of simulated cells, made by `mearec gen-templates`"
    )
    arguments = options.parse_args()
    warnings.filterwarnings("ignore")
    warm_up()
    seeds, seconds = (range(1), 8.0) if arguments.quick else (range(3), 30.0)
    templates, is_quick = arguments.mearec_templates, arguments.quick
    if arguments.filters:
        kinds = filter_truths(seeds, seconds, templates)
        return compare_filters(kinds, as_json=arguments.json)
    truths = all_truths(seeds, seconds, templates, is_quick=is_quick)
    return compare_all(truths, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
