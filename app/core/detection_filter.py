"""Compiled: from the amplifier's counts to filtered microvolts in the ring.

Rows are walked in time, channels inside: strips of channels with small local arrays are not
vectorised and several times slower. Both ways through the filter do the same operations in the same
order, so that a row gives the same bits whichever way it goes.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.core.detection_jit import compiled, contracted, inlined
from app.core.detection_layout import HIGHEST, LOWEST, RAW_HIGHEST, RAW_LOWEST, SCRATCH, KernelState

BIAS = np.float32(1e-12)
"""Added to the filter's input; it keeps the state of a silent channel off slow denormal numbers."""
SAMPLES_PER_CACHE_LINE = 32
Row = npt.NDArray[np.float32]


class Samples(NamedTuple):
    """New rows, `(n_rows, n_channels)`, in one of two types; the other one is empty.

    Both in one, because all that is called would else be compiled twice.
    """

    integers: npt.NDArray[np.int16]
    floats: npt.NDArray[np.float32]


@inlined
def _lesser(a: np.float32, b: np.float32) -> np.float32:
    return a if a < b else b


@inlined
def _greater(a: np.float32, b: np.float32) -> np.float32:
    return a if a > b else b


@inlined
def _filtered(
    u: np.float32, a1: np.float32, a2: np.float32, d0: np.float32, d1: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """Return output and new delays of one section; transposed direct form II, b1 = 0, b2 = -b0."""
    y = u + d0
    return y, d1 - a1 * y, -u - a2 * y


@inlined
def count_at(samples: Samples, i: int, c: int, s: KernelState) -> np.float32:
    """Return one sample as the amplifier gave it."""
    return samples.floats[i, c] if s.settings[0].is_float else np.float32(samples.integers[i, c])


@contracted
def _filter_five(x: npt.NDArray[np.int16], i: int, t: int, s: KernelState) -> None:
    """Filter five rows at once with one section, and extend the extremes."""
    n = x.shape[1]
    mask = s.ring.shape[0] - 1
    x0, x1, x2, x3, x4 = x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4]
    out0, out1, out2 = s.ring[t & mask], s.ring[(t + 1) & mask], s.ring[(t + 2) & mask]
    out3, out4 = s.ring[(t + 3) & mask], s.ring[(t + 4) & mask]
    delay0, delay1 = s.delays[0], s.delays[1]
    lowest, highest = s.floats[LOWEST], s.floats[HIGHEST]
    raw_lowest, raw_highest = s.floats[RAW_LOWEST], s.floats[RAW_HIGHEST]
    gain, a1, a2 = s.sections[0, 0], s.sections[0, 1], s.sections[0, 2]
    for c in range(n):
        v0, v1, v2 = np.float32(x0[c]), np.float32(x1[c]), np.float32(x2[c])
        v3, v4 = np.float32(x3[c]), np.float32(x4[c])
        d0, d1 = delay0[c], delay1[c]
        y0, d0, d1 = _filtered(v0 * gain + BIAS, a1, a2, d0, d1)
        y1, d0, d1 = _filtered(v1 * gain + BIAS, a1, a2, d0, d1)
        y2, d0, d1 = _filtered(v2 * gain + BIAS, a1, a2, d0, d1)
        y3, d0, d1 = _filtered(v3 * gain + BIAS, a1, a2, d0, d1)
        y4, d0, d1 = _filtered(v4 * gain + BIAS, a1, a2, d0, d1)
        delay0[c], delay1[c] = d0, d1
        out0[c], out1[c], out2[c], out3[c], out4[c] = y0, y1, y2, y3, y4
        low = _lesser(_lesser(_lesser(y0, y1), _lesser(y2, y3)), _lesser(y4, lowest[c]))
        high = _greater(_greater(_greater(y0, y1), _greater(y2, y3)), _greater(y4, highest[c]))
        lowest[c], highest[c] = low, high
        low = _lesser(_lesser(_lesser(v0, v1), _lesser(v2, v3)), _lesser(v4, raw_lowest[c]))
        high = _greater(_greater(_greater(v0, v1), _greater(v2, v3)), _greater(v4, raw_highest[c]))
        raw_lowest[c], raw_highest[c] = low, high


@compiled
def _load_row(samples: Samples, i: int, row: Row, s: KernelState) -> None:
    """Write counts as float; what is beyond the clamp, or not a number, is put on it."""
    clamp = s.settings[0].clamp_counts
    raw_lowest, raw_highest = s.floats[RAW_LOWEST], s.floats[RAW_HIGHEST]
    for c in range(s.channels.shape[0]):
        v = count_at(samples, i, c, s)
        v = v if v > -clamp else -clamp
        v = v if v < clamp else clamp
        row[c] = v
        raw_lowest[c] = _lesser(v, raw_lowest[c])
        raw_highest[c] = _greater(v, raw_highest[c])


