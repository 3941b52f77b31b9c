"""The bar that is always in sight: which site, its state in words, and the emergency stop."""

from collections.abc import Sequence
from typing import Any

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
)

from app.gui.ask_box import STOP_KEY
from app.gui.elided_label import ElidedLabel
from app.gui.panel import set_tone
from app.gui.state_words import StateWords


class TopBar(QFrame):
    """Sites to choose from, the chosen one's state, who holds control, EMERGENCY STOP."""

    site_chosen = pyqtSignal(int)
    stop_clicked = pyqtSignal()
    control_clicked = pyqtSignal()

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.setObjectName("topbar")
        self.sites: list[QPushButton] = []
        self.state = QLabel("UNKNOWN")
        self.state.setObjectName("state")
        self.meaning, self.detail = ElidedLabel(), ElidedLabel()
        self.detail.setProperty("role", "muted")
        self.state.setToolTip("The state of the chosen site; the Safety panel explains it")
        self.source = QLabel()
        self.source.setToolTip("Where the signals come from; nothing stands here if all are live")
        self.control = QPushButton("Control: unknown")
        self.control.setToolTip(
            "One window at a time may change things. Anybody may look, disarm and stop."
        )
        self.control.clicked.connect(self.control_clicked)
        self.stop = QPushButton("EMERGENCY STOP")
        self.stop.setObjectName("stop")
        self.stop.setToolTip(
            f"Switch everything off, here and at every linked site. One click, or {STOP_KEY}. "
            "It needs no confirmation and is never disabled."
        )
        self.stop.clicked.connect(self.stop_clicked)
        self._group = QButtonGroup(self)
        self._arrange(names)

    def _arrange(self, names: Sequence[str]) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(12)
        for index, name in enumerate(names):
            button = QPushButton(name)
            button.setObjectName("site")
            button.setToolTip(f"Show site {name}")
            button.setCheckable(True)
            button.setChecked(index == 0)
            self._group.addButton(button, index)
            row.addWidget(button)
            self.sites.append(button)
        self._group.idClicked.connect(self.site_chosen)
        row.addWidget(self.state)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.meaning)
        words.addWidget(self.detail)
        row.addLayout(words, 1)
        row.addWidget(self.source)
        row.addWidget(self.control)
        row.addWidget(self.stop)

    def show_site(self, index: int, name: str, words: StateWords) -> None:
        """Show a site's state on its own button: no state is hidden behind another site."""
        button = self.sites[index]
        if len(self.sites) > 1:
            button.setText(f"{name}  {words.name}")
        else:
            button.setText(name)

    def show_state(self, words: StateWords) -> None:
        """Show the chosen site's state."""
        self.state.setText(words.name)
        set_tone(self.state, words.tone)
        self.meaning.setText(words.meaning)
        self.meaning.setToolTip(words.meaning)
        self.detail.setText(words.detail)
        self.detail.setToolTip(words.detail)

    def show_source(self, provenances: Sequence[str]) -> None:
        """Say in words when what is shown is not live."""
        unreal = sorted({p for p in provenances if p != "live"})
        text = {"mock": "MOCK INSTRUMENTS", "playback": "PLAYBACK"}
        self.source.setText("  ".join(text.get(p, p.upper()) for p in unreal))
        self.source.setToolTip("No living tissue is connected: signals come from a simulation.")
        set_tone(self.source, "warning")

    def show_control(self, control: dict[str, Any], *, is_ours: bool, is_known: bool) -> None:
        """Show who may change things."""
        if not is_known:
            text = "Control: unknown"
        elif is_ours:
            text = "Control: this window"
        elif control.get("number") is None:
            text = "Control: free – take it"
        else:
            text = f"Control: {control.get('name')} – take it"
        self.control.setText(text)
