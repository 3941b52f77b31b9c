"""Synapses: the network, its memristors, and their history."""

from app.gui.engine_link import EngineLink
from app.gui.panel import Panel
from app.gui.theme import Theme


class SynapsesPanel(Panel):
    """The network as a picture."""

    title = "Synapses"
    explanation = "Memristors as synapses: each weighs spikes of one neuron for another."

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__(link)
        self._theme = theme

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