@contracted
def _filter_one(x: npt.NDArray[np.int16], i: int, t: int, s: KernelState) -> None:
    """Filter one row with one section; what `_filter_five` leaves over."""
    row_in, row_out = x[i], s.ring[t & (s.ring.shape[0] - 1)]
    delay0, delay1 = s.delays[0], s.delays[1]
    lowest, highest = s.floats[LOWEST], s.floats[HIGHEST]
    raw_lowest, raw_highest = s.floats[RAW_LOWEST], s.floats[RAW_HIGHEST]
    gain, a1, a2 = s.sections[0, 0], s.sections[0, 1], s.sections[0, 2]
    for c in range(x.shape[1]):
        v = np.float32(row_in[c])
        y, d0, d1 = _filtered(v * gain + BIAS, a1, a2, delay0[c], delay1[c])
        low, high = lowest[c], highest[c]  # read before anything is written
        raw_low, raw_high = raw_lowest[c], raw_highest[c]
        delay0[c], delay1[c] = d0, d1
        row_out[c] = y
        lowest[c], highest[c] = _lesser(y, low), _greater(y, high)
        raw_lowest[c], raw_highest[c] = _lesser(v, raw_low), _greater(v, raw_high)


@compiled
def _select(values: Row, n: int, k: int) -> None:
    """Reorder the first `n` values so that none before place `k` is larger than any from it on.

    Selection by partition: Hoare, Communications of the ACM 4 (1961), algorithm 65.
    """
    left, right = 0, n - 1
    while left < right:
        pivot = values[(left + right) // 2]
        i, j = left, right
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < k:
            left = i
        if k < i:
            right = j


@compiled
def _median_in_place(values: Row, n: int) -> np.float32:
    """Return the median of the first `n` values, which are reordered; 0 of none."""
    if n == 0:
        return np.float32(0)
    _select(values, n, n // 2)
    upper = values[n // 2]
    if n % 2:
        return upper
    lower = values[0]
    for i in range(1, n // 2):
        lower = _greater(lower, values[i])
    return np.float32(0.5) * (lower + upper)


@compiled
def _subtract_reference(t: int, row: Row, s: KernelState) -> None:
    """Subtract the median of the channels that are in use, not stimulated and not at a rail."""
    rail, scratch, n = s.settings[0].rail_counts, s.floats[SCRATCH], 0
    for c in range(s.channels.shape[0]):
        channel = s.channels[c]
        if channel.is_enabled and t >= channel.stimulated_until and abs(row[c]) < rail:
            scratch[n] = row[c]
            n += 1
    reference = _median_in_place(scratch, n)
    for c in range(s.channels.shape[0]):
        row[c] -= reference


@contracted
def _filter_row(samples: Samples, i: int, t: int, s: KernelState) -> None:
    """Take one row through everything that may be asked for."""
    n = s.channels.shape[0]
    row = s.ring[t & (s.ring.shape[0] - 1)]
    _load_row(samples, i, row, s)
    if s.settings[0].has_reference:
        _subtract_reference(t, row, s)
    for j in range(s.sections.shape[0]):
        gain, a1, a2 = s.sections[j, 0], s.sections[j, 1], s.sections[j, 2]
        delay0, delay1 = s.delays[2 * j], s.delays[2 * j + 1]
        for c in range(n):
            y, d0, d1 = _filtered(row[c] * gain + BIAS, a1, a2, delay0[c], delay1[c])
            delay0[c], delay1[c] = d0, d1
            row[c] = y
    lowest, highest = s.floats[LOWEST], s.floats[HIGHEST]
    for c in range(n):
        y = row[c]
        lowest[c] = _lesser(y, lowest[c])
        highest[c] = _greater(y, highest[c])


@compiled
def _fetch(x: npt.NDArray[np.int16], first: int, stop: int) -> np.int16:
    """Touch each cache line of some rows in the order of memory.

    The filter takes several short rows at once, which the processor does not foresee; fetched like
    this they come as fast as memory gives them.
    """
    touched = np.int16(0)
    for i in range(first, stop):
        row = x[i]
        for c in range(0, x.shape[1], SAMPLES_PER_CACHE_LINE):
            touched |= row[c]
    return touched


@compiled
def filter_rows(samples: Samples, first: int, stop: int, t: int, s: KernelState) -> None:
    """Filter the rows from `first` to `stop`, whose first row is sample `t` of the stream."""
    i = first
    if s.settings[0].is_fused:
        s.cursor[0].touched = _fetch(samples.integers, first, stop)
        while i + 5 <= stop:
            _filter_five(samples.integers, i, t + i - first, s)
            i += 5
        while i < stop:
            _filter_one(samples.integers, i, t + i - first, s)
            i += 1
    while i < stop:
        _filter_row(samples, i, t + i - first, s)
        i += 1


@contracted
def prime(samples: Samples, t: int, s: KernelState) -> None:
    """Set the filter as if the first row had been its input for ever."""
    row = s.ring[t & (s.ring.shape[0] - 1)]
    _load_row(samples, 0, row, s)
    if s.settings[0].has_reference:
        _subtract_reference(t, row, s)
    for j in range(s.sections.shape[0]):
        for c in range(s.channels.shape[0]):
            u = row[c] * s.sections[j, 0] + BIAS if j == 0 else BIAS
            s.delays[2 * j, c] = -u
            s.delays[2 * j + 1, c] = -u
