"""The scroll bar below a view of the last minutes."""

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QScrollBar

LENGTH_MAX = 2**31 - 1
"""Qt counts in 32 bits."""


class HistoryScrollBar(QScrollBar):
    """Scrolls to a time at the right edge of a view: a whole number of any unit and any size."""

    moved = pyqtSignal(object)
    """The operator wants this time at the right edge."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._origin = 0
        """What Qt's positions are counted from."""
        self.setToolTip("scroll back over what this window has kept")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.actionTriggered.connect(
            lambda _: self.moved.emit(self.sliderPosition() + self._origin)
        )

    @property
    def shown(self) -> int:
        """Get the time that the slider stands at."""
        return self.value() + self._origin

    def follow(self, oldest: int, newest: int, shown: int, n_window: int) -> None:
        """Show where the view stands; nothing happens while the operator holds the slider."""
        if self.isSliderDown():
            return
        last = self.maximum() + self._origin
        is_live = shown == newest and self.value() == self.maximum()
        if is_live and last <= newest < last + n_window // 2:
            return  # repainting the bar 30 times a second helps nobody
        oldest = self._origin = max(oldest, newest - LENGTH_MAX)
        self.setRange(min(n_window, newest - oldest), newest - oldest)
        self.setPageStep(min(n_window, LENGTH_MAX))
        self.setSingleStep(max(1, n_window // 10))
        self.setValue(max(0, shown - oldest))
