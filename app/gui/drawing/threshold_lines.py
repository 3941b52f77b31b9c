"""The threshold in the spike scope on the sides of zero that detection looks at."""

import pyqtgraph as pg
from PyQt6.QtCore import QObject, pyqtSignal

from app.gui.drawing.palette import Palette
from app.gui.drawing.threshold_line import ThresholdLine

SIGNS = {"neg": "−", "pos": "+", "both": "±"}
"""What stands before a threshold, by the polarity of detection."""


class ThresholdLines(QObject):
    """One threshold as a line below zero, above it, or both: then they move as one.

    All thresholds are magnitudes in microvolts, as in the feed; the sides are this class's matter.
    """

    dropped = pyqtSignal(float)
    """The operator let a line go at this threshold."""

    def __init__(self, plot: pg.PlotWidget) -> None:
        super().__init__(plot)
        self.below, self.above = ThresholdLine(-1), ThresholdLine(+1)
        self._shown: tuple[ThresholdLine, ...] = ()
        self._is_known = False
        for line, other in ((self.below, self.above), (self.above, self.below)):
            plot.addItem(line)
            line.moved.connect(other.follow)
            line.dropped.connect(self.dropped)
        self.set_polarity("neg")

    @property
    def is_held(self) -> bool:
        """Say whether they stand where the operator wants them, not where the engine has them."""
        return self.below.is_held or self.above.is_held

    def set_polarity(self, polarity: str) -> None:
        """Show the lines of a detector that looks for `neg`, `pos` or `both`."""
        sides = {"neg": (self.below,), "pos": (self.above,), "both": (self.below, self.above)}
        self._shown = sides[polarity]
        self._show()

    def set_colours(self, palette: Palette) -> None:
        """Use a dark or a light palette."""
        for line in (self.below, self.above):
            line.set_colours(palette)

    def set_sigma(self, sigma_uv: float) -> None:
        """Set the noise by which the potential is also said."""
        for line in (self.below, self.above):
            line.set_sigma(sigma_uv)

    def confirm(self, threshold_uv: float) -> None:
        """Stand where the engine has its threshold; nan, not known: hidden."""
        self._is_known = threshold_uv > 0
        for line in (self.below, self.above):
            line.confirm(threshold_uv)
        self._show()

    def ask(self, threshold_uv: float) -> None:
        """Stand where the operator asked for it, until it is confirmed."""
        for line in (self.below, self.above):
            line.ask(threshold_uv)

    def _show(self) -> None:
        for line in (self.below, self.above):
            line.setVisible(self._is_known and line in self._shown)
