"""The band-pass against scipy's, which is a reference here and no dependency at run time."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import signal

from app.core.filter_design import butterworth_band_pass

BANDS = [
    ((300.0, 6000.0), 20_000.0),
    ((300.0, 3000.0), 20_000.0),
    ((100.0, 6000.0), 25_000.0),
    ((300.0, 6000.0), 40_000.0),
    ((900.0, 1000.0), 30_000.0),  # narrow: the poles of one section are conjugate
]


def as_scipy(sections: np.ndarray) -> np.ndarray:
    return np.insert(sections, 3, 1.0, axis=1)


@pytest.mark.parametrize("n_poles", [1, 2, 3, 4])
@pytest.mark.parametrize(("band_hz", "rate_hz"), BANDS)
def test_response_and_output_equal_scipy(
    band_hz: tuple[float, float], rate_hz: float, n_poles: int
) -> None:
    ours = as_scipy(butterworth_band_pass(band_hz, rate_hz, n_poles))
    theirs = signal.butter(n_poles, band_hz, "bandpass", fs=rate_hz, output="sos")
    assert ours.shape == theirs.shape

    frequencies = np.geomspace(1.0, rate_hz / 2.001, 400)
    _, h_ours = signal.sosfreqz(ours, frequencies, fs=rate_hz)
    _, h_theirs = signal.sosfreqz(theirs, frequencies, fs=rate_hz)
    np.testing.assert_allclose(h_ours, h_theirs, atol=1e-9)

    x = np.random.default_rng(1).normal(size=3000)
    np.testing.assert_allclose(signal.sosfilt(ours, x), signal.sosfilt(theirs, x), atol=1e-9)


@pytest.mark.parametrize(("band_hz", "rate_hz"), BANDS)
def test_edges_are_at_half_power_and_every_section_blocks_dc(
    band_hz: tuple[float, float], rate_hz: float
) -> None:
    for n_poles in (1, 2, 3):
        sections = butterworth_band_pass(band_hz, rate_hz, n_poles)
        _, h = signal.sosfreqz(as_scipy(sections), band_hz, fs=rate_hz)
        np.testing.assert_allclose(np.abs(h), math.sqrt(0.5), rtol=1e-7)
        np.testing.assert_array_equal(sections[:, :3].sum(axis=1), 0.0)


@pytest.mark.parametrize(
    ("band_hz", "rate_hz", "n_poles", "word"),
    [
        ((300.0, 10_000.0), 20_000.0, 1, "half the sample rate"),
        ((6000.0, 300.0), 20_000.0, 1, "must rise"),
        ((0.0, 300.0), 20_000.0, 1, "must rise"),
        ((math.nan, 3000.0), 20_000.0, 1, "must rise"),
        ((300.0, math.nan), 20_000.0, 1, "must rise"),
        ((300.0, 3000.0), math.nan, 1, "sample rate"),
        ((300.0, 3000.0), math.inf, 1, "sample rate"),
        ((300.0, 3000.0), 20_000.0, 0, "poles"),
        ((300.0, 3000.0), 20_000.0, 5, "poles"),
    ],
)
def test_impossible_bands_are_refused(
    band_hz: tuple[float, float], rate_hz: float, n_poles: int, word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        butterworth_band_pass(band_hz, rate_hz, n_poles)


def test_designing_a_filter_imports_no_scipy() -> None:
    code = (
        "import sys; from app.core.filter_design import butterworth_band_pass as f; "
        "f((300.0, 6000.0), 2e4); sys.exit(any(m.startswith('scipy') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
