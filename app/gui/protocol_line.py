"""How far the experiment's protocol is, whichever site is looked at."""

from collections.abc import Iterable

from PyQt6.QtWidgets import QLabel

from app.gui.engine_link import EngineLink
from app.gui.numbers import duration


class ProtocolLine(QLabel):
    """A few words at the window's lower edge; empty where no protocol has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("The experiment's protocol: its phase, or how it ended")

    def show_protocols(self, sites: Iterable[tuple[str, EngineLink]]) -> None:
        """Show the protocol of whichever site runs one, or has."""
        words = [_words(name, link) for name, link in sites]
        self.setText("   ".join(filter(None, words)))


def _words(name: str, link: EngineLink) -> str:
    protocol = link.status.get("protocol")
    if protocol is None or not link.is_fresh or protocol["state"] == "idle":
        return ""
    if protocol["state"] != "running":
        return " ".join(
            filter(None, (f"Protocol {protocol['state']} at {name}", protocol["detail"]))
        )
    phase = protocol["phase_name"] or "about to begin"
    left_s = max(0.0, (protocol["end_ns"] - link.status["now_ns"]) / 1e9)
    return f"Protocol at {name}: {phase}. All phases end in {duration(left_s)}"
