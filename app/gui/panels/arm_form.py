"""Arming: who, why, for how long, repeated in words, and a button that must be held."""

from collections.abc import Sequence
from dataclasses import dataclass

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QFrame, QLabel, QLineEdit, QVBoxLayout

from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.hold_button import HoldButton
from app.gui.number_field import NumberField
from app.gui.panel import heading, muted
from app.gui.theme import Theme

MAX_MINUTES = 24 * 60.0


@dataclass(frozen=True, slots=True)
class ArmingWanted:
    """What is asked for."""

    who: str
    reason: str
    seconds: float


class ArmForm(QFrame):
    """Asks for everything that an arming needs; `arm_wanted` comes from holding only."""

    arm_wanted = pyqtSignal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("card")
        self._site = "this site"
        self._obstacle = ""
        self.name = CalmComboBox()
        self.name.setToolTip("The operators that the site file names. Only they may arm.")
        self.reason = QLineEdit()
        self.reason.setPlaceholderText("why, for the record")
        self.reason.setAccessibleName("Reason: arming")
        self.reason.setMaxLength(500)
        self.reason.setToolTip("Why. It goes into the record of this session.")
        self.minutes = NumberField(
            "Expires after",
            0.1,
            MAX_MINUTES,
            "min",
            text="60",
            tip="The arming ends by itself after this time: outputs are switched off.",
        )
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setToolTip("What holding the button will allow, or what is missing")
        self.button = HoldButton("Hold for 1 s to ARM", theme)
        self.button.setToolTip(
            "Hold for one second, with the mouse or the space bar. While this window lives it "
            "renews the arming twice a second; if it freezes or dies, the site trips within 2 s."
        )
        self._arrange()
        self.name.currentTextChanged.connect(self._judge)
        self.reason.textChanged.connect(self._judge)
        self.minutes.changed.connect(self._judge)
        self.button.held.connect(self.arm_wanted)
        self._judge()

    @property
    def who(self) -> str:
        """Get the operator who is chosen; empty if none is known."""
        return self.name.currentText()

    def set_site(self, site: str, operators: Sequence[str]) -> None:
        """Offer the site's operators."""
        self._site = site
        if [self.name.itemText(i) for i in range(self.name.count())] != list(operators):
            self.name.clear()
            self.name.addItems(list(operators))
        self._judge()

    def set_obstacle(self, sentence: str) -> None:
        """Say what stands in the way of arming; empty if nothing is known to."""
        if sentence != self._obstacle:
            self._obstacle = sentence
            self._judge()

    def wanted(self) -> ArmingWanted | None:
        """Return what is asked for, or None while something is missing."""
        minutes = self.minutes.value
        reason = self.reason.text().strip()
        if minutes is None or not reason or not self.who:
            return None
        return ArmingWanted(self.who, reason, minutes * 60.0)

    def _arrange(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 10, 12, 12)
        layout.setSpacing(8)
        layout.addWidget(heading("Arm: allow stimuli and pulses"))
        for name, field in (("Name", self.name), ("Reason", self.reason)):
            label = muted(name)
            label.setToolTip(field.toolTip())
            layout.addWidget(label)
            layout.addWidget(field)
        layout.addWidget(self.minutes)
        layout.addWidget(self.words)
        layout.addWidget(self.button)

    def _judge(self) -> None:
        wanted = self.wanted()
        self.button.setEnabled(wanted is not None and not self._obstacle)
        self.button.setText(f"Hold for 1 s to ARM {self._site}")
        self.words.setText(self._sentence(wanted))

    def _sentence(self, wanted: ArmingWanted | None) -> str:
        if not self.who:
            return "The site file names no operator: nobody can arm from here."
        if self.minutes.value is None:
            return "The time is not understood."
        if wanted is None:
            return "Enter a reason."
        return (
            f"You allow stimuli and pulses at {self._site} for {self.minutes.value:g} minutes, as "
            f"{wanted.who}."
        )
