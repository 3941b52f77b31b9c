"""What `detect` leaves behind: a sorting that SpikeInterface reads, tables, and a summary."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.config.load import ConfigError
from app.detect.scan import Found
from drivers.mea.playback.recording import Recording

SORTING, SPIKES, CHANNELS = "sorting", "spikes.csv", "channels.csv"
SUMMARY, FIGURE = "summary.json", "summary.png"
SPIKE_VECTOR = np.dtype([("sample_index", "<i8"), ("unit_index", "<i8"), ("segment_index", "<i8")])
"""One spike of a SpikeInterface sorting (its `minimum_spike_dtype`)."""
WHAT_IT_IS = {
    "class": "spikeinterface.core.sortingfolder.NumpyFolderSorting",
    "module": "spikeinterface",
    "version": "0.105.3",
    "kwargs": {"folder_path": ".", "mmap_mode": None},
    "annotations": {},
    "properties": {},
    "relative_paths": True,
}
"""With this beside them `spikeinterface.load` knows the files for what they are."""


def prepare_folder(out: Path, *, is_overwriting: bool) -> None:
    """Make the folder. Raises `ConfigError` where results of an earlier run would be lost."""
    if (out / SUMMARY).exists() and not is_overwriting:
        raise ConfigError(
            f"{out} holds the results of an earlier run; name another folder with --out, or "
            "replace them with --overwrite"
        )
    try:
        (out / SORTING).mkdir(parents=True, exist_ok=True)
        (out / SUMMARY).unlink(missing_ok=True)
    except OSError as exc:
        raise ConfigError(f"{out}: cannot be written: {exc}") from exc


def write_sorting(folder: Path, recording: Recording, found: Found) -> None:
    """Write a numpy sorting folder: one unit per channel, its spikes at their troughs.

    Artefacts are left out; `spikes.csv` has them, marked. Source of the layout: SpikeInterface
    0.105, `NumpyFolderSorting`.
    """
    is_spike = ~found.is_artefact
    spikes = np.zeros(int(is_spike.sum()), SPIKE_VECTOR)
    spikes["sample_index"] = found.trough_rows[is_spike]
    spikes["unit_index"] = found.spikes["channel"][is_spike]
    spikes.sort(order=("sample_index", "unit_index"))
    np.save(folder / "spikes.npy", spikes)
    info = {
        "sampling_frequency": recording.stream_format.sample_rate_hz,
        "unit_ids": list(recording.stream_format.channel_names),
        "num_segments": 1,
    }
    (folder / "numpysorting_info.json").write_text(json.dumps(info), encoding="utf-8")
    (folder / "si_folder.json").write_text(json.dumps(WHAT_IT_IS), encoding="utf-8")


def write_spikes(path: Path, recording: Recording, found: Found) -> None:
    """Write every spike as a row of a table; samples count the rows of the recording from 0."""
    names = recording.stream_format.channel_names
    rate_hz = recording.stream_format.sample_rate_hz
    columns = zip(
        found.trough_rows.tolist(),
        found.spikes["channel"].tolist(),
        found.spikes["sample_index"].tolist(),
        found.spikes["amplitude_uv"].tolist(),
        found.spikes["threshold_uv"].tolist(),
        found.spikes["sigma_uv"].tolist(),
        found.is_artefact.tolist(),
        strict=True,
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            ("time_s", "channel", "trough_sample", "crossing_sample", "amplitude_uv",
             "threshold_uv", "sigma_uv", "is_artefact")
        )  # fmt: skip
        table.writerows(
            (f"{trough / rate_hz:.6f}", names[channel], trough, crossing, f"{amplitude:.2f}",
             f"{threshold:.2f}", f"{sigma:.3f}", int(is_artefact))
            for trough, channel, crossing, amplitude, threshold, sigma, is_artefact in columns
        )  # fmt: skip


def write_channels(
    path: Path,
    recording: Recording,
    found: Found,
    positions_um: npt.NDArray[np.float64] | None,
) -> None:
    """Write what was found on each channel as a row of a table."""
    names, status = recording.stream_format.channel_names, found.status
    n_spikes, rate_hz = spikes_per_channel(recording, found), recording.stream_format.sample_rate_hz
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            ("channel", "x_um", "y_um", "n_spikes", "rate_hz", "sigma_uv", "threshold_uv",
             "n_suspensions", "blanked_s", "is_bad", "is_dead", "is_pegged")
        )  # fmt: skip
        for c, name in enumerate(names):
            place = ("", "") if positions_um is None else tuple(positions_um[c].tolist())
            table.writerow(
                (name, *place, n_spikes[c], f"{n_spikes[c] / recording.duration_s:.4f}",
                 f"{status.sigma_uv[c]:.3f}", f"{status.threshold_uv[c]:.2f}",
                 found.n_suspensions[c], f"{found.n_blanked[c] / rate_hz:.4f}",
                 int(status.is_bad[c]), int(status.is_dead[c]), int(status.is_pegged[c]))
            )  # fmt: skip


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write the summary; last, because its presence says that the results are whole."""
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def spikes_per_channel(recording: Recording, found: Found) -> npt.NDArray[np.int64]:
    """Return how many spikes each channel has, artefacts not counted."""
    counts: npt.NDArray[np.int64] = np.bincount(
        found.spikes["channel"][~found.is_artefact],
        minlength=recording.stream_format.n_channels,
    )
    return counts
