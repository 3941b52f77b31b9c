"""The row of controls above the traces."""

import dataclasses
from collections.abc import Callable

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.drawing.trace_settings import N_LANES, SCALES_UV, WINDOWS_S, TraceSettings


class TraceControls(QWidget):
    """Shows `TraceSettings` and asks for others. It decides nothing: the view sets them back."""

    settings_wanted = pyqtSignal(object)
    """A `TraceSettings`."""
    pause_clicked = pyqtSignal()
    fit_clicked = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self._settings = TraceSettings()
        self.window_choice = self._combo(
            "time window, − and + keys", [(f"{w:g} s", w) for w in WINDOWS_S]
        )
        self.scale_choice = self._combo(
            "microvolts from the middle of a cell to its edge, up and down keys",
            [(f"±{s:g} µV", s) for s in SCALES_UV],
        )
        self.signal_choice = self._combo(
            "filtered: as the spike detector sees it; raw: as the amplifier sent it (F)",
            [("filtered", True), ("raw", False)],
        )
        self.layout_choice = self._combo(
            "cells where the electrodes lie, or lanes one below the other (L)",
            [("electrodes", True), ("lanes", False)],
        )
        self.lanes_choice = self._combo(
            "lanes on a page; Page Up and Page Down turn it", [(f"{n} lanes", n) for n in N_LANES]
        )
        self.fit_button = QPushButton("Fit each")
        self.fit_button.setCheckable(True)
        self.fit_button.setToolTip(
            "a scale of its own for each channel, from what is on the screen (A)"
        )
        self.pause_button = QPushButton("Pause")
        self.pause_button.setToolTip(
            "stop the picture, not the acquisition (Space); ← → scroll back"
        )
        for button in (self.fit_button, self.pause_button):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Space belongs to the view
        self.state_label = QLabel()
        self.state_label.setToolTip("Whether the picture is live, and where the cursor is")
        self.state_label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._arrange()
        self._connect()

    def _combo(self, tip: str, choices: list[tuple[str, object]]) -> QComboBox:
        combo = CalmComboBox()
        combo.setToolTip(tip)
        for text, value in choices:
            combo.addItem(text, value)
        return combo

    def _arrange(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        row.setSpacing(8)
        for widget in (
            self.layout_choice,
            self.lanes_choice,
            self.signal_choice,
            self.window_choice,
            self.scale_choice,
            self.fit_button,
            self.pause_button,
        ):
            row.addWidget(widget)
        row.addWidget(self.state_label, 1)

    def _connect(self) -> None:
        def chooses(combo: QComboBox, field: str) -> Callable[[int], None]:
            def choose(index: int) -> None:
                value = combo.itemData(index)
                self.settings_wanted.emit(dataclasses.replace(self._settings, **{field: value}))

            return choose

        self.window_choice.activated.connect(chooses(self.window_choice, "window_s"))
        self.scale_choice.activated.connect(chooses(self.scale_choice, "scale_uv"))
        self.signal_choice.activated.connect(chooses(self.signal_choice, "is_filtered"))
        self.layout_choice.activated.connect(chooses(self.layout_choice, "is_grid"))
        self.lanes_choice.activated.connect(chooses(self.lanes_choice, "n_lanes"))
        self.fit_button.clicked.connect(self.fit_clicked)
        self.pause_button.clicked.connect(self.pause_clicked)

    def show_settings(self, settings: TraceSettings) -> None:
        """Show what is set."""
        self._settings = settings
        for combo, value in (
            (self.window_choice, settings.window_s),
            (self.scale_choice, settings.scale_uv),
            (self.signal_choice, settings.is_filtered),
            (self.layout_choice, settings.is_grid),
            (self.lanes_choice, settings.n_lanes),
        ):
            combo.setCurrentIndex(combo.findData(value))
        self.lanes_choice.setVisible(not settings.is_grid)
        self.fit_button.setChecked(settings.is_scale_per_channel)

    def show_state(self, text: str, is_live: bool, *, is_calm: bool) -> None:
        """Show where in time the view stands; in bold if that is not simply now."""
        self.pause_button.setText("Pause" if is_live else "Go live")
        self.state_label.setText(text)
        if self.state_label.font().bold() == is_calm:
            font = self.state_label.font()
            font.setBold(not is_calm)
            self.state_label.setFont(font)
