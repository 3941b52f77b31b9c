"""Recordings for tests: noise with spikes whose places are known, in several formats."""

import json
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE_HZ = 20_000.0
STEP_UV = 0.2
SPIKE_UV = 150.0
NOISE_UV = 5.0


@dataclass(frozen=True, slots=True)
class Truth:
    """Samples `(n_samples, n_channels)` and, per channel, the troughs of its spikes."""

    samples: np.ndarray
    troughs: tuple[np.ndarray, ...]


def spiking(n_channels: int = 4, seconds: float = 2.0, seed: int = 1, n_spikes: int = 20) -> Truth:
    """Return channels that fire at different, well separated times."""
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * RATE_HZ)
    signal_uv = rng.normal(0.0, NOISE_UV, (n_samples, n_channels))
    time_s = np.arange(-10, 30) / RATE_HZ
    shape = -SPIKE_UV * np.exp(-0.5 * (time_s / 1e-4) ** 2)
    spacing = n_samples // (n_spikes * n_channels + 1)
    troughs = []
    for channel in range(n_channels):
        places = spacing * (np.arange(n_spikes) * n_channels + channel + 1)
        for place in places:
            signal_uv[place - 10 : place + 30, channel] += shape
        troughs.append(places)
    return Truth(np.rint(signal_uv / STEP_UV).astype("<i2"), tuple(troughs))


def write_raw(path: Path, samples: np.ndarray) -> Path:
    samples.astype("<i2").tofile(path)
    return path


def write_wav(path: Path, samples: np.ndarray, sample_bytes: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(sample_bytes)
        file.setframerate(round(RATE_HZ))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def write_open_ephys(
    folder: Path, samples: np.ndarray, numbers: np.ndarray | None = None, n_adc: int = 0
) -> Path:
    """Write a session as the Open Ephys GUI lays it out; the last `n_adc` columns are volts."""
    stream = folder / "Record Node 101" / "experiment1" / "recording1" / "continuous" / "A-1.d"
    stream.mkdir(parents=True)
    samples.astype("<i2").tofile(stream / "continuous.dat")
    numbers = np.arange(len(samples)) if numbers is None else numbers
    np.save(stream / "sample_numbers.npy", numbers.astype(np.int64))
    n_channels = samples.shape[1]
    channels = [
        {"channel_name": f"CH{c + 1}", "bit_volts": STEP_UV, "units": "uV"}
        if c < n_channels - n_adc
        else {"channel_name": f"ADC{c + 1}", "bit_volts": 0.0001, "units": "V"}
        for c in range(n_channels)
    ]
    described = {"folder_name": "A-1.d/", "sample_rate": RATE_HZ, "channels": channels}
    oebin = {"GUI version": "1.0.1", "continuous": [described], "events": [], "spikes": []}
    (stream.parents[1] / "structure.oebin").write_text(json.dumps(oebin))
    return folder


def write_probe(path: Path, n_contacts: int, columns: list[int] | None, **changes: object) -> Path:
    """Write a probeinterface file: contact i at (100 i, 50) um, on device channel columns[i]."""
    probe = {
        "ndim": 2, "si_units": "um", "annotations": {}, "contact_annotations": {},
        "contact_positions": [[100.0 * i, 50.0] for i in range(n_contacts)],
        "contact_plane_axes": [[[1.0, 0.0], [0.0, 1.0]]] * n_contacts,
        "contact_shapes": ["circle"] * n_contacts,
        "contact_shape_params": [{"radius": 15.0}] * n_contacts,
        "contact_ids": [f"CH{i + 1}" for i in range(n_contacts)],
    }  # fmt: skip
    if columns is not None:
        probe["device_channel_indices"] = columns
    path.write_text(
        json.dumps({"specification": "probeinterface", "version": "0.2.24",
                    "probes": [probe | changes]})
    )  # fmt: skip
    return path
