"""Stimulation patterns: what is prepared, what a change would amount to, a trigger by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import (
    QApplication,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
)

from app.gui.confirm_form import ConfirmForm
from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.number_field import NumberField
from app.gui.panel import heading, muted, set_tone
from app.gui.pattern_check import check_pattern, pattern_of, site_toml
from app.gui.theme import Theme
from drivers.mea.protocol import Pattern

# name, label, low, high, unit, factor to SI, tip
FIELDS = (
    ("first_amplitude_a", "First phase", 0.01, 100.0, "uA", 1e-6, "Current of the first phase"),
    ("first_duration_s", "for", 1, 10_000, "us", 1e-6, "Length of the first phase"),
    ("second_amplitude_a", "Second phase", 0.01, 100.0, "uA", 1e-6,
     "Current of the second phase, of opposite sign"),
    ("second_duration_s", "for", 1, 10_000, "us", 1e-6, "Length of the second phase"),
    ("interphase_s", "Gap between", 0, 10_000, "us", 1e-6, "Between the two phases"),
    ("period_s", "Period", 0.1, 10_000, "ms", 1e-3, "From pulse to pulse of the train"),
)  # fmt: skip
UPLOAD_TIP = (
    "Uploads the changed waveform to the amplifier, so that it can be tried by a trigger. The Gate "
    "judges it by the site's limits again; site.toml stays as it is"
)


class PatternEditor(QFrame):
    """Shows one prepared pattern. Editing computes and judges; it changes no instrument.

    A changed one can be uploaded to try it; it lasts until the engine ends, and belongs into
    `site.toml`.
    """

    trigger_wanted = pyqtSignal(str, int)
    upload_wanted = pyqtSignal(str, object, str, str)
    """Amplifier, pattern, who, why."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("card")
        self.choice = CalmComboBox()
        self.choice.setToolTip("The patterns that the amplifier holds, by number and electrodes")
        self.fields = {
            name: NumberField(label, low, high, unit, tip=tip)
            for name, label, low, high, unit, _, tip in FIELDS
        }
        self.n_pulses = NumberField("Pulses", 1, 1000, "", is_whole=True, tip="In one train")
        self.figures = QLabel()
        self.figures.setWordWrap(True)
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.copy = QPushButton("Copy for site.toml")
        self.copy.setToolTip("Copies the pattern as text: site.toml is what the engine starts with")
        self.trigger = QPushButton("Trigger the prepared pattern")
        self.trigger.setToolTip(
            "Asks the Gate for one trigger of what the amplifier holds, as a person's wish"
        )
        self.words = muted()
        self.answer = QLabel()
        self.answer.setWordWrap(True)
        for label, tip in (
            (
                self.figures,
                "Charge of one phase, its density on the electrode's area, what the "
                "second phase does not take back, and how long the whole lasts",
            ),
            (self.verdict, "What the Gate would say of this pattern under this site's limits"),
            (self.words, "What a trigger would do now"),
            (self.answer, "What became of the last request"),
        ):
            label.setToolTip(tip)
        self.upload = ConfirmForm("Try the changed pattern", UPLOAD_TIP, theme)
        self._amplifier: dict[str, Any] | None = None
        self._held: list[dict[str, Any]] = []
        self._is_armed = False
        self._why_no_upload = ""
        self._arrange()
        self.choice.currentIndexChanged.connect(self._show_prepared)
        for field in (*self.fields.values(), self.n_pulses):
            field.changed.connect(self._judge)
        self.copy.clicked.connect(self._copy)
        self.trigger.clicked.connect(self._trigger)
        self.upload.confirmed.connect(self._upload)
        self.hide()

    def _arrange(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 12)
        column.addWidget(heading("Stimulation pattern"))
        column.addWidget(self.choice)
        grid = QGridLayout()
        for index, field in enumerate((*self.fields.values(), self.n_pulses)):
            grid.addWidget(field, index // 2, index % 2)
        column.addLayout(grid)
        for widget in (self.figures, self.verdict, self.words, self.answer):
            column.addWidget(widget)
        row = QHBoxLayout()
        row.addWidget(self.copy)
        row.addWidget(self.trigger)
        column.addLayout(row)
        column.addWidget(self.upload)

    def set_amplifier(self, amplifier: dict[str, Any] | None) -> None:
        """Take an amplifier's patterns and limits."""
        can_stimulate = amplifier is not None and amplifier["limits"] is not None
        self._amplifier = amplifier if can_stimulate else None
        self.setVisible(can_stimulate)
        if amplifier is None or not can_stimulate:
            return
        self.choice.blockSignals(True)
        self.choice.clear()
        for pattern in amplifier["patterns"]:
            self.choice.addItem("", pattern)
        self.choice.blockSignals(False)
        self._held = []
        self._name_patterns()
        self._show_prepared()

    def set_operators(self, operators: Sequence[str]) -> None:
        """Offer the site's operators."""
        self.upload.set_operators(operators)

    def set_state(self, *, is_armed: bool, why_no_upload: str) -> None:
        """Say whether a trigger can be permitted, and what stands in the way of an upload."""
        if (is_armed, why_no_upload) != (self._is_armed, self._why_no_upload):
            self._is_armed, self._why_no_upload = is_armed, why_no_upload
            self._judge()

    def show_held(self, held: list[dict[str, Any]]) -> None:
        """Take what the amplifier holds, where that is not what the engine was started with."""
        if held == self._held:
            return
        self._held = held
        by_id = {pattern["pattern_id"]: pattern for pattern in held}
        for index in range(self.choice.count()):
            prepared = self.choice.itemData(index)
            now = by_id.get(prepared["pattern_id"], {})
            self.choice.setItemData(index, {**prepared, **now})
        self._name_patterns()
        self._judge()

    def say_uploaded(self, sentence: str, tone: str) -> None:
        """Show what became of an upload."""
        self.answer.setText(sentence)
        set_tone(self.answer, tone)

    def _name_patterns(self) -> None:
        for index in range(self.choice.count()):
            pattern = self.choice.itemData(index)
            text = f"pattern {pattern['pattern_id']}: {', '.join(pattern['channels'])}"
            if not pattern.get("is_in_file", True):
                text += "  – differs from site.toml"
            self.choice.setItemText(index, text)

    def pattern(self) -> Pattern | None:
        """Return the pattern as it is typed; None while a field is refused."""
        prepared = self.choice.currentData()
        if prepared is None:
            return None
        original = pattern_of(prepared)
        values: dict[str, Any] = {}
        for name, _, _, _, _, factor, _ in FIELDS:
            value = self.fields[name].value
            if value is None:
                return None
            values[name] = float(f"{value * factor:.12g}")
        n_pulses = self.n_pulses.value
        if n_pulses is None:
            return None
        return replace(original, pulse=replace(original.pulse, n_pulses=int(n_pulses), **values))

    def _show_prepared(self) -> None:
        prepared = self.choice.currentData()
        if prepared is None:
            return
        for name, _, _, _, _, factor, _ in FIELDS:
            self.fields[name].set_value(float(f"{prepared[name] / factor:.9g}"))
        self.n_pulses.set_value(prepared["n_pulses"])
        self._judge()

    def _judge(self) -> None:
        prepared = self.choice.currentData()
        amplifier = self._amplifier
        pattern = self.pattern()
        self.copy.setEnabled(False)
        self.trigger.setEnabled(False)
        if amplifier is None or prepared is None:
            return
        if pattern is None:
            self.figures.setText("")
            self._say("Not computed: a field is not understood.", "bad")
            return
        limits, area_um2 = amplifier["limits"], amplifier["electrode_area_um2"]
        verdict = check_pattern(pattern, limits, area_um2, amplifier["name"])
        self.figures.setText(
            f"{verdict.charge} · {verdict.density}\n{verdict.balance} · lasts {verdict.duration}"
        )
        if verdict.refusal:
            self._say(f"The Gate would refuse: {verdict.refusal}", "bad")
        else:
            self._say("Within this site's limits.", "good")
        self.copy.setEnabled(not verdict.refusal)
        self._offer_trigger(pattern, prepared, is_well=not verdict.refusal)

    def _offer_trigger(self, pattern: Pattern, prepared: dict[str, Any], *, is_well: bool) -> None:
        is_changed = _rounded(pattern) != _rounded(pattern_of(prepared))
        self._offer_upload(pattern, is_offered=is_changed and is_well)
        self.trigger.setEnabled(self._is_armed and is_well and not is_changed)
        number = prepared["pattern_id"]
        self.trigger.setText(f"Trigger pattern {number}")
        if is_changed:
            self.words.setText("Changed here only: the amplifier holds another one.")
        elif not self._is_armed:
            self.words.setText("The site is not armed: nothing can be triggered.")
        else:
            pulse = pattern.pulse
            self.words.setText(
                f"Triggers {pulse.n_pulses} × {pulse.first_amplitude_a * 1e6:g} microampere for "
                f"{pulse.first_duration_s * 1e6:g} microseconds on {', '.join(pattern.channels)}."
            )

    def _say(self, text: str, tone: str) -> None:
        self.verdict.setText(text)
        set_tone(self.verdict, tone)

    def _copy(self) -> None:
        pattern, prepared = self.pattern(), self.choice.currentData()
        clipboard = QApplication.clipboard()
        if pattern is not None and clipboard is not None:
            clipboard.setText(site_toml(pattern, prepared["post"]))
            self.answer.setText("Copied. It takes effect at the engine's next start.")

    def _offer_upload(self, pattern: Pattern, *, is_offered: bool) -> None:
        self.upload.setVisible(is_offered)
        self.upload.set_deed(
            f"upload pattern {pattern.pattern_id}",
            "The amplifier stops for some seconds and holds this waveform until the engine ends. "
            "site.toml stays as it is.",
            self._why_no_upload,
        )

    def _upload(self, who: str, reason: str) -> None:
        pattern = self.pattern()
        if self._amplifier is not None and pattern is not None:
            self.upload_wanted.emit(self._amplifier["name"], pattern, who, reason)

    def _trigger(self) -> None:
        if self._amplifier is not None:
            number = self.choice.currentData()["pattern_id"]
            self.trigger_wanted.emit(self._amplifier["name"], number)


def _rounded(pattern: Pattern) -> tuple[object, ...]:
    """Return a pattern's figures to nine digits: what a field shows is no exact binary number."""
    pulse = pattern.pulse
    names = pulse.__dataclass_fields__
    return tuple(f"{getattr(pulse, name):.9g}" for name in names if name != "is_negative_first")
