"""Links: every other site, how it is, and how well its events travel."""

from collections import deque
from collections.abc import Collection
from typing import Any

import numpy as np
from PyQt6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel

from app.gui.engine_link import EngineLink
from app.gui.numbers import duration, grouped
from app.gui.panel import Panel, muted, set_tone

N_ROUND_TRIPS = 480
"""Statuses come four times a second."""
STATE_WORDS = {
    "up": ("UP", "good", "connected and heard from"),
    "suspect": ("SUSPECT", "warning", "silent for a moment: nothing from it may stimulate"),
    "greeting": ("GREETING", "warning", "connected; the sites are introducing themselves"),
    "down": ("DOWN", "bad", "not connected; it is tried again and again"),
}
UNKNOWN = ("UNKNOWN", "unknown", "this engine is not heard from")


class LinkCard(QFrame):
    """One other site."""

    ROWS = (
        ("age_of_last_frame_s", "Last heard", "Age of the last frame from this site"),
        ("rtt_ns", "Round trip", "Newest round-trip time of a heartbeat"),
        ("latency", "p50 / p99 of it", "Median and 99th percentile of the round trips that this "
         "window was told of, up to two minutes back"),
        ("offset_ns", "Clock offset", "The other site's clock minus ours, plus or minus what is "
         "not known of it"),
        ("n_events_sent", "Events sent", "Spikes and PSPs sent to this site"),
        ("n_events_received", "Events received", "Spikes and PSPs that came from this site"),
        ("n_events_lost", "Lost", "Events that are declared lost: they will never come"),
        ("n_resent", "Resent", "Frames that were sent again after an interruption"),
        ("n_events_refused", "Refused", "Frames or events that were not accepted"),
        ("n_unacknowledged", "Not acknowledged", "Frames the other site has not yet in its record"),
    )  # fmt: skip

    def __init__(self, site: str) -> None:
        super().__init__()
        self.setObjectName("card")
        self.site = QLabel(site)
        self.site.setProperty("role", "value")
        self.state = QLabel()
        self.state.setProperty("role", "value")
        self.reason = muted()
        grid = QGridLayout(self)
        grid.setContentsMargins(12, 10, 12, 12)
        grid.setVerticalSpacing(3)
        top = QHBoxLayout()
        top.addWidget(self.site)
        top.addStretch(1)
        top.addWidget(self.state)
        grid.addLayout(top, 0, 0, 1, 4)
        grid.addWidget(self.reason, 1, 0, 1, 4)
        self.values: dict[str, QLabel] = {}
        self._round_trips_ns: deque[int] = deque(maxlen=N_ROUND_TRIPS)
        n_rows = (len(self.ROWS) + 1) // 2
        for index, (key, name, tip) in enumerate(self.ROWS):
            label, value = muted(name), QLabel("–")
            label.setToolTip(tip)
            value.setToolTip(tip)
            row, column = 2 + index % n_rows, 2 * (index // n_rows)
            grid.addWidget(label, row, column)
            grid.addWidget(value, row, column + 1)
            self.values[key] = value
        for column in (1, 3):
            grid.setColumnStretch(column, 1)

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
        if link["rtt_ns"] is not None and link["state"] == "up":
            self._round_trips_ns.append(link["rtt_ns"])
        for key, value in self.values.items():
            is_spread = key == "latency"
            value.setText(_spread(self._round_trips_ns) if is_spread else _figure(link, key))
        set_tone(self.values["n_events_lost"], "bad" if link.get("n_events_lost") else "")

    def show_unknown(self, reason: str) -> None:
        """Show that nothing is known of it now."""
        self.state.setText("UNKNOWN")
        set_tone(self.state, "unknown")
        self.reason.setText(reason)
        for value in self.values.values():
            value.setText("–")


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
        self.row = QHBoxLayout()
        self.body.addWidget(self.none)
        self.body.addLayout(self.row)
        self.body.addStretch(1)

    def show_status(self, status: dict[str, Any]) -> None:
        """Show every link."""
        self.none.setVisible(not status["links"])
        for link in status["links"]:
            name = link["site"]
            if name not in self.cards:
                self.cards[name] = LinkCard(name)
                self.row.addWidget(self.cards[name])
            self.cards[name].show_link(link)

    def show_unknown(self, reason: str) -> None:
        """Show that no link is known to be anything."""
        for shown in self.cards.values():
            shown.show_unknown(reason)


def _figure(link: dict[str, Any], key: str) -> str:
    value = link.get(key)
    if key == "offset_ns":
        return f"{_ms(value)} ± {_ms(link.get('uncertainty_ns'))}"
    if value is None:
        return "–"
    if key.endswith("_ns"):
        return _ms(value)
    return duration(value) if key.endswith("_s") else grouped(value)


def _spread(round_trips_ns: Collection[int]) -> str:
    if not round_trips_ns:
        return "–"
    p50, p99 = np.percentile(np.array(round_trips_ns), (50, 99))
    return f"{_ms(float(p50))} / {_ms(float(p99))}"


def _ms(value_ns: float | None) -> str:
    return "–" if value_ns is None else f"{value_ns / 1e6:.2f} ms"
