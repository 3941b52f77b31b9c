"""The scroll bar below a view of the last minutes."""

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QScrollBar


class HistoryScrollBar(QScrollBar):
    """Its value is the column at the right edge of the view."""

    moved = pyqtSignal(int)
    """The operator wants this column at the right edge."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setToolTip("scroll back over what this window has kept")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.actionTriggered.connect(lambda _: self.moved.emit(self.sliderPosition()))

    def follow(self, oldest: int, newest: int, shown: int, n_window: int) -> None:
        """Show where the view stands; nothing happens while the operator holds the slider."""
        if self.isSliderDown():
            return
        is_live = shown == newest and self.value() == self.maximum()
        if is_live and self.maximum() <= newest < self.maximum() + n_window // 2:
            return  # repainting the bar 30 times a second helps nobody
        self.setRange(min(oldest + n_window, newest), newest)
        self.setPageStep(n_window)
        self.setSingleStep(max(1, n_window // 10))
        self.setValue(shown)
