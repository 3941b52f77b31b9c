"""An axis whose ticks are given."""

from collections.abc import Sequence

import pyqtgraph as pg

MIN_TEXT_PX = 12
"""Between two texts on an axis."""


class ListAxis(pg.AxisItem):
    """An axis with given ticks; too many are thinned out, never printed over each other."""

    def __init__(self, orientation: str) -> None:
        super().__init__(orientation)
        self._ticks: list[tuple[float, str]] | None = None
        self.enableAutoSIPrefix(False)
        # Its rectangle reaches into the image: without a cache it would be painted every frame.
        self.setCacheMode(self.CacheMode.DeviceCoordinateCache)
        self.setStyle(tickLength=3, hideOverlappingLabels=False)

    def set_ticks(self, ticks: Sequence[tuple[float, str]], n_pixels: float | None = None) -> None:
        """Show texts at places of the axis; not more than fit on `n_pixels`."""
        every = 1 if n_pixels is None else -(-len(ticks) // max(1, int(n_pixels / MIN_TEXT_PX)))
        shown = list(ticks)[:: max(1, every)]
        if shown != self._ticks:
            self._ticks = shown
            self.setTicks([shown, []])
