"""Fields for what a procedure asks for, made from the table of procedures."""

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QCheckBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from app.bench.forms import Asked, Choice, Flag, Number, Value
from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.number_field import NumberField
from app.gui.numbers import NotANumber, in_words, parse_number
from app.gui.panel import heading, set_tone

REFUSED = object()
"""What a field gives while its text is refused."""


class OneNumber(NumberField):
    """One number in the unit in which people type it."""

    def __init__(self, asked: Number) -> None:
        unit, self._factor = _typed_in(asked)
        default = asked.default
        text = f"{default / self._factor:.9g}" if isinstance(default, int | float) else ""
        super().__init__(
            asked.label, asked.low / self._factor, asked.high / self._factor, unit, text=text,
            is_whole=asked.is_whole, tip=asked.tip,
            is_optional=asked.default is None and not asked.is_required,
        )  # fmt: skip

    def taken(self) -> Value | object:
        """Return the value in SI units."""
        if self.is_left_empty:
            return None
        value = self.value
        return REFUSED if value is None else float(f"{value * self._factor:.12g}")


class ManyNumbers(QWidget):
    """Some numbers with spaces between them, repeated in words."""

    changed = pyqtSignal()

    def __init__(self, asked: Number) -> None:
        super().__init__()
        self._asked = asked
        self._unit, self._factor = _typed_in(asked)
        self.edit = QLineEdit()
        self.edit.setMaxLength(32767)
        self.edit.setAccessibleName(asked.label)
        self.edit.setPlaceholderText("with spaces between them")
        self.setToolTip(f"{asked.label} in {self._unit}: {asked.tip}")
        self.said = QLabel()
        self.said.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(heading(f"{asked.label}, {self._unit}"))
        column.addWidget(self.edit)
        column.addWidget(self.said)
        self.edit.textChanged.connect(self._judge)
        self._judge()

    def taken(self) -> Value | object:
        """Return the values in SI units."""
        parsed = self._parsed()
        if isinstance(parsed, NotANumber):
            return REFUSED
        return tuple(float(f"{value * self._factor:.12g}") for value in parsed)

    def _parsed(self) -> tuple[float, ...] | NotANumber:
        low, high = self._asked.low / self._factor, self._asked.high / self._factor
        values = []
        for part in self.edit.text().split(" "):
            if part:
                value = parse_number(part, low, high, self._unit)
                if isinstance(value, NotANumber):
                    return value
                values.append(value)
        return tuple(values) if values else NotANumber("nothing is entered")

    def _judge(self) -> None:
        parsed = self._parsed()
        is_refused = isinstance(parsed, NotANumber)
        if isinstance(parsed, NotANumber):
            self.said.setText(parsed.sentence)
        else:
            self.said.setText(", ".join(in_words(value, self._unit) for value in parsed))
        set_tone(self.said, "bad" if is_refused else "")
        self.changed.emit()


class OneChoice(QWidget):
    """One of some words."""

    changed = pyqtSignal()

    def __init__(self, asked: Choice) -> None:
        super().__init__()
        self.box = CalmComboBox()
        self.box.addItems(list(asked.words))
        self.box.setCurrentText(asked.default)
        self.box.setToolTip(asked.tip or asked.label)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading(asked.label))
        column.addWidget(self.box)
        self.box.currentTextChanged.connect(self.changed)

    def taken(self) -> Value | object:
        """Return the word."""
        return self.box.currentText()


class YesOrNo(QCheckBox):
    """Yes or no."""

    changed = pyqtSignal()

    def __init__(self, asked: Flag) -> None:
        super().__init__(asked.label)
        self.setToolTip(asked.tip or asked.label)
        self.toggled.connect(self.changed)

    def taken(self) -> Value | object:
        """Return whether it is ticked."""
        return self.isChecked()


AnyField = OneNumber | ManyNumbers | OneChoice | YesOrNo


def field_for(asked: Asked) -> AnyField:
    """Return the widget for one thing that is asked."""
    if isinstance(asked, Flag):
        return YesOrNo(asked)
    if isinstance(asked, Choice):
        return OneChoice(asked)
    return ManyNumbers(asked) if asked.is_list else OneNumber(asked)


def _typed_in(asked: Number) -> tuple[str, float]:
    return (asked.unit, 1.0) if asked.shown is None else (asked.shown.unit, asked.shown.factor)
