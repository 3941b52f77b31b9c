"""Choosing a procedure and its values: repeated in words, with what the Gate will say to them."""

from collections.abc import Mapping
from typing import Any

import msgspec
from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QCheckBox, QFrame, QGridLayout, QLabel, QVBoxLayout, QWidget

from app.bench.forms import FORMS, Form, Value
from app.bench.order_check import Estimate, check_order
from app.config.limits import DeviceLimits
from app.gui.bench.fields import REFUSED, AnyField, ManyNumbers, OneNumber, YesOrNo, field_for
from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.number_field import NumberField
from app.gui.numbers import duration, grouped, with_prefix
from app.gui.panel import heading, muted, set_tone
from drivers.smu.protocol import Capabilities

SHOWN_FORMS = tuple(form for form in FORMS if form.name != "unfreeze")


class ProcedureForm(QFrame):
    """`changed` whenever what would be done changes."""

    changed = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        self.choice = CalmComboBox()
        self.choice.setToolTip("What is to be done")
        for form in SHOWN_FORMS:
            self.choice.addItem(form.title, form.name)
        self.sentence = muted()
        self.takes_all = QCheckBox("All devices of the site file")
        self.takes_all.setToolTip("In place of the one that is chosen on the map")
        self.temperature = NumberField(
            "Temperature",
            -200.0,
            500.0,
            "°C",
            is_optional=True,
            tip="Of the devices, for the record",
        )
        self.fields: dict[str, AnyField] = {}
        self.sentence.setToolTip("What the chosen procedure does to a device")
        self.words = QLabel()
        self.words.setToolTip("What would be done, in words: read it before starting")
        self.verdict = QLabel()
        self.verdict.setToolTip("What the Gate would say to it, how many pulses it is, how long")
        for label in (self.words, self.verdict):
            label.setWordWrap(True)
        self.estimate: Estimate | None = None
        self._holder = QWidget()
        self._device = ""
        self._facts: tuple[DeviceLimits, Capabilities] | None = None
        self._arrange()
        self.choice.currentIndexChanged.connect(self._show_fields)
        self.takes_all.toggled.connect(self._judge)
        self.temperature.changed.connect(self._judge)
        self._show_fields()

    @property
    def form(self) -> Form:
        """Get the procedure that is chosen."""
        return SHOWN_FORMS[max(0, self.choice.currentIndex())]

    def set_device(self, name: str, facts: Mapping[str, Any] | None) -> None:
        """Take the chosen device, and what its limits allow as far as the engine has said."""
        self._device = name
        self._facts = None
        if facts is not None:
            self._facts = (
                msgspec.convert(facts["limits"], DeviceLimits),
                msgspec.convert(facts["capabilities"], Capabilities),
            )
        self._judge()

    def order(self) -> dict[str, str | float | bool | None] | None:
        """Return a console command's arguments; None while something is missing or refused."""
        values = self.values()
        is_all = self.form.takes_many and self.takes_all.isChecked()
        is_array = bool(values and values.get("all"))
        is_cold = self.temperature.value is None and not self.temperature.is_left_empty
        if values is None or is_cold or not (self._device or is_all or is_array):
            return None
        given: dict[str, str | float | bool | None] = {
            name: " ".join(map(repr, value)) if isinstance(value, tuple) else value
            for name, value in values.items()
        }
        given |= {"procedure": self.form.name, "temperature-c": self.temperature.value}
        if not (is_all or is_array):
            given["devices"] = self._device
        return given

    def _arrange(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 12)
        column.setSpacing(8)
        column.addWidget(heading("Procedure"))
        for widget in (self.choice, self.sentence, self._holder, self.takes_all, self.temperature):
            column.addWidget(widget)
        self._column = column

    def _show_fields(self) -> None:
        form = self.form
        self.sentence.setText(form.sentence)
        self.takes_all.setVisible(form.takes_many)
        holder = QWidget()
        grid = QGridLayout(holder)
        grid.setContentsMargins(0, 0, 0, 0)
        self.fields = {asked.name: field_for(asked) for asked in form.asked}
        row = column = 0
        for field in self.fields.values():
            is_wide = isinstance(field, ManyNumbers)
            if column and (is_wide or not isinstance(field, OneNumber)):
                row, column = row + 1, 0
            grid.addWidget(field, row, column, 1, 2 if is_wide else 1)
            row, column = (row, 1) if not column and isinstance(field, OneNumber) else (row + 1, 0)
            field.changed.connect(self._judge)
        self._column.replaceWidget(self._holder, holder)
        self._holder.deleteLater()
        self._holder = holder
        self._judge()

    def values(self) -> dict[str, Value] | None:
        """Return a value for everything that is asked; None while one is missing or refused."""
        taken = {name: field.taken() for name, field in self.fields.items()}
        if any(value is REFUSED for value in taken.values()):
            return None
        try:
            return self.form.taken(taken)
        except ValueError:
            return None

    def _judge(self) -> None:
        values = self.values()
        self.estimate = None
        if values is None:
            self.words.setText("")
            self._say("A value is missing or not understood.", "bad")
        else:
            self.words.setText(self._sentence(values))
            self._say_what_gate_says(values)
        self.changed.emit()

    def _sentence(self, values: Mapping[str, Value]) -> str:
        told = (_words(field, values[name]) for name, field in self.fields.items())
        said = "; ".join(words for words in told if words)
        on = self._device or "no device"
        if values.get("all"):
            on = "every position of the array"
        elif self.form.takes_many and self.takes_all.isChecked():
            on = "all devices of the site file"
        return f"{self.form.title} on {on}{f': {said}' if said else ''}."

    def _say_what_gate_says(self, values: dict[str, Value]) -> None:
        if self._facts is None:
            self._say("" if not self.form.is_pulsing else "This device's limits are not known.", "")
            return
        limits, can = self._facts
        self.estimate = found = check_order(self.form.name, values, self._device, limits, can)
        if found.refusals:
            self._say(f"The Gate would refuse: {found.refusals[0]}", "bad")
        elif self.form.is_pulsing:
            highest_v = limits.max_forming_v if self.form.is_forming else limits.max_amplitude_v
            low, high = (
                with_prefix(edge, "ohm") for edge in (limits.window_min_ohm, limits.window_max_ohm)
            )
            self._say(
                f"Within this device's limits: ±{highest_v:g} V, "
                f"{with_prefix(max(limits.min_width_s, can.min_width_s), 's')} to "
                f"{with_prefix(min(limits.max_width_s, can.max_width_s), 's')}"
                f"{_tolerance(can)}, window {low} to "
                f"{high}, {limits.max_per_second} a second. At most {grouped(found.n_pulses)} "
                f"pulses, which last {duration(found.shortest_s)} or longer.",
                "good",
            )
        else:
            lasting = f" Lasts {duration(found.shortest_s)}." if found.shortest_s else ""
            self._say(f"Reads only: nothing is pulsed.{lasting}", "good")

    def _say(self, sentence: str, tone: str) -> None:
        self.verdict.setText(sentence)
        set_tone(self.verdict, tone)


def _tolerance(can: Capabilities) -> str:
    """Return how right the width of a pulse is, where a unit does not make it exactly."""
    return f" (right to {with_prefix(can.width_jitter_s, 's')})" if can.width_jitter_s else ""


def _words(field: AnyField, value: Value) -> str:
    """Return a value as a person checks it, or nothing where nothing was asked for."""
    if isinstance(field, OneNumber):
        return "" if value is None else f"{field.edit.accessibleName().lower()} {field.said}"
    if isinstance(field, ManyNumbers):
        return f"{field.edit.accessibleName().lower()} {field.said.text()}"
    if isinstance(field, YesOrNo):
        return field.text().lower() if value else ""
    return str(value)
