"""The compiled part of the spike raster. It runs without the interpreter lock.

Pixels are counted in steps of `ns_per_pixel` of the site's clock; `shown_from` is at the left.
"""

import numba as nb
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int32]


@nb.njit(nogil=True, cache=True)
def clear_pixels(
    image: Image,
    shown_from: int,
    first: int,
    background: npt.NDArray[np.uint32],
    bands: npt.NDArray[np.int64],
    band_colour: np.uint32,
) -> None:
    """Empty pixels from `first` on up to the right edge; `background` is a colour per line.

    `bands`, `(n_bands, 4)`: first pixel, the one after the last, first line, the one after it.
    """
    height, width = image.shape
    for y in range(height):
        for x in range(first - shown_from, width):
            image[y, x] = background[y]
    for b in range(bands.shape[0]):
        band_first, band_stop = max(bands[b, 0], first), min(bands[b, 1], shown_from + width)
        for y in range(max(0, bands[b, 2]), min(height, bands[b, 3])):
            for p in range(band_first, band_stop):
                image[y, p - shown_from] = band_colour


@nb.njit(nogil=True, cache=True)
def draw_events(
    image: Image,
    times_ns: npt.NDArray[np.int64],
    rows: Places,
    colours: npt.NDArray[np.uint8],
    first_event: int,
    stop_event: int,
    ns_per_pixel: int,
    shown_from: int,
    y: Places,
    heights: Places,
    wide_from: int,
    lut: npt.NDArray[np.uint32],
) -> None:
    """Draw the events that lie in sight, in order; the later covers the earlier.

    Rows at least `wide_from` pixels high get ticks of two pixels.
    """
    width, n_ring = image.shape[1], times_ns.shape[0]
    for i in range(first_event, stop_event):
        at = i % n_ring
        x, row = times_ns[at] // ns_per_pixel - shown_from, rows[at]
        if x < 0 or x >= width:
            continue
        colour = lut[colours[at]]
        first_x = x - 1 if heights[row] >= wide_from and x > 0 else x
        for line in range(y[row], y[row] + heights[row]):
            image[line, x] = colour
            image[line, first_x] = colour
