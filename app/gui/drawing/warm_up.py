"""Loads or compiles the drawing kernels before anybody waits for a frame.

The first start after an installation takes some seconds here. In the middle of a frame the window
would stand still for as long, and a window that stands still loses the arming it renews.
"""

import numpy as np

from app.gui.drawing.cell_grid import lanes
from app.gui.drawing.column_history import ColumnFlag, ColumnHistory
from app.gui.drawing.event_history import EventHistory
from app.gui.drawing.palette import DARK
from app.gui.drawing.raster_image import MissingBand, RasterImage
from app.gui.drawing.raster_rows import RasterRows, RowGroup
from app.gui.drawing.trace_image import TraceImage

_N_BYTES = 10_000
_SIZE_PX = 20


def warm_up() -> None:
    """Draw one small picture of each kind, twice, so that it scrolls once."""
    _warm_up_traces()
    _warm_up_raster()


def _warm_up_traces() -> None:
    history = ColumnHistory(1, _N_BYTES)
    image = TraceImage(lanes(1), _SIZE_PX, _SIZE_PX, DARK)
    image.set_window(_SIZE_PX)
    image.set_scale(np.ones(1))
    flat = np.zeros((2, 1), np.int16)
    for first in (0, 4):
        history.append(first, flat, flat)
        history.flag(ColumnFlag.GAP, first, first + 1)
        history.mark_spikes(np.array([first]), np.zeros(1, np.int64))
        image.draw(history, history.end)


def _warm_up_raster() -> None:
    rows = RasterRows((RowGroup("", "", 0, ("",), True),), {})
    history = EventHistory(2)
    image = RasterImage(rows, _SIZE_PX, _SIZE_PX, DARK, [0])
    image.set_window(_SIZE_PX)
    image.set_bands([MissingBand(0, 1, 0, 2)])
    for now_ns in (2, 4):
        history.advance(now_ns)
        history.add(np.array([now_ns]), np.zeros(1, np.int32), np.zeros(1, np.uint8))
        image.draw(history, now_ns)
