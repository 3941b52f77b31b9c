"""What the amplifier and the neurons do: the drawing views, fed from the engine's live feed."""

from typing import Any

from PyQt6.QtWidgets import QWidget

from app.console.feed import ChannelStates, EnvelopeBatch, FeedFormat, Span, SpikeMarks
from app.gui.drawing.palette import DARK, LIGHT
from app.gui.drawing.trace_settings import TraceSettings
from app.gui.drawing.trace_view import TraceView
from app.gui.engine_link import EngineLink
from app.gui.theme import Theme


class SignalPanels:
    """Hands each feed item to the views that draw it, and has them draw once a frame."""

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        self._link = link
        self.traces = TraceView(_palette(theme))
        self.traces.set_settings(TraceSettings(is_filtered=False))
        self.traces.setWindowTitle("Traces")
        self.traces.setWhatsThis(
            "The voltage of every electrode, newest at the right, in microvolts. Spikes are "
            "marked; stimulation is shaded; a red band says that samples are missing."
        )
        self.amplifier_widgets: tuple[QWidget, ...] = (self.traces,)
        self.widgets: tuple[QWidget, ...] = (self.traces,)

    def show_description(self, description: dict[str, Any]) -> None:
        """Take what does not change."""

    def take(self, arrival: object) -> None:
        """Hand on one feed item; nothing is drawn yet."""
        match arrival:
            case FeedFormat():
                self.traces.set_format(arrival)
            case EnvelopeBatch():
                self.traces.add_columns(arrival)
            case SpikeMarks():
                self.traces.add_spikes(arrival.records)
            case Span():
                self.traces.add_span(arrival)
            case ChannelStates():
                self.traces.set_states(arrival)

    def show_frame(self) -> None:
        """Draw what is new."""
        self.traces.refresh()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.traces.set_colours(_palette(theme))


def _palette(theme: Theme) -> Any:
    return DARK if theme.name == "dark" else LIGHT
