"""A question that must be answered before anything else, but for the emergency stop."""

from collections.abc import Callable

from PyQt6.QtGui import QKeyEvent, QKeySequence
from PyQt6.QtWidgets import QMessageBox, QWidget

STOP_KEY = "F12"
_STOP_KEY_CODE = QKeySequence(STOP_KEY)[0].key()


class AskBox(QMessageBox):
    """A question over the window. It has the emergency stop too: it hides that of the window.

    Qt lets neither a click nor a key through to a window that is being asked something. Stopping
    also ends the question, with the answer that Escape gives.
    """

    def __init__(self, parent: QWidget, title: str, text: str, stop: Callable[[], object]) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setText(text)
        self._stop = stop
        self.stop_button = self.addButton("EMERGENCY STOP", QMessageBox.ButtonRole.ActionRole)
        if self.stop_button is not None:
            self.stop_button.setObjectName("stop")
            self.stop_button.setAutoDefault(False)
            self.stop_button.setToolTip(f"Switch everything off, everywhere ({STOP_KEY})")
            self.stop_button.clicked.connect(stop)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Stop on the stop's key."""
        if event is not None and event.key() == _STOP_KEY_CODE:
            if not event.isAutoRepeat():
                self._stop()
                self.reject()
            return
        super().keyPressEvent(event)
