"""A button that acts only when it is held: an accident lets go too soon."""

from collections.abc import Callable
from time import monotonic

from PyQt6.QtCore import QRectF, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QColor, QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PyQt6.QtWidgets import QPushButton

from app.gui.theme import Theme

HOLD_S = 1.0


class HoldButton(QPushButton):
    """Emits `held` after one second of pressing, by mouse or space bar, and never sooner.

    Letting go, losing the focus or being disabled begins anew. Enter and a double click do nothing.
    """

    held = pyqtSignal()

    def __init__(self, text: str, theme: Theme, clock_s: Callable[[], float] = monotonic) -> None:
        super().__init__(text)
        self._clock_s = clock_s
        self._theme = theme
        self._since_s: float | None = None
        self._has_fired = False
        self.setAutoDefault(False)
        self.setMinimumHeight(52)
        self._timer = QTimer(self)
        self._timer.setInterval(30)
        self._timer.timeout.connect(self.look)
        self.pressed.connect(self._begin)
        self.released.connect(self._end)

    @property
    def progress(self) -> float:
        """Get how much of the time has been held, 0 to 1."""
        if self._since_s is None:
            return 0.0
        return min(1.0, (self._clock_s() - self._since_s) / HOLD_S)

    def look(self) -> None:
        """See how long it has been held; the timer calls this."""
        self.update()
        is_held = self.isDown() and self.isEnabled() and self.progress >= 1.0
        if is_held and not self._has_fired:
            self._has_fired = True
            self.held.emit()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        self.update()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the space bar, once; a repeating key is the same pressing."""
        if event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()
            return
        if event is not None and event.isAutoRepeat():
            return
        super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Ignore the releases that a repeating key makes up."""
        if event is None or not event.isAutoRepeat():
            super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QFocusEvent | None) -> None:  # noqa: N802 - Qt's name
        """Begin anew: whoever looks elsewhere does not arm."""
        self._end()
        self.setDown(False)
        super().focusOutEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Take the second click as a click."""
        super().mousePressEvent(event)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the button, and over it how much has been held."""
        super().paintEvent(event)
        if self._since_s is None:
            return
        painter = QPainter(self)
        colour = QColor(self._theme.armed)
        colour.setAlpha(150)
        width = self.width() * self.progress
        painter.fillRect(QRectF(0, self.height() - 8, width, 8), colour)

    def _begin(self) -> None:
        self._since_s, self._has_fired = self._clock_s(), False
        self._timer.start()

    def _end(self) -> None:
        self._since_s = None
        self._timer.stop()
        self.update()
