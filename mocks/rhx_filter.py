"""RHX's software filters, run over whole blocks: each is two matrix products.

A linear filter's answer to a few samples is a lower triangular matrix times these samples, plus
what its two state values still ring out; so no sample needs Python.
"""

import math

import numpy as np
from numpy.typing import NDArray

_BESSEL2_POLE_RATIO = math.sqrt(3.0) / 1.361_654_128_716_13
"""Pole frequency over -3 dB frequency of a second-order Bessel low-pass, 3 / (s^2 + 3 s + 3)."""
_N_AT_ONCE = 32
"""Samples per matrix product: so small that the BLAS does not wake further threads for it."""
_BESSEL2_QUALITY = 1.0 / math.sqrt(3.0)


class BlockFilter:
    """A causal second-order filter over blocks of k x 32 samples, one state per channel."""

    def __init__(
        self, b: tuple[float, float, float], a: tuple[float, float], n_channels: int
    ) -> None:
        n_block = _N_AT_ONCE
        self._forced = np.zeros((n_block, n_block))
        self._into_state = np.zeros((2, n_block))
        for at in range(n_block):
            output, state = _run(b, a, (0.0, 0.0), n_block, impulse_at=at)
            self._forced[:, at], self._into_state[:, at] = output, state
        rings = [_run(b, a, state, n_block, impulse_at=None) for state in ((1.0, 0.0), (0.0, 1.0))]
        self._ringing = np.stack([output for output, _ in rings], axis=1)
        self._state_step = np.stack([state for _, state in rings], axis=1)
        self._state = np.zeros((2, n_channels))

    def reset(self) -> None:
        """Forget the past, as at the start of a run."""
        self._state[:] = 0.0

    def block(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Filter the next block, shape (k x 32, n_channels)."""
        y = np.empty(x.shape)
        for start in range(0, len(x), _N_AT_ONCE):
            part = x[start : start + _N_AT_ONCE].astype(np.float64)
            y[start : start + _N_AT_ONCE] = self._forced @ part + self._ringing @ self._state
            self._state = self._state_step @ self._state + self._into_state @ part
        return y


def _run(
    b: tuple[float, float, float],
    a: tuple[float, float],
    state: tuple[float, float],
    n_samples: int,
    impulse_at: int | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return output and last state of the transposed direct form II."""
    z1, z2 = state
    out = np.zeros(n_samples)
    for i in range(n_samples):
        x = 1.0 if i == impulse_at else 0.0
        y = b[0] * x + z1
        z1, z2 = b[1] * x - a[0] * y + z2, b[2] * x - a[1] * y
        out[i] = y
    return out, np.array([z1, z2])


def bessel2_high_pass(cutoff_hz: float, sample_rate_hz: float, n_channels: int) -> BlockFilter:
    """Return a second-order Bessel high-pass, -3 dB at the cut-off (bilinear transform)."""
    cos, alpha = _warp(cutoff_hz / _BESSEL2_POLE_RATIO, sample_rate_hz)
    b0 = (1 + cos) / 2 / (1 + alpha)
    return BlockFilter((b0, -2 * b0, b0), _denominator(cos, alpha), n_channels)


def bessel2_low_pass(cutoff_hz: float, sample_rate_hz: float, n_channels: int) -> BlockFilter:
    """Return a second-order Bessel low-pass, -3 dB at the cut-off (bilinear transform)."""
    cos, alpha = _warp(cutoff_hz * _BESSEL2_POLE_RATIO, sample_rate_hz)
    b0 = (1 - cos) / 2 / (1 + alpha)
    return BlockFilter((b0, 2 * b0, b0), _denominator(cos, alpha), n_channels)


def _warp(pole_hz: float, sample_rate_hz: float) -> tuple[float, float]:
    angle = 2 * math.pi * pole_hz / sample_rate_hz
    return math.cos(angle), math.sin(angle) / (2 * _BESSEL2_QUALITY)


def _denominator(cos: float, alpha: float) -> tuple[float, float]:
    return -2 * cos / (1 + alpha), (1 - alpha) / (1 + alpha)
