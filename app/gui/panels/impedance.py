"""Impedance: a small current through every electrode tells which are open or shorted."""

from typing import Any

from PyQt6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout

from app.console.feed import FeedFormat
from app.console.messages import Reply
from app.gui.confirm_form import ConfirmForm
from app.gui.engine_link import EngineLink
from app.gui.impedance_map import ImpedanceMap
from app.gui.impedance_scale import summary, told
from app.gui.numbers import duration, with_prefix
from app.gui.panel import Panel, muted
from app.gui.theme import Theme

TIP = (
    "The amplifier stops, passes a small alternating current (some ten nanoampere) through each "
    "electrode in turn, and starts again: the samples between are a gap. It cannot be interrupted."
)


class ImpedancePanel(Panel):
    """A map of the electrodes, and the form that asks for a measurement."""

    title = "Impedance"
    explanation = (
        "The impedance of every electrode, where it lies on the array. An open electrode hears "
        "nothing and stimulates nothing; a shorted one hears its neighbours."
    )

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__(link)
        self.map = ImpedanceMap(theme)
        self.why_not = QLabel()
        self.why_not.setWordWrap(True)
        self.why_not.setToolTip("Why this amplifier has no impedance check here")
        self.facts = QLabel("Not measured in this session.")
        self.facts.setWordWrap(True)
        self.facts.setToolTip("What the newest measurement of this session told")
        self.age = muted()
        self.age.setToolTip("How long ago it was measured")
        self.form = ConfirmForm("Measure every electrode", TIP, theme)
        self.form.confirmed.connect(self._ask)
        self._amplifier: dict[str, Any] | None = None
        self._measured_ns: int | None = None
        self._arrange()

    def _arrange(self) -> None:
        side = QVBoxLayout()
        for widget in (self.why_not, self.facts, self.age, self.form):
            side.addWidget(widget)
        side.addStretch(1)
        row = QHBoxLayout()
        row.addWidget(self.map, 3)
        row.addLayout(side, 2)
        self.body.addLayout(row, 1)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.map.set_theme(theme)
        self.form.button.set_theme(theme)

    def show_description(self, description: dict[str, Any]) -> None:
        """Take the amplifier, and whether it has a check at all."""
        self._amplifier = next(iter(description["amplifiers"]), None)
        check = {} if self._amplifier is None else self._amplifier.get("impedance", {})
        why_not = check.get("why_not", "")
        if self._amplifier is None:
            why_not = "This site has no amplifier."
        self.why_not.setText(why_not)
        self.why_not.setVisible(bool(why_not))
        for widget in (self.form, self.facts, self.age):
            widget.setVisible(not why_not)
        self.form.set_operators(description["operators"])

    def take(self, arrival: object) -> None:
        """Take where the electrodes lie."""
        if isinstance(arrival, FeedFormat):
            self.map.set_electrodes(arrival.channel_names, arrival.position_um)

    def show_status(self, status: dict[str, Any]) -> None:
        """Show whether it can be measured now, and what was measured."""
        upkeep = next(iter(status.get("upkeep", ())), None)
        if self._amplifier is None or upkeep is None:
            return
        name, check = self._amplifier["name"], self._amplifier.get("impedance", {})
        is_free = status["gate"]["state"] == "disarmed"
        obstacle = "" if is_free else "The amplifier stops for it: disarm first."
        if upkeep["state"] == "at work":
            obstacle = "The amplifier is being worked on …"
        elif not upkeep["can_measure"]:
            obstacle = "A dry run passes no current: nothing is measured."
        allowed = " to ".join(with_prefix(check.get(k), "ohm") for k in ("min_ohm", "max_ohm"))
        self.form.set_deed(
            f"measure {name}",
            f"{name} stops for some seconds and measures at {check.get('frequency_hz', 0):g} Hz. "
            f"Bad is what lies outside {allowed}.",
            obstacle,
        )
        measured_ns = upkeep["measured_ns"]
        if measured_ns is None:
            self.age.setText("")
        else:
            self.age.setText(f"{duration((status['now_ns'] - measured_ns) / 1e9)} ago")
        if measured_ns != self._measured_ns and measured_ns is not None:
            self._measured_ns = measured_ns
            self.link.call("impedance", self._measured, instrument=name)

    def show_unknown(self, reason: str) -> None:
        """Show that nothing can be asked for now; what was measured stays as it was."""
        self.form.set_deed("measure", "", reason)

    def _ask(self, who: str, reason: str) -> None:
        if self._amplifier is not None:
            name = self._amplifier["name"]
            self.form.say("")
            self.link.call(
                "measure impedance",
                self._answered,
                instrument=name,
                who=who,
                reason=reason,
                is_confirmed=True,
            )

    def _answered(self, reply: Reply) -> None:
        if not reply.is_ok:
            self.form.say(f"Refused: {reply.error}", "bad")

    def _measured(self, reply: Reply) -> None:
        electrodes = reply.result.get("electrodes")
        frequency_hz = reply.result.get("frequency_hz")
        if not (isinstance(electrodes, list) and isinstance(frequency_hz, float | int)):
            self.facts.setText(f"Not told: {reply.error}")
            return
        shown = told(electrodes)
        self.map.show_impedances(shown)
        self.facts.setText(summary(shown, float(frequency_hz)))
