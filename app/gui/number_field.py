"""A field for one number that refuses instead of repairing, and says its value in words."""

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from app.gui.numbers import NotANumber, in_words, parse_number


class NumberField(QWidget):
    """A text field, its unit, and below it the value in words or the reason why it is refused.

    `value` is None while the text is refused. Neither the wheel nor a key that types nothing
    changes it.
    """

    changed = pyqtSignal()

    def __init__(
        self,
        label: str,
        low: float,
        high: float,
        unit: str,
        *,
        text: str = "",
        is_whole: bool = False,
        is_optional: bool = False,
        tip: str = "",
    ) -> None:
        super().__init__()
        self._is_optional = is_optional
        self._low, self._high, self._unit, self._is_whole = low, high, unit, is_whole
        self.edit = QLineEdit()
        self.edit.setAccessibleName(label)
        self.edit.setMaxLength(32767)  # a longer text is refused, not cut into another number
        self.edit.setFixedWidth(110)
        self._said = QLabel()
        self._said.setWordWrap(True)
        title = QLabel(label)
        title.setProperty("role", "heading")
        allowed = f"{label}: {low:g} to {high:g} {unit}. Decimal point, no thousands separator."
        self.setToolTip(f"{tip}\n{allowed}" if tip else allowed)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit)
        row.addWidget(QLabel(unit))
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(title)
        column.addLayout(row)
        column.addWidget(self._said)
        self.edit.textChanged.connect(self._judge)
        self.edit.setText(text)
        self._judge()

    @property
    def value(self) -> float | None:
        """Get the number, or None while the text is no number that is allowed."""
        parsed = self._parsed()
        return None if isinstance(parsed, NotANumber) else parsed

    @property
    def is_left_empty(self) -> bool:
        """Say whether nothing is entered where nothing need be."""
        return self._is_optional and not self.edit.text().strip(" ")

    @property
    def said(self) -> str:
        """Get what the field says about its text: the value in words, or why it is refused."""
        return self._said.text()

    def set_value(self, value: float) -> None:
        """Show a number."""
        self.edit.setText(f"{value:.9g}")

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Leave the value alone: a wheel that scrolls a page must not change a current."""
        if event is not None:
            event.ignore()

    def _parsed(self) -> float | NotANumber:
        return parse_number(
            self.edit.text(), self._low, self._high, self._unit, is_whole=self._is_whole
        )

    def _judge(self) -> None:
        parsed = self._parsed()
        is_refused = isinstance(parsed, NotANumber) and not self.is_left_empty
        words = parsed.sentence if isinstance(parsed, NotANumber) else in_words(parsed, self._unit)
        if self.is_left_empty:
            words = "left open"
        self._said.setText(words)
        self._said.setProperty("role", "refused" if is_refused else "words")
        self.edit.setProperty("isRefused", is_refused)
        for widget in (self._said, self.edit):
            style = widget.style()
            if style is not None:
                style.unpolish(widget)
                style.polish(widget)
        self.changed.emit()
