"""A band below the top bar for what went wrong; it stays until somebody has read it."""

from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton

from app.gui.panel import set_tone


class FaultBar(QFrame):
    """The newest fault and how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        self.n_faults = 0
        self.text = QLabel()
        self.text.setWordWrap(True)
        set_tone(self.text, "bad")
        self.dismiss = QPushButton("Read")
        self.dismiss.setToolTip("Hide this band; the log keeps the fault")
        self.dismiss.clicked.connect(self._read)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 12, 6)
        row.addWidget(self.text, 1)
        row.addWidget(self.dismiss)
        self.hide()

    def show_fault(self, text: str) -> None:
        """Show a fault."""
        self.n_faults += 1
        count = f"({self.n_faults}) " if self.n_faults > 1 else ""
        self.text.setText(count + text)
        self.show()

    def _read(self) -> None:
        self.n_faults = 0
        self.hide()
