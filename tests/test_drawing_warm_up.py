"""After the warm-up no frame has to wait for the compiler."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from feed_maker import column_ns, feed_format, level_batch, spikes

from app.console.feed import NEURON_EVENT, Span, SpanKind
from app.gui.drawing import column_kernel, raster_kernel, trace_kernel
from app.gui.drawing.cell_grid import electrode_cells
from app.gui.drawing.palette import DARK
from app.gui.drawing.raster_data import RasterData
from app.gui.drawing.raster_image import RasterImage
from app.gui.drawing.trace_data import TraceData
from app.gui.drawing.trace_image import TraceImage
from app.gui.drawing.warm_up import warm_up


def compiled() -> dict[str, int]:
    """Return how many versions of each kernel that Python calls exist."""
    return {
        name: len(kernel.signatures)
        for module in (column_kernel, raster_kernel, trace_kernel)
        for name, kernel in vars(module).items()
        if hasattr(kernel, "signatures") and not name.startswith("_")
    }


def draw_a_feed() -> None:
    """Draw what a feed brings, with arrays as they come from a socket."""
    feed = feed_format()
    traces, raster = TraceData(feed), RasterData(feed)
    image = TraceImage(electrode_cells(feed.position_um), 400, 300, DARK)
    image.set_window(200)
    image.set_scale(np.full(16, 100.0))
    rows = RasterImage(raster.rows, 400, 300, DARK, raster.lut(DARK))
    rows.set_window(10**9)
    for first in (0, 100, 190):
        batch = level_batch(first, 80)
        for array in (batch.low, batch.high):
            array.flags.writeable = False
        traces.add_columns(batch)
        for taker in (traces, raster):
            taker.add_spikes(spikes([first + 3, first + 90], [2, 5]))
            taker.add_span(Span(SpanKind.GAP, column_ns(first), column_ns(first + 2), 3))
        raster.add_events(np.zeros(3, NEURON_EVENT))
        raster.set_now(column_ns(first + 50))
        rows.set_bands(raster.bands)
        image.draw(traces.history(is_filtered=True), first + 80)
        rows.draw(raster.history, raster.history.now_ns)


def test_after_the_warm_up_nothing_is_compiled():
    """In a process of its own: here other tests have drawn already."""
    here = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {here!r}); import test_drawing_warm_up as t; "
        "t.warm_up(); before = t.compiled(); t.draw_a_feed(); "
        "assert t.compiled() == before, (before, t.compiled()); assert min(before.values()) > 0"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_warm_up_may_be_repeated():
    warm_up()
    warm_up()
