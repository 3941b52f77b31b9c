"""One link to another site: its state, and each direction by itself."""

from typing import Any

from PyQt6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel

from app.gui.link_words import DIRECTION_ROWS, LINK_ROWS
from app.gui.numbers import duration
from app.gui.panel import muted, set_tone

STATE_WORDS = {
    "up": ("UP", "good", "connected and heard from"),
    "suspect": ("SUSPECT", "warning", "silent for a moment: nothing from it may stimulate"),
    "greeting": ("GREETING", "warning", "connected; the sites are introducing themselves"),
    "down": ("DOWN", "bad", "not connected; it is tried again and again"),
}
UNKNOWN = ("UNKNOWN", "unknown", "this engine is not heard from")


class LinkCard(QFrame):
    """One other site. `values` are the shown figures by row and direction."""

    def __init__(self, site: str) -> None:
        super().__init__()
        self.setObjectName("card")
        self.site = QLabel(site)
        self.site.setProperty("role", "value")
        self.site.setToolTip("The other laboratory")
        self.state = QLabel()
        self.state.setProperty("role", "value")
        self.reason = muted()
        self.reason.setToolTip("Why the link is in this state")
        self.values: dict[tuple[str, str], QLabel] = {}
        self._arrange()

    def _arrange(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(12, 10, 12, 12)
        grid.setVerticalSpacing(3)
        grid.setHorizontalSpacing(14)
        top = QHBoxLayout()
        top.addWidget(self.site)
        top.addStretch(1)
        top.addWidget(self.state)
        grid.addLayout(top, 0, 0, 1, 3)
        grid.addWidget(self.reason, 1, 0, 1, 3)
        name = self.site.text()
        for column, (text, tip) in enumerate(
            ((f"to {name} →", f"What this site sends to {name}"),
             (f"← from {name}", f"What this site gets from {name}")), start=1
        ):  # fmt: skip
            head = muted(text)
            head.setToolTip(tip)
            grid.addWidget(head, 2, column)
        for at, row in enumerate(DIRECTION_ROWS, start=3):
            self._add_name(grid, at, row.name, row.tip)
            for column, direction in enumerate(("to", "from"), start=1):
                self._add_value(grid, (at, column, 1), (row.key, direction), row.tip)
        for at, line in enumerate(LINK_ROWS, start=3 + len(DIRECTION_ROWS)):
            self._add_name(grid, at, line.name, line.tip)
            self._add_value(grid, (at, 1, 2), (line.key, ""), line.tip)
        for column in (1, 2):
            grid.setColumnStretch(column, 1)

    def _add_name(self, grid: QGridLayout, row: int, name: str, tip: str) -> None:
        label = muted(name)
        label.setWordWrap(False)
        label.setToolTip(tip)
        grid.addWidget(label, row, 0)

    def _add_value(
        self, grid: QGridLayout, place: tuple[int, int, int], key: tuple[str, str], tip: str
    ) -> None:
        row, column, n_columns = place
        value = QLabel("–")
        value.setToolTip(tip)
        grid.addWidget(value, row, column, 1, n_columns)
        self.values[key] = value

    def show_link(self, link: dict[str, Any]) -> None:
        """Show the newest of a link."""
        word, tone, meaning = STATE_WORDS.get(link["state"], UNKNOWN)
        self.state.setText(f"{word} for {duration(link['for_s'])}")
        self.state.setToolTip(meaning)
        set_tone(self.state, tone)
        says = [link["reason"] or meaning]
        if link["state"] == "up" and not link["has_our_experiment"]:
            says.append("runs another experiment: arming is refused")
        self.reason.setText("; ".join(says))
        for row in DIRECTION_ROWS:
            for direction, words in (("to", row.to), ("from", row.come)):
                self.values[row.key, direction].setText(words(link))
        for line in LINK_ROWS:
            self.values[line.key, ""].setText(line.words(link))
        set_tone(self.values["lost", "to"], "bad" if link.get("n_events_lost") else "")
        set_tone(self.values["lost", "from"], "bad" if link.get("n_frames_lost") else "")

    def show_unknown(self, reason: str) -> None:
        """Show that nothing is known of it now."""
        self.state.setText("UNKNOWN")
        set_tone(self.state, "unknown")
        self.reason.setText(reason)
        for value in self.values.values():
            value.setText("–")
