"""Recordings whose spikes are known, made by SpikeInterface, and the scoring of what was found.

The generator is not ours, so that data and detector do not share an author. Its signal has neither
field potentials nor mains hum; a second kind of data adds both.
"""

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from drivers.mea.protocol import StreamFormat

RATE_HZ = 20_000.0
UV_PER_COUNT = 0.195
NOISE_UV = 5.0
RADIUS_UM = 60.0
"""A detection belongs to a neuron if its electrode is so near."""
TOLERANCE = 20
"""Samples; 1 ms."""
FROM_S = 2.0
"""Before, a live detector is still learning the noise; nobody is scored there."""


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Quantised samples and every spike in them."""

    samples: npt.NDArray[np.int16]
    position_um: npt.NDArray[np.float64]
    """`(n_channels, 2)`."""
    spike_at: npt.NDArray[np.int64]
    spike_unit: npt.NDArray[np.int64]
    unit_um: npt.NDArray[np.float64]
    is_large: npt.NDArray[np.bool_]
    """Units above 5 sigma of the noise on their best electrode: the only ones to be found."""

    @property
    def stream_format(self) -> StreamFormat:
        names = tuple(f"e{i}" for i in range(self.samples.shape[1]))
        return StreamFormat(names, RATE_HZ, UV_PER_COUNT)

    @property
    def microvolts(self) -> npt.NDArray[np.float32]:
        """Get what SpikeInterface is given: the same quantised samples."""
        return self.samples * np.float32(UV_PER_COUNT)


def make(n_channels: int, n_units: int, seed: int, seconds: float, *, has_hum: bool) -> Truth:
    """Return a recording; with `has_hum` on a field potential of 200 uV and a hum of 50 uV."""
    from spikeinterface.core import generate_ground_truth_recording

    recording, sorting = generate_ground_truth_recording(
        durations=[seconds],
        sampling_frequency=RATE_HZ,
        num_channels=n_channels,
        num_units=n_units,
        noise_kwargs={"noise_levels": NOISE_UV, "strategy": "on_the_fly"},
        seed=seed,
    )
    traces = recording.get_traces()
    if has_hum:
        traces = traces + _hum(len(traces), n_channels, seed)
    spikes = sorting.to_spike_vector()
    templates = recording.templates
    peak_uv = np.abs(templates.reshape(n_units, -1)).max(axis=1)
    return Truth(
        samples=np.clip(np.rint(traces / UV_PER_COUNT), -32768, 32767).astype(np.int16),
        position_um=recording.get_channel_locations(),
        spike_at=spikes["sample_index"].astype(np.int64),
        spike_unit=spikes["unit_index"].astype(np.int64),
        unit_um=sorting.get_property("gt_unit_locations")[:, :2],
        is_large=peak_uv >= 5 * NOISE_UV,
    )


def _hum(n_samples: int, n_channels: int, seed: int) -> npt.NDArray[np.float32]:
    """Slow noise with a 1/f spectrum up to 100 Hz, and 50 Hz with its third harmonic."""
    rng = np.random.default_rng(seed)
    frequency_hz = np.fft.rfftfreq(n_samples, 1 / RATE_HZ)
    size = np.where((frequency_hz > 0.5) & (frequency_hz < 100), 1 / (frequency_hz + 1), 0)
    phases = np.exp(2j * np.pi * rng.random((4, len(size))))
    slow = np.fft.irfft(size * phases, n_samples)
    slow *= 200.0 / slow.std(axis=1, keepdims=True)
    time_s = np.arange(n_samples) / RATE_HZ
    mains = 50.0 * np.sin(2 * np.pi * 50 * time_s) + 15.0 * np.sin(2 * np.pi * 150 * time_s)
    mixture = rng.normal(0.0, 0.5, (n_channels, 4))
    common = mixture @ slow + rng.uniform(0.7, 1.3, n_channels)[:, None] * mains
    return np.ascontiguousarray(common.T, np.float32)


@nb.njit
def locally_exclusive(
    at: npt.NDArray[np.int64],
    channel: npt.NDArray[np.int64],
    size: npt.NDArray[np.float64],
    is_near: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Say which events, in order of time, are the largest within 1 ms of their neighbourhood."""
    is_kept = np.ones(len(at), np.bool_)
    first = 0
    for i in range(len(at)):
        while at[first] < at[i] - TOLERANCE:
            first += 1
        j = first
        while j < len(at) and at[j] <= at[i] + TOLERANCE:
            is_larger = size[j] > size[i] or (size[j] == size[i] and j < i)
            if j != i and is_larger and is_near[channel[i], channel[j]]:
                is_kept[i] = False
                break
            j += 1
    return is_kept


@nb.njit
def _match(
    spike_at: npt.NDArray[np.int64],
    spike_unit: npt.NDArray[np.int64],
    found_at: npt.NDArray[np.int64],
    found_channel: npt.NDArray[np.int64],
    is_near: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Pair each spike with at most one detection, the nearest in time that is still free."""
    is_found, is_used = np.zeros(len(spike_at), np.bool_), np.zeros(len(found_at), np.bool_)
    first = 0
    for i in range(len(spike_at)):
        while first < len(found_at) and found_at[first] < spike_at[i] - TOLERANCE:
            first += 1
        best, best_distance, j = -1, TOLERANCE + 1, first
        while j < len(found_at) and found_at[j] <= spike_at[i] + TOLERANCE:
            distance = abs(found_at[j] - spike_at[i])
            is_candidate = not is_used[j] and is_near[spike_unit[i], found_channel[j]]
            if is_candidate and distance < best_distance:
                best, best_distance = j, distance
            j += 1
        if best >= 0:
            is_found[i] = is_used[best] = True
    return is_found, is_used


@dataclass(frozen=True, slots=True)
class Score:
    """How much of the truth was found, and how much of what was found is true."""

    sensitivity: float
    precision: float
    n_found: int

    @property
    def f1(self) -> float:
        total = self.sensitivity + self.precision
        return 2 * self.sensitivity * self.precision / total if total else 0.0


def score(truth: Truth, at: npt.NDArray[np.int64], channel: npt.NDArray[np.int64]) -> Score:
    """Return the score of detections in order of time."""
    edge = round(FROM_S * RATE_HZ)
    stop = len(truth.samples) - 200
    is_in = (at >= edge) & (at < stop)
    # A spike at the edge may be met by a detection beyond it, so spikes are cut more tightly.
    is_spike_in = (truth.spike_at >= edge - TOLERANCE) & (truth.spike_at < stop + TOLERANCE)
    distance_um = np.linalg.norm(truth.unit_um[:, None] - truth.position_um[None], axis=2)
    spike_at, spike_unit = truth.spike_at[is_spike_in], truth.spike_unit[is_spike_in]
    is_found, is_used = _match(
        spike_at,
        spike_unit,
        at[is_in].astype(np.int64),
        channel[is_in].astype(np.int64),
        distance_um <= RADIUS_UM,
    )
    is_scored = truth.is_large[spike_unit]
    return Score(float(is_found[is_scored].mean()), float(is_used.mean()), int(is_in.sum()))
