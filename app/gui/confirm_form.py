"""Asks for what changes an instrument: who, why, repeated in words, and a button that is held."""

from collections.abc import Sequence

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QFrame, QLabel, QLineEdit, QVBoxLayout

from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.hold_button import HoldButton
from app.gui.panel import heading, muted, set_tone
from app.gui.theme import Theme


class ConfirmForm(QFrame):
    """One deed of a named operator. `confirmed` comes from holding only: (who, reason)."""

    confirmed = pyqtSignal(str, str)

    def __init__(self, title: str, tip: str, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("card")
        self.setToolTip(tip)
        self.name = CalmComboBox()
        self.name.setToolTip("The operators that the site file names. Only they may do this.")
        self.reason = QLineEdit()
        self.reason.setPlaceholderText("why, for the record")
        self.reason.setAccessibleName(f"Reason: {title}")
        self.reason.setToolTip("Why. It goes into the record of this session.")
        self.reason.setMaxLength(500)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setToolTip("What will be done, or what stands in the way of it")
        self.button = HoldButton("", theme)
        self.button.setToolTip(f"{tip}\nHold for one second, with the mouse or the space bar.")
        self.answer = QLabel()
        self.answer.setWordWrap(True)
        self.answer.setToolTip("What became of it")
        self._deed, self._consequence, self._obstacle = "", "", ""
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 12)
        column.setSpacing(6)
        column.addWidget(heading(title, tip))
        for widget in (muted("Name"), self.name, muted("Reason"), self.reason, self.words):
            column.addWidget(widget)
        column.addWidget(self.button)
        column.addWidget(self.answer)
        self.name.currentTextChanged.connect(self._judge)
        self.reason.textChanged.connect(self._judge)
        self.button.held.connect(self._held)

    def set_operators(self, operators: Sequence[str]) -> None:
        """Offer the site's operators."""
        if [self.name.itemText(i) for i in range(self.name.count())] != list(operators):
            self.name.clear()
            self.name.addItems(list(operators))
        self._judge()

    def set_deed(self, deed: str, consequence: str, obstacle: str = "") -> None:
        """Say what would be done ("unfreeze w12b21"), what follows, and what stands in the way."""
        if (deed, consequence, obstacle) != (self._deed, self._consequence, self._obstacle):
            self._deed, self._consequence, self._obstacle = deed, consequence, obstacle
            self._judge()

    def say(self, sentence: str, tone: str = "") -> None:
        """Show what became of it."""
        self.answer.setText(sentence)
        set_tone(self.answer, tone)

    def _judge(self) -> None:
        why_not = self._obstacle
        if not why_not and not self.name.currentText():
            why_not = "The site file names no operator: nobody can do this."
        if not why_not and not self.reason.text().strip():
            why_not = "Enter a reason."
        self.button.setEnabled(not why_not)
        self.button.setText(f"Hold for 1 s to {self._deed}")
        self.words.setText(why_not or f"{self._consequence} As {self.name.currentText()}.")

    def _held(self) -> None:
        if self.button.isEnabled():
            self.confirmed.emit(self.name.currentText(), self.reason.text().strip())
            self.reason.clear()
