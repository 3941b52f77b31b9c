"""An axis whose ticks are given."""

import math
from collections.abc import Sequence

import pyqtgraph as pg
from PyQt6.QtGui import QFontMetricsF

MIN_TEXT_PX = 12
"""Between two texts on an axis."""
MARGIN_PX = 14
"""Ticks and the space around the texts of an upright axis; its label needs a line more."""


class ListAxis(pg.AxisItem):
    """An axis with given ticks; too many are thinned out, never printed over each other."""

    def __init__(self, orientation: str) -> None:
        super().__init__(orientation)
        self._ticks: list[tuple[float, str]] | None = None
        self.enableAutoSIPrefix(False)
        # Its rectangle reaches into the image: without a cache it would be painted every frame.
        self.setCacheMode(self.CacheMode.DeviceCoordinateCache)
        self.setStyle(tickLength=3, hideOverlappingLabels=False, autoExpandTextSpace=False)

    def set_ticks(self, ticks: Sequence[tuple[float, str]], n_pixels: float | None = None) -> None:
        """Show texts at places of the axis; not more than fit on `n_pixels`."""
        every = 1 if n_pixels is None else -(-len(ticks) // max(1, int(n_pixels / MIN_TEXT_PX)))
        shown = list(ticks)[:: max(1, every)]
        if shown != self._ticks:
            self._ticks = shown
            self.setTicks([shown, []])
            if self.orientation in {"left", "right"}:
                self._make_room([text for _, text in shown])

    def _make_room(self, texts: Sequence[str]) -> None:
        """Set the width once, so that the plot does not change its size while it is painted."""
        metrics = QFontMetricsF(self.font())
        widest = max((metrics.horizontalAdvance(text) for text in texts), default=0.0)
        self.setWidth(math.ceil(widest) + MARGIN_PX + math.ceil(metrics.height()))
