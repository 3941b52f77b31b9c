"""What a frame of the operator's window costs, beside pyqtgraph's own ways to draw the same.

One process, 1600 x 900. A frame is: take one thirtieth of a second of new columns or spikes, draw,
repaint. The contestants take turns, ten frames each, so that the machine's other work meets all
alike. pyqtgraph's curve and image get their data ready made: only what they do with it is counted.
Goals are held against processor time, which says what a frame costs also on a busy machine.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pyqtgraph as pg
from PyQt6.QtWidgets import QApplication, QWidget

from app.console.feed import FEED_SPIKE, EnvelopeBatch, FeedFormat
from app.gui.drawing.palette import DARK
from app.gui.drawing.raster_view import RasterView
from app.gui.drawing.trace_settings import TraceSettings
from app.gui.drawing.trace_view import TraceView
from benchmarks import window_engine, window_views
from benchmarks.report import Goal, Row, parser, publish

SIZE = 1600, 900
FRAMES_PER_S = 30
SAMPLE_RATE_HZ = 20_000.0
SAMPLES_PER_COLUMN = 20
COLUMNS_PER_FRAME = 33
WINDOW_S = 2.0
N_CURVE_COLUMNS = 1600
N_SPIKES = 100_000
RASTER_WINDOW_S = 10.0
SPIKES_PER_CHANNEL_S = 8
HISTORY_BYTES = 64 << 20
TURN_FRAMES = 10
TURN_S = 0.4


@dataclass(slots=True)
class Contestant:
    """One way to draw: a widget and what brings it one frame further."""

    name: str
    widget: QWidget
    advance: Callable[[int], None]
    n_warm_up: int = 3
    """Frames before the first that is counted."""
    n_frames: int = 0
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def frame(self, app: QApplication, number: int, *, is_counted: bool) -> None:
        """Draw one frame and repaint it."""
        self.n_frames = number + 1
        cpu, wall = time.process_time(), time.perf_counter()
        self.advance(number)
        app.processEvents()
        if is_counted:
            self.wall_s.append(time.perf_counter() - wall)
            self.cpu_s.append(time.process_time() - cpu)

    @property
    def cpu_ms(self) -> float:
        """Median processor time of a frame."""
        return float(np.median(self.cpu_s)) * 1e3

    def row(self, case: str, curve_cpu_ms: float) -> Row:
        """What is printed."""
        return {
            "case": case,
            "drawn by": self.name,
            "frames": len(self.wall_s),
            "cpu ms": self.cpu_ms,
            "cpu p90": float(np.quantile(self.cpu_s, 0.9)) * 1e3,
            "% of a core at 30/s": self.cpu_ms * FRAMES_PER_S / 10,
            "x curve": curve_cpu_ms / self.cpu_ms,
            "wall ms": float(np.median(self.wall_s)) * 1e3,
            "wall p90": float(np.quantile(self.wall_s, 0.9)) * 1e3,
        }


def feed_format(n_channels: int, neurons: int = 0) -> FeedFormat:
    n_side = int(np.ceil(np.sqrt(n_channels)))
    at = np.arange(n_channels)
    return FeedFormat(
        site="here",
        channel_names=tuple(f"E{i:04d}" for i in range(n_channels)),
        sample_rate_hz=SAMPLE_RATE_HZ,
        microvolts_per_count=0.195,
        samples_per_column=SAMPLES_PER_COLUMN,
        position_um=np.stack([at % n_side, at // n_side], axis=1).astype(np.float32) * 60,
        sites=("here", "there"),
        neurons=tuple((i, "there", f"n{i}") for i in range(neurons)),
    )


def noise_columns(n: int, n_channels: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Smallest and largest of 20 samples of 5 uV noise, with spikes, in counts."""
    low = rng.normal(-48, 9, (n, n_channels))
    high = rng.normal(48, 9, (n, n_channels))
    is_spike = rng.random((n, n_channels)) < SPIKES_PER_CHANNEL_S * 1e-3
    low[is_spike] -= rng.uniform(100, 600, int(is_spike.sum()))
    return low.astype(np.int16), high.astype(np.int16)


