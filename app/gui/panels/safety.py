"""Safety: what may happen now, who allowed it, and what the last switching-off achieved."""

from typing import Any

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
)

from app.console.messages import Reply
from app.gui.engine_link import EngineLink
from app.gui.numbers import duration
from app.gui.panel import Panel, card, heading, muted, set_tone
from app.gui.panels.arm_form import ArmForm
from app.gui.state_words import SAFE_WORDS, arming_obstacles, state_words
from app.gui.theme import Theme

STATE_TIP = (
    "DISARMED: nothing can be stimulated or pulsed. ARMED: it may happen. TRIPPED: everything was "
    "switched off and a person must acknowledge. UNKNOWN: the engine is not heard from."
)


class SafetyPanel(Panel):
    """State in words, arming by holding, disarming, acknowledging, refusals, make_safe results."""

    title = "Safety"
    explanation = (
        "What may reach tissue and devices now. Nothing moves unless a named person has armed the "
        "site; anybody may disarm or stop."
    )
    refused = pyqtSignal(str)

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__(link)
        self.state = QLabel("UNKNOWN")
        self.state.setObjectName("state")
        self.state.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.state.setToolTip(STATE_TIP)
        self.meaning = QLabel()
        self.meaning.setWordWrap(True)
        self.detail = muted()
        for label in (self.meaning, self.detail):
            label.setToolTip("What the state means, who brought it about, why, and for how long")
        self.answer = QLabel()
        self.answer.setToolTip("What became of the last request from this window")
        self.answer.setWordWrap(True)
        self.arm_form = ArmForm(theme)
        self.disarm = QPushButton("Disarm")
        self.disarm.setToolTip("Allow no outputs any more. Anybody may, at any time. (Ctrl+D)")
        self.acknowledge = QPushButton("Acknowledge the trip")
        self.acknowledge.setToolTip(
            "Leave TRIPPED for DISARMED; nothing moves before arming again."
        )
        self.obstacles = QLabel()
        self.obstacles.setWordWrap(True)
        self.obstacles.setToolTip("What the Gate would refuse an arming for, now")
        self.refusals = QLabel()
        self.refusals.setWordWrap(True)
        self.refusals.setToolTip(
            "The Gate stands before every output: what it refused since the start, by reason, and "
            "the last refusal in full"
        )
        self.safe_title = heading("Last switching-off, per instrument")
        self.safe_grid = QGridLayout()
        self._safe_shown: object = None
        self._state_shown = ""
        self._arrange()
        self._connect()
        self.show_unknown("not attached yet")

    def _arrange(self) -> None:
        for widget in (self.state, self.meaning, self.detail, self.answer):
            self.body.addWidget(widget)
        row = QHBoxLayout()
        row.addWidget(self.disarm)
        row.addWidget(self.acknowledge)
        self.body.addLayout(row)
        self.body.addWidget(self.obstacles)
        self.body.addWidget(self.arm_form)
        frame, layout = card()
        layout.addWidget(heading("Refused by the Gate", "What was not permitted, and why"))
        layout.addWidget(self.refusals)
        self.body.addWidget(frame)
        frame, layout = card()
        layout.addWidget(self.safe_title)
        layout.addLayout(self.safe_grid)
        self.body.addWidget(frame)
        self.body.addStretch(1)

    def _connect(self) -> None:
        self.arm_form.arm_wanted.connect(self._arm)
        self.disarm.clicked.connect(self.send_disarm)
        self.acknowledge.clicked.connect(self._acknowledge)

    # --- what is shown ------------------------------------------------------------------------

    def show_description(self, description: dict[str, Any]) -> None:
        """Take the site's operators."""
        self.arm_form.set_site(description["site"], description["operators"])

    def show_status(self, status: dict[str, Any]) -> None:
        """Show the Gate."""
        words = state_words(status, is_fresh=self.link.is_fresh, why_not=self.link.reason)
        self._show_words(words.name, words.meaning, words.detail, words.tone)
        gate = status["gate"]
        state = gate["state"]
        if state != self._state_shown:
            self._state_shown = state
            self.say("", "")  # it spoke of the state before
        obstacles = arming_obstacles(gate) if state == "disarmed" else []
        self.obstacles.setText("\n".join(f"Cannot be armed: {s}." for s in obstacles))
        self.obstacles.setVisible(bool(obstacles))
        set_tone(self.obstacles, "warning")
        self.arm_form.setVisible(state == "disarmed")
        self.arm_form.set_obstacle(obstacles[0] if obstacles else "")
        self.acknowledge.setVisible(state == "tripped")
        self.disarm.setVisible(state == "armed")
        n_refused = sum(gate["n_refusals"].values())
        self.refusals.setText(_refusal_words(gate, n_refused))
        self._show_safe(status)

    def show_unknown(self, reason: str) -> None:
        """Show that the state is not known: never the last one as if it were true now."""
        self._show_words("UNKNOWN", reason, "", "unknown")
        self.arm_form.setVisible(False)
        self.acknowledge.setVisible(False)
        self.obstacles.setVisible(False)

    def _show_words(self, name: str, meaning: str, detail: str, tone: str) -> None:
        self.state.setText(name)
        self.meaning.setText(meaning)
        self.detail.setText(detail)
        set_tone(self.state, tone)

    def _show_safe(self, status: dict[str, Any]) -> None:
        reports, off = status["safe_reports"], status["switched_off"]
        if off["time_ns"] is None:
            self.safe_title.setText("Nothing was switched off since the start")
            return
        ago = duration((status["now_ns"] - off["time_ns"]) / 1e9)
        self.safe_title.setText(f"Last switching-off, {ago} ago: {off['why']}")
        self.safe_title.setWordWrap(True)
        if reports == self._safe_shown:
            return
        self._safe_shown = reports
        while (item := self.safe_grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        for row, report in enumerate(reports):
            state, detail = report["state"], report["detail"]
            word, meaning, tone = SAFE_WORDS.get(state, (state.upper(), "", "unknown"))
            achieved = QLabel(word)
            set_tone(achieved, tone)
            name, words = QLabel(report["instrument"]), muted(detail or meaning)
            for column, label in enumerate((name, achieved, words)):
                label.setToolTip(meaning)
                self.safe_grid.addWidget(label, row, column)
        self.safe_grid.setColumnStretch(2, 1)

    def say(self, sentence: str, tone: str) -> None:
        """Show what became of the last thing asked for."""
        self.answer.setText(sentence)
        set_tone(self.answer, tone)

    # --- what is asked for --------------------------------------------------------------------

    def _arm(self) -> None:
        wanted = self.arm_form.wanted()
        if wanted is None:
            return
        code = str(self.link.status.get("session_code", ""))
        self.say("arming …", "unknown")
        self.link.call(
            "arm",
            self._answered("armed"),
            who=wanted.who,
            reason=wanted.reason,
            seconds=wanted.seconds,
            code=code,
        )

    def send_disarm(self) -> None:
        """Disarm, whoever asks."""
        who = self.arm_form.who or "operator"
        self.link.call("disarm", self._answered("disarmed"), who=who, reason="asked for here")

    def _acknowledge(self) -> None:
        who = self.arm_form.who or "operator"
        self.link.call("acknowledge", self._answered("acknowledged: disarmed"), who=who)

    def _answered(self, done: str) -> Any:
        def take(reply: Reply) -> None:
            if reply.is_ok:
                self.say(done, "unknown")
            else:
                self.say(f"Refused: {reply.error}", "bad")
                self.refused.emit(reply.error)

        return take


def _refusal_words(gate: dict[str, Any], n_refused: int) -> str:
    if not n_refused:
        return "Nothing was refused."
    counts = ", ".join(f"{n} {reason}" for reason, n in sorted(gate["n_refusals"].items()))
    return f"{n_refused} requests refused ({counts}).\nThe last: {gate['last_refusal']}"
