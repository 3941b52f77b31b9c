"""The experiment's protocol: which phase runs, how long it still takes, and its start."""

from typing import Any

from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton

from app.console.messages import Reply
from app.gui.engine_link import EngineLink
from app.gui.numbers import duration
from app.gui.panel import set_tone


class ProtocolBar(QFrame):
    """One line above the network; hidden where no protocol belongs to this site."""

    def __init__(self, link: EngineLink) -> None:
        super().__init__()
        self._link = link
        self._phases: list[dict[str, Any]] = []
        self.button = QPushButton("Start the protocol")
        self.button.setToolTip("Drive the first neuron through the experiment's phases; arm first")
        self.button.clicked.connect(self._start)
        self.text = QLabel()
        self.text.setToolTip("The phases of the experiment, with their drives in spikes/s")
        self.answer = QLabel()
        self.answer.setToolTip("What became of the start")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 12, 2)
        for widget in (self.button, self.text, self.answer):
            row.addWidget(widget)
        row.addStretch(1)
        self.hide()

    def show_description(self, description: dict[str, Any]) -> None:
        """Take the protocol, if it is this site's."""
        experiment = description["experiment"]
        protocol = None if experiment is None else experiment["protocol"]
        owner = None
        if protocol is not None:
            owner = next(n["site"] for n in experiment["neurons"] if n["id"] == protocol["neuron"])
            self._phases = protocol["phases"]
        self.setVisible(owner == description["site"])

    def show_status(self, status: dict[str, Any]) -> None:
        """Show how far it is."""
        running = status["protocol"]
        is_running = running is not None and running["state"] == "running"
        self.button.setEnabled(status["gate"]["state"] == "armed" and not is_running)
        if running is None:
            names = ", ".join(f"{p['name']} ({p['rate_hz']:g} Hz)" for p in self._phases)
            self.text.setText(f"Phases: {names}")
            return
        if is_running:
            left_s = (running["end_ns"] - status["now_ns"]) / 1e9
            phase = running["phase_name"] or "about to begin"
            self.text.setText(f"Phase: {phase} · all phases end in {duration(left_s)}")
        else:
            self.text.setText(f"Protocol {running['state']} {running['detail']}")
        set_tone(self.text, "warning" if running["state"] == "aborted" else "")

    def _start(self) -> None:
        operators = self._link.description.get("operators", [])
        self._link.call("start", self._answered, who=operators[0] if operators else "operator")

    def _answered(self, reply: Reply) -> None:
        self.answer.setText("" if reply.is_ok else f"Refused: {reply.error}")
        set_tone(self.answer, "bad")
