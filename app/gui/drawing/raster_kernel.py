"""The compiled part of the spike raster. It runs without the interpreter lock.

The image is a ring in x, as in `trace_kernel`: pixel number p, counted in steps of `ns_per_pixel`
of the site's clock, always lies at p modulo width.
"""

import numba as nb
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int32]


@nb.njit(nogil=True, cache=True)
def clear_pixels(
    image: Image,
    first: int,
    stop: int,
    background: npt.NDArray[np.uint32],
    bands: npt.NDArray[np.int64],
    band_colour: np.uint32,
) -> None:
    """Empty pixels `first` to `stop - 1`; `background` is a colour per line, `(height,)`.

    `bands`, `(n_bands, 4)`: first and last-but-one pixel number, first and last-but-one line.
    """
    height, width = image.shape
    n = min(stop - first, width)
    for y in range(height):
        colour = background[y]
        for i in range(n):
            image[y, (stop - 1 - i) % width] = colour
    for b in range(bands.shape[0]):
        band_first, band_stop = max(bands[b, 0], stop - n), min(bands[b, 1], stop)
        for y in range(max(0, bands[b, 2]), min(height, bands[b, 3])):
            for p in range(band_first, band_stop):
                image[y, p % width] = band_colour


@nb.njit(nogil=True, cache=True)
def draw_events(
    image: Image,
    times_ns: npt.NDArray[np.int64],
    rows: Places,
    colours: npt.NDArray[np.uint8],
    first_event: int,
    stop_event: int,
    ns_per_pixel: int,
    first: int,
    stop: int,
    y: Places,
    heights: Places,
    wide_from: int,
    lut: npt.NDArray[np.uint32],
) -> None:
    """Draw events that lie in pixels `first` to `stop - 1`, in order; the later covers the earlier.

    Rows at least `wide_from` pixels high get ticks of two pixels.
    """
    width, n_ring = image.shape[1], times_ns.shape[0]
    for i in range(first_event, stop_event):
        at = i % n_ring
        pixel, row = times_ns[at] // ns_per_pixel, rows[at]
        if pixel < first or pixel >= stop:
            continue
        colour = lut[colours[at]]
        x, before = pixel % width, (pixel - 1) % width
        is_wide = heights[row] >= wide_from and pixel > first
        for line in range(y[row], y[row] + heights[row]):
            image[line, x] = colour
            if is_wide:
                image[line, before] = colour
