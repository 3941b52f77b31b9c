"""Links: every other site, how it is, and how well its events travel."""

from typing import Any

from PyQt6.QtWidgets import QGridLayout, QLabel

from app.console.status_text import certificate_lines
from app.gui.engine_link import EngineLink
from app.gui.panel import Panel, muted, set_tone
from app.gui.panels.link_card import LinkCard

CARDS_PER_ROW = 2


class LinksPanel(Panel):
    """All links of this site."""

    title = "Links to other sites"
    explanation = (
        "Spikes and weighted events (PSPs) travel to the other laboratories over encrypted links. "
        "While a link is not UP, nothing that comes over it may stimulate."
    )

    def __init__(self, link: EngineLink) -> None:
        super().__init__(link)
        self.cards: dict[str, LinkCard] = {}
        self.none = muted("This site has no links.")
        self.expiry = QLabel()
        self.expiry.setWordWrap(True)
        self.expiry.setToolTip("An expired key is refused by the other side: no link, no events")
        self.expiry.hide()
        set_tone(self.expiry, "warning")
        self.grid = QGridLayout()
        self.body.addWidget(self.expiry)
        self.body.addWidget(self.none)
        self.body.addLayout(self.grid)
        self.body.addStretch(1)

    def show_status(self, status: dict[str, Any]) -> None:
        """Show every link."""
        self.none.setVisible(not status["links"])
        expiry = certificate_lines(status)
        self.expiry.setText("\n".join(expiry))
        self.expiry.setVisible(bool(expiry))
        for link in status["links"]:
            name = link["site"]
            if name not in self.cards:
                place = divmod(len(self.cards), CARDS_PER_ROW)
                self.cards[name] = LinkCard(name)
                self.grid.addWidget(self.cards[name], *place)
            self.cards[name].show_link(link)

    def show_unknown(self, reason: str) -> None:
        """Show that no link is known to be anything."""
        for shown in self.cards.values():
            shown.show_unknown(reason)