def traces(n_channels: int, settings: TraceSettings, name: str) -> Contestant:
    rng = np.random.default_rng(1)
    low, high = noise_columns(40 * COLUMNS_PER_FRAME, n_channels, rng)
    view = TraceView(DARK, HISTORY_BYTES)
    view.set_format(feed_format(n_channels))
    view.set_settings(settings)
    n_spikes = round(SPIKES_PER_CHANNEL_S * n_channels / FRAMES_PER_S)
    spikes = np.zeros(n_spikes, FEED_SPIKE)
    spikes["channel"] = rng.integers(0, n_channels, n_spikes)
    within = np.sort(rng.integers(0, COLUMNS_PER_FRAME * SAMPLES_PER_COLUMN, n_spikes))

    def advance(frame: int) -> None:
        first = frame * COLUMNS_PER_FRAME
        of_pool = slice(first % len(low), first % len(low) + COLUMNS_PER_FRAME)
        sample = first * SAMPLES_PER_COLUMN
        time_ns = round(sample / SAMPLE_RATE_HZ * 1e9)
        view.add_columns(
            EnvelopeBatch(sample, time_ns, SAMPLES_PER_COLUMN, True, low[of_pool], high[of_pool])
        )
        spikes["sample_index"] = sample + within
        view.add_spikes(spikes)
        view.refresh()

    # Until its history is full, a view meets memory that the system has to give it first.
    n_warm_up = 1 + len(view._history.levels[0].low) // COLUMNS_PER_FRAME  # noqa: SLF001
    return Contestant(name, view, advance, min(n_warm_up, 1000))


def one_curve(n_channels: int) -> Contestant:
    """Return all envelopes as a single pyqtgraph curve, interrupted between channels."""
    rng = np.random.default_rng(2)
    plot = pg.PlotWidget()
    curve = pg.PlotCurveItem(pen=pg.mkPen("c"))
    plot.addItem(curve)
    plot.setRange(xRange=(0, N_CURVE_COLUMNS), yRange=(0, n_channels), padding=0)
    x = np.tile(np.repeat(np.arange(N_CURVE_COLUMNS, dtype=np.float32), 2), n_channels)
    is_joined = np.ones((n_channels, 2 * N_CURVE_COLUMNS), np.uint8)
    is_joined[:, -1] = 0
    variants = []
    for _ in range(2):
        low, high = noise_columns(N_CURVE_COLUMNS, n_channels, rng)
        lanes = np.arange(n_channels, dtype=np.float32)[:, None, None]
        y = np.stack([low.T, high.T], axis=2) * np.float32(1e-3) + lanes + np.float32(0.5)
        variants.append(y.reshape(-1))

    def advance(frame: int) -> None:
        curve.setData(x, variants[frame % 2], connect=is_joined.ravel())

    return Contestant("pyqtgraph, one curve", plot, advance)


def image_item(n_channels: int) -> Contestant:
    """Return channels x 1600 values as pyqtgraph's image: colours instead of traces."""
    rng = np.random.default_rng(3)
    plot = pg.PlotWidget()
    image = pg.ImageItem(axisOrder="row-major")
    plot.addItem(image)
    plot.setRange(xRange=(0, N_CURVE_COLUMNS), yRange=(0, n_channels), padding=0)
    shape = n_channels, N_CURVE_COLUMNS
    variants = [rng.integers(0, 255, shape, dtype=np.uint8) for _ in range(2)]

    def advance(frame: int) -> None:
        image.setImage(variants[frame % 2], autoLevels=False, levels=(0, 255))

    return Contestant("pyqtgraph, ImageItem", plot, advance)


def raster(n_channels: int, *, is_full: bool) -> Contestant:
    """Return the raster with 100,000 spikes in sight; `is_full`: all drawn anew each frame."""
    rng = np.random.default_rng(4)
    view = RasterView(DARK)
    view.set_format(feed_format(n_channels, neurons=8))
    view.set_window(RASTER_WINDOW_S)
    n_per_frame = round(N_SPIKES / RASTER_WINDOW_S / FRAMES_PER_S)
    frame_ns = round(1e9 / FRAMES_PER_S)

    def spikes(n: int, from_ns: int, to_ns: int) -> np.ndarray:
        records = np.zeros(n, FEED_SPIKE)
        records["time_ns"] = np.sort(rng.integers(from_ns, to_ns, n))
        records["channel"] = rng.integers(0, n_channels, n)
        return records

    start_ns = round(RASTER_WINDOW_S * 1e9)
    view.add_spikes(spikes(N_SPIKES, 0, start_ns))
    batches = [spikes(n_per_frame, 0, frame_ns) for _ in range(20)]

    def advance(frame: int) -> None:
        now_ns = start_ns + frame * frame_ns
        records = batches[frame % len(batches)].copy()
        records["time_ns"] += now_ns
        view.add_spikes(records)
        view.set_now(now_ns + frame_ns)
        if is_full and view._image is not None:  # noqa: SLF001 - what a changed window costs
            view._image.invalidate()  # noqa: SLF001
        view.refresh()

    return Contestant("SpikeBridge" + (", all anew" if is_full else ""), view, advance)


