"""A label for words of any length in little room."""

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QLabel, QSizePolicy

MIN_WIDTH = 60


class ElidedLabel(QLabel):
    """One line that ends in an ellipsis where the room ends; it never widens the window."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(MIN_WIDTH)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a size that does not depend on the words."""
        return QSize(MIN_WIDTH, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw as much as there is room for."""
        place, elide = self.contentsRect(), Qt.TextElideMode.ElideRight
        text = self.fontMetrics().elidedText(self.text(), elide, place.width())
        painter, style = QPainter(self), self.style()
        if style is not None:
            flags, role = Qt.AlignmentFlag.AlignVCenter, self.foregroundRole()
            style.drawItemText(
                painter, place, int(flags), self.palette(), self.isEnabled(), text, role
            )
