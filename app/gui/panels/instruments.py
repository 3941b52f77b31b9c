"""Instruments: what stands in this laboratory and how it is."""

from typing import Any

from app.gui.engine_link import EngineLink
from app.gui.panel import Panel
from app.gui.theme import Theme


class InstrumentsPanel(Panel):
    """State of each instrument."""

    title = "Instruments"
    explanation = "What stands in this laboratory, how old its last data are, and what waits."

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__(link)
        self._theme = theme

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme

    def show_description(self, description: dict[str, Any]) -> None:
        """Take what stands here."""