def raster_curve(n_channels: int) -> Contestant:
    """Return the same spikes as pairs of points in one pyqtgraph curve."""
    rng = np.random.default_rng(5)
    plot = pg.PlotWidget()
    curve = pg.PlotCurveItem(pen=pg.mkPen("c"), connect="pairs")
    plot.addItem(curve)
    plot.setRange(xRange=(0, RASTER_WINDOW_S), yRange=(0, n_channels), padding=0)
    x = np.repeat(np.sort(rng.uniform(0, RASTER_WINDOW_S, N_SPIKES)), 2)
    row = rng.integers(0, n_channels, N_SPIKES).astype(np.float64)
    y = np.stack([row, row + 0.9], axis=1).ravel()

    def advance(frame: int) -> None:
        curve.setData(x - frame * 1e-6, y, connect="pairs")

    return Contestant("pyqtgraph, pairs in a curve", plot, advance)


def race(app: QApplication, contestants: list[Contestant], budget_s: float) -> None:
    """Let all draw in turn until the budget is spent; each turn is frames or 0.4 s."""
    for c in contestants:
        c.widget.resize(*SIZE)
        c.widget.show()
        app.processEvents()
        for frame in range(c.n_warm_up):
            c.frame(app, frame, is_counted=False)
    until = time.perf_counter() + budget_s
    while time.perf_counter() < until:
        for c in contestants:
            turn_ends = time.perf_counter() + TURN_S
            c.frame(app, c.n_frames, is_counted=False)  # the others have emptied the caches
            for _ in range(TURN_FRAMES):
                c.frame(app, c.n_frames, is_counted=True)
                if time.perf_counter() > turn_ends:
                    break
    for c in contestants:
        c.widget.close()


def run(*, is_quick: bool) -> tuple[list[Row], list[Goal]]:
    """Measure everything."""
    app = QApplication.instance() or QApplication(sys.argv[:1])
    budget_s = 4.0 if is_quick else 15.0
    rows: list[Row] = []
    share = ratio = float("nan")
    for n_channels in (64, 256, 1024):
        grid = traces(n_channels, TraceSettings(window_s=WINDOW_S), "SpikeBridge, electrodes")
        n_lanes = min(n_channels, 256)
        stacked = TraceSettings(window_s=WINDOW_S, is_grid=False, n_lanes=n_lanes)
        lanes = traces(n_channels, stacked, f"SpikeBridge, {n_lanes} lanes")
        curve = one_curve(n_channels)
        contestants = [grid, lanes, image_item(n_channels), curve]
        race(app, contestants, budget_s)
        rows += [c.row(f"traces, {n_channels} channels", curve.cpu_ms) for c in contestants]
        share, ratio = grid.cpu_ms * 1e-3 * FRAMES_PER_S, curve.cpu_ms / grid.cpu_ms
    incremental = raster(1024, is_full=False)
    rasters = [incremental, raster(1024, is_full=True), raster_curve(1024)]
    race(app, rasters, budget_s)
    rows += [c.row("raster, 100,000 spikes", rasters[-1].cpu_ms) for c in rasters]
    goals = [
        Goal("1,024 channels: share of a core at 30 frames/s", share, 0.10, "lower"),
        Goal("1,024 channels: times faster than one curve", ratio, 15.0, "higher"),
        Goal("raster of 100,000 spikes: ms a frame", incremental.cpu_ms, 2.0, "lower"),
    ]
    return rows, goals


def main() -> int:
    made = parser(__doc__ or "")
    made.add_argument("--engine", action="store_true", help="what the window costs an engine")
    made.add_argument("--attach", type=Path, help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.attach is not None:
        return window_views.main(options.attach)
    if options.engine:
        rows, goals = window_engine.run(is_quick=options.quick)
        title = "an engine with and without a window"
    else:
        rows, goals = run(is_quick=options.quick)
        title = f"frames of {SIZE[0]} x {SIZE[1]}, {WINDOW_S:g} s of traces"
    return publish(rows, goals, as_json=options.json, title=title)


if __name__ == "__main__":
    raise SystemExit(main())
