"""The threshold in the spike scope: a line that the operator drags and the engine confirms."""

from enum import Enum

import pyqtgraph as pg
from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QColor, QPen

from app.gui.drawing.palette import DARK, Palette

LINE_RANGE_UV = (-10_000.0, -0.5)


class _State(Enum):
    CONFIRMED = 0
    DRAGGED = 1
    ASKED = 2


class ThresholdLine(pg.InfiniteLine):
    """Solid where the engine has its threshold; dashed while it is held or only asked for."""

    dropped = pyqtSignal(float)
    """The operator let it go at this potential, in microvolts."""

    def __init__(self) -> None:
        super().__init__(angle=0, movable=True, bounds=LINE_RANGE_UV)
        self._palette = DARK
        self._state = _State.CONFIRMED
        self._sigma_uv = float("nan")
        self.words = pg.InfLineLabel(self, "", position=0.98, anchors=[(1, 1), (1, 0)])
        self.sigDragged.connect(self._drag)
        self.sigPositionChangeFinished.connect(lambda _: self._drop())
        self._paint()

    @property
    def is_held(self) -> bool:
        """Say whether it stands where the operator wants it, not where the engine has it."""
        return self._state is not _State.CONFIRMED

    def set_colours(self, palette: Palette) -> None:
        """Use a dark or a light palette."""
        self._palette = palette
        self._paint()

    def set_sigma(self, sigma_uv: float) -> None:
        """Set the noise by which the potential is also said."""
        self._sigma_uv = sigma_uv

    def confirm(self, threshold_uv: float) -> None:
        """Stand where the engine has it; a magnitude in microvolts, nan: hidden."""
        is_known = threshold_uv > 0
        self.setVisible(is_known)
        self._state = _State.CONFIRMED
        if is_known:
            self.setValue(-threshold_uv)
        self._paint()

    def ask(self, threshold_uv: float) -> None:
        """Stand where the operator asked for it, until it is confirmed."""
        self._state = _State.ASKED
        self.setValue(-threshold_uv)
        self._paint()

    def _drag(self) -> None:
        self._state = _State.DRAGGED
        self._paint()

    def _drop(self) -> None:
        self._state = _State.ASKED
        self.dropped.emit(float(self.value()))

    def _paint(self) -> None:
        style = Qt.PenStyle.DashLine if self.is_held else Qt.PenStyle.SolidLine
        pen = QPen(QColor.fromRgba(self._palette.clipped), 2, style)
        pen.setCosmetic(True)
        self.setPen(pen)
        self.setHoverPen(pen)
        threshold_uv = -float(self.value())
        text = f"−{threshold_uv:.1f} µV"
        if self._sigma_uv > 0:
            text += f" = −{threshold_uv / self._sigma_uv:.1f} σ"
        if self._state is _State.ASKED:
            text += ", asked for"
        self.words.setText(text)
        self.words.setColor(QColor.fromRgba(self._palette.text))
