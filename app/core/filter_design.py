"""Coefficients of the causal band-pass, in a few lines, so that nothing imports scipy to run."""

import math

import numpy as np
import numpy.typing as npt

Sections = npt.NDArray[np.float64]
"""Second-order sections, `(n_sections, 5)`: b0, b1, b2, a1, a2, with a0 = 1."""

MAX_POLES_PER_EDGE = 4


def butterworth_band_pass(
    band_hz: tuple[float, float], sample_rate_hz: float, n_poles_per_edge: int = 1
) -> Sections:
    """Return the second-order sections of a digital Butterworth band-pass.

    The gain is 1/sqrt(2) at both edges and 0 at 0 Hz in every section; a constant input therefore
    leaves only the first section with a state. Low-pass prototype, band-pass transform and
    bilinear transform with pre-warped edges: Oppenheim and Schafer, Discrete-Time Signal
    Processing, chapter 7.

    Raises
    ------
    ValueError
        The band is not inside 0 Hz to half the sample rate, or the number of poles is not 1 to 4.
    """
    low_hz, high_hz = band_hz
    if not (0 < sample_rate_hz < math.inf):
        raise ValueError(f"band-pass: sample rate {sample_rate_hz} Hz, must be above 0 and finite")
    if not (0 < low_hz < high_hz < sample_rate_hz / 2):
        raise ValueError(
            f"band-pass: band {low_hz} to {high_hz} Hz, edges must rise and lie inside 0 to "
            f"{sample_rate_hz / 2} Hz, half the sample rate"
        )
    if n_poles_per_edge not in range(1, MAX_POLES_PER_EDGE + 1):
        raise ValueError(
            f"band-pass: {n_poles_per_edge} poles per edge, allowed 1 to {MAX_POLES_PER_EDGE}"
        )
    bilinear = 2 * sample_rate_hz
    low = bilinear * math.tan(math.pi * low_hz / sample_rate_hz)
    high = bilinear * math.tan(math.pi * high_hz / sample_rate_hz)
    pairs = _pole_pairs(high - low, low * high, n_poles_per_edge)
    return np.array([_section(first, second, high - low, bilinear) for first, second in pairs])


def _pole_pairs(
    bandwidth: float, centre_squared: float, n_poles: int
) -> list[tuple[complex, complex]]:
    """Return the analogue band-pass poles, two by two: conjugate, or both real."""
    pairs: list[tuple[complex, complex]] = []
    for k in range((n_poles + 1) // 2):
        angle = math.pi * (2 * k + n_poles + 1) / (2 * n_poles)
        is_real = 2 * k + 1 == n_poles
        prototype = -1 + 0j if is_real else complex(math.cos(angle), math.sin(angle))
        half = prototype * bandwidth / 2
        root = complex(np.sqrt(half * half - centre_squared))
        upper, lower = half + root, half - root
        if is_real:
            pairs.append((upper, lower))
        else:
            pairs += [(upper, upper.conjugate()), (lower, lower.conjugate())]
    return pairs


def _section(first: complex, second: complex, bandwidth: float, bilinear: float) -> list[float]:
    gain = (bandwidth * bilinear / ((bilinear - first) * (bilinear - second))).real
    z_first = (bilinear + first) / (bilinear - first)
    z_second = (bilinear + second) / (bilinear - second)
    return [gain, 0.0, -gain, -(z_first + z_second).real, (z_first * z_second).real]
