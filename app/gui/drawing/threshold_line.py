"""One threshold in the spike scope: a line that the operator drags and the engine confirms."""

from enum import Enum

import pyqtgraph as pg
from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QColor, QPen

from app.gui.drawing.palette import DARK, Palette

SMALLEST_UV, LARGEST_UV = 0.5, 10_000.0


class ThresholdLine(pg.InfiniteLine):
    """Solid where the engine has its threshold; dashed while it is held or only asked for.

    `side` is -1 for a line below zero and +1 for one above; the line never crosses zero. Thresholds
    are magnitudes in microvolts.
    """

    moved = pyqtSignal(float)
    """The operator holds it at this threshold."""
    dropped = pyqtSignal(float)
    """The operator let it go at this threshold."""

    class _State(Enum):
        CONFIRMED = 0
        DRAGGED = 1
        ASKED = 2

    def __init__(self, side: int) -> None:
        bounds = sorted((side * SMALLEST_UV, side * LARGEST_UV))
        super().__init__(angle=0, movable=True, bounds=bounds)
        self._side = side
        self._palette = DARK
        self._state = self._State.CONFIRMED
        self._sigma_uv = float("nan")
        self.words = pg.InfLineLabel(self, "", position=0.98, anchors=[(1, 1), (1, 0)])
        self.sigDragged.connect(self._drag)
        self.sigPositionChangeFinished.connect(lambda _: self._drop())
        self._paint()

    @property
    def threshold_uv(self) -> float:
        """Get the threshold it stands at."""
        return self._side * float(self.value())

    @property
    def is_held(self) -> bool:
        """Say whether it stands where the operator wants it, not where the engine has it."""
        return self._state is not self._State.CONFIRMED

    def set_colours(self, palette: Palette) -> None:
        """Use a dark or a light palette."""
        self._palette = palette
        self._paint()

    def set_sigma(self, sigma_uv: float) -> None:
        """Set the noise by which the potential is also said."""
        self._sigma_uv = sigma_uv

    def confirm(self, threshold_uv: float) -> None:
        """Stand where the engine has it; nan: stay where it was."""
        self._stand(threshold_uv, self._State.CONFIRMED)

    def ask(self, threshold_uv: float) -> None:
        """Stand where the operator asked for it, until it is confirmed."""
        self._stand(threshold_uv, self._State.ASKED)

    def follow(self, threshold_uv: float) -> None:
        """Stand where the operator holds the other line."""
        self._stand(threshold_uv, self._State.DRAGGED)

    def _stand(self, threshold_uv: float, state: "ThresholdLine._State") -> None:
        self._state = state
        if threshold_uv > 0:
            self.setValue(self._side * threshold_uv)
        self._paint()

    def _drag(self) -> None:
        self._state = self._State.DRAGGED
        self._paint()
        self.moved.emit(self.threshold_uv)

    def _drop(self) -> None:
        self._state = self._State.ASKED
        self.dropped.emit(self.threshold_uv)

    def _paint(self) -> None:
        style = Qt.PenStyle.DashLine if self.is_held else Qt.PenStyle.SolidLine
        pen = QPen(QColor.fromRgba(self._palette.clipped), 2, style)
        pen.setCosmetic(True)
        self.setPen(pen)
        self.setHoverPen(pen)
        sign = "−" if self._side < 0 else "+"
        text = f"{sign}{self.threshold_uv:.1f} µV"
        if self._sigma_uv > 0:
            text += f" = {sign}{self.threshold_uv / self._sigma_uv:.1f} σ"
        if self._state is self._State.ASKED:
            text += ", asked for"
        self.words.setText(text)
        self.words.setColor(QColor.fromRgba(self._palette.text))
