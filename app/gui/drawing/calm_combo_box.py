"""A choice that the mouse wheel does not change."""

from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QComboBox


class CalmComboBox(QComboBox):
    """Ignores the wheel: turning it over a control must not change what is shown."""

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Leave the wheel to what lies behind."""
        if event is not None:
            event.ignore()
