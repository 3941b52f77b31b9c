"""What a recording is of: culture and devices, written into the session as notes."""

from collections.abc import Sequence

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QFrame, QGridLayout, QLineEdit, QPushButton, QVBoxLayout

from app.gui.number_field import NumberField
from app.gui.panel import heading, muted

CULTURE = (("species", "Species", "such as rat, E18"), ("array", "Array", "id of the MEA"))
DEVICE = (("wafer", "Wafer", "id"), ("die", "Die", "id"), ("stack", "Material", "such as TiO2"))


class MetadataForm(QFrame):
    """Asks for what no instrument knows; `saved` carries it as one line of text."""

    saved = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        self.fields: dict[str, QLineEdit] = {}
        self.div = NumberField("Days in vitro (DIV)", 0, 1000, "days", text="0", is_whole=True)
        self.save = QPushButton("Write into the session")
        self.save.setToolTip("Writes what is entered as a note into the record of this session")
        self.save.clicked.connect(self._save)
        self._culture = self._group("Culture", CULTURE)
        self._device = self._group("Memristors", DEVICE)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 10, 12, 12)
        layout.addWidget(self._culture)
        layout.addWidget(self.div)
        layout.addWidget(self._device)
        layout.addWidget(self.save)
        self.set_devices([], has_culture=False)

    def set_devices(self, smus: Sequence[str], has_culture: bool) -> None:
        """Ask only for what this site has."""
        self._culture.setVisible(has_culture)
        self.div.setVisible(has_culture)
        self._device.setVisible(bool(smus))
        self.setVisible(has_culture or bool(smus))

    def text(self) -> str:
        """Return what is entered, as one line; empty if nothing is."""
        parts = [f"{key} {field.text().strip()}" for key, field in self.fields.items()
                 if field.text().strip()]  # fmt: skip
        if parts and not self.div.isHidden() and self.div.value is not None:
            parts.append(f"DIV {self.div.value:g}")
        return "; ".join(parts)

    def _group(self, title: str, rows: Sequence[tuple[str, str, str]]) -> QFrame:
        frame = QFrame()
        grid = QGridLayout(frame)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(heading(title), 0, 0, 1, 2)
        for row, (key, name, hint) in enumerate(rows, start=1):
            field = QLineEdit()
            field.setPlaceholderText(hint)
            field.setMaxLength(80)
            label = muted(name)
            for widget in (field, label):
                widget.setToolTip(f"{title}: {name.lower()}, {hint}")
            self.fields[key] = field
            grid.addWidget(label, row, 0)
            grid.addWidget(field, row, 1)
        return frame

    def _save(self) -> None:
        text = self.text()
        if text and (self.div.isHidden() or self.div.value is not None):
            self.saved.emit(f"metadata: {text}")
