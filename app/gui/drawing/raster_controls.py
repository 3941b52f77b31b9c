"""The row of controls and the legend above the raster."""

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.drawing.palette import Palette

WINDOWS_S = (2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
DEFAULT_WINDOW_S = 10.0


class RasterControls(QWidget):
    """Time window, pause, what the colours mean, and where in time the view stands."""

    window_chosen = pyqtSignal()
    pause_clicked = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.window_choice = CalmComboBox()
        for window_s in WINDOWS_S:
            self.window_choice.addItem(f"{window_s:g} s", window_s)
        self.window_choice.setCurrentIndex(WINDOWS_S.index(DEFAULT_WINDOW_S))
        self.window_choice.setToolTip("time window, − and + keys")
        self.pause_button = QPushButton("Pause")
        self.pause_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Space belongs to the view
        self.pause_button.setToolTip("stop the picture, not the acquisition (Space)")
        self.legend, self.state_label = QLabel(), QLabel()
        self.legend.setToolTip(
            "late or artefact: an event that was sent again and moved nothing, or spikes on most "
            "channels at once"
        )
        self.state_label.setToolTip("Whether the picture is live or paused")
        self.state_label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        row.setSpacing(12)
        for widget in (self.window_choice, self.pause_button, self.legend, self.state_label):
            row.addWidget(widget)
        self.window_choice.activated.connect(lambda _: self.window_chosen.emit())
        self.pause_button.clicked.connect(lambda _: self.pause_clicked.emit())

    @property
    def window_s(self) -> float:
        """Get the time window."""
        return float(self.window_choice.currentData())

    def set_window(self, window_s: float) -> None:
        """Show another window, one of `WINDOWS_S`."""
        self.window_choice.setCurrentIndex(WINDOWS_S.index(window_s))
        self.window_chosen.emit()

    def step_window(self, n_steps: int) -> None:
        """Show a longer (positive) or shorter window; at the ends nothing changes."""
        index = self.window_choice.currentIndex() + n_steps
        self.set_window(WINDOWS_S[min(max(0, index), len(WINDOWS_S) - 1)])

    def show_legend(self, sites: tuple[str, ...], colours: list[int], palette: Palette) -> None:
        """Say what the colours mean; `colours` by colour number, sites first."""
        names = (*sites, "stimulated", "PSP delivered", "late or artefact", "declared missing")
        parts = [
            f'<span style="color:#{colour & 0xFFFFFF:06x}">■</span> {name}'
            for colour, name in zip([*colours, palette.gap], names, strict=True)
        ]
        self.legend.setText("&nbsp;&nbsp; ".join(parts))

    def show_state(self, text: str, *, is_live: bool) -> None:
        """Show where in time the view stands."""
        self.state_label.setText(text)
        self.pause_button.setText("Pause" if is_live else "Go live")
