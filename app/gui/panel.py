"""What every panel of the window is: a title, a sentence about itself, and the same four calls."""

from collections.abc import Iterable
from typing import Any

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QFrame, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from app.gui.engine_link import EngineLink


class Panel(QScrollArea):
    """One panel of one engine. Subclasses fill `body` and override what they show."""

    title = ""
    explanation = ""
    """Shown as the panel's tooltip: what it is, in a sentence for somebody who is new."""

    def __init__(self, link: EngineLink) -> None:
        super().__init__()
        self.link = link
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content = QFrame()
        content.setObjectName("panel")
        self.body = QVBoxLayout(content)
        self.body.setContentsMargins(12, 8, 12, 12)
        self.body.setSpacing(10)
        self.setWidget(content)
        self.setWindowTitle(self.title)
        self.setWhatsThis(self.explanation)

    def show_description(self, description: dict[str, Any]) -> None:
        """Show what does not change while the engine runs."""

    def show_status(self, status: dict[str, Any]) -> None:
        """Show the newest status."""

    def take(self, arrival: object) -> None:
        """Take a feed item or a happening."""

    def show_frame(self) -> None:
        """Draw what has been taken since the last frame."""

    def show_unknown(self, reason: str) -> None:
        """Show that nothing is known of the engine now, and why."""


def heading(text: str, tip: str = "") -> QLabel:
    """Return a small heading."""
    label = QLabel(text)
    label.setProperty("role", "heading")
    label.setToolTip(tip)
    return label


def muted(text: str = "") -> QLabel:
    """Return a label for what is said in passing."""
    label = QLabel(text)
    label.setProperty("role", "muted")
    label.setWordWrap(True)
    return label


def card() -> tuple[QFrame, QVBoxLayout]:
    """Return a raised frame and its layout."""
    frame = QFrame()
    frame.setObjectName("card")
    layout = QVBoxLayout(frame)
    layout.setContentsMargins(12, 10, 12, 12)
    layout.setSpacing(8)
    return frame, layout


def figures_table(
    rows: Iterable[tuple[str, str, str]],
) -> tuple[QGridLayout, dict[str, QLabel]]:
    """Return a table of (key, name, tip), and by key the labels for what is not known yet."""
    grid = QGridLayout()
    grid.setColumnStretch(1, 1)
    values = {}
    for row, (key, name, tip) in enumerate(rows):
        values[key] = QLabel("–")
        for column, label in enumerate((muted(name), values[key])):
            label.setToolTip(tip)
            grid.addWidget(label, row, column)
    return grid, values


def set_tone(widget: QWidget, tone: str) -> None:
    """Colour a widget by meaning; does nothing if it has that tone already."""
    if widget.property("tone") == tone:
        return
    widget.setProperty("tone", tone)
    style = widget.style()
    if style is not None:
        style.unpolish(widget)
        style.polish(widget)
