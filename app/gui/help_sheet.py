"""The keys of the window, on one sheet."""

from PyQt6.QtWidgets import QDialog, QGridLayout, QLabel, QVBoxLayout, QWidget

from app.gui.drawing.trace_keys import KEYS
from app.gui.panel import heading, muted


class HelpSheet(QDialog):
    """Lists every key; it does not stop the window."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(18)
        column = QVBoxLayout(self)
        column.addWidget(heading("Everywhere"))
        column.addLayout(self._grid)
        column.addWidget(heading("In the traces"))
        traces = QGridLayout()
        traces.setHorizontalSpacing(18)
        for row, key in enumerate(KEYS):
            traces.addWidget(_key(key.name), row // 2, 2 * (row % 2))
            traces.addWidget(QLabel(key.meaning), row // 2, 2 * (row % 2) + 1)
        column.addLayout(traces)
        column.addWidget(muted("Point at anything for an explanation of what it is."))

    def add_key(self, name: str, meaning: str) -> None:
        """Add a line."""
        row = self._grid.rowCount()
        self._grid.addWidget(_key(name), row, 0)
        self._grid.addWidget(QLabel(meaning), row, 1)
        self._grid.setColumnStretch(1, 1)


def _key(name: str) -> QLabel:
    label = QLabel(name)
    label.setProperty("role", "words")
    return label
