"""The head of a panel: its title and, in a sentence, what it is."""

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QMouseEvent
from PyQt6.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QSizePolicy, QWidget

from app.gui.panel import muted


class PanelHead(QWidget):
    """Shown above a panel instead of Qt's title bar; drag it to move the panel.

    A double click takes the panel out of the window, and puts it back.
    """

    def __init__(self, title: str, explanation: str, dock: QDockWidget) -> None:
        super().__init__()
        self._dock = dock
        name = QLabel(title)
        name.setProperty("role", "title")
        said = muted(explanation.split(". ", maxsplit=1)[0].rstrip(".") + ".")
        said.setWordWrap(False)
        said.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 8, 4)
        row.setSpacing(10)
        row.addWidget(name)
        row.addWidget(said, 1)
        self.setToolTip(f"{explanation}\n\nDrag to move; double click to take out of the window.")
        for label in (name, said):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the panel out, or put it back."""
        self._dock.setFloating(not self._dock.isFloating())
        if event is not None:
            event.accept()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Leave pressing and dragging to the dock."""
        if event is not None:
            event.ignore()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Leave dragging to the dock."""
        self.mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Leave letting go to the dock."""
        self.mousePressEvent(event)
