"""Bench: the array, one procedure at a time, what it measures as it comes, and its end."""

from typing import Any

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from app.bench.forms import BY_NAME, Values
from app.console.messages import Reply
from app.gui.bench.device_words import shown, words_of
from app.gui.bench.pictures import picture_of
from app.gui.bench.procedure_form import ProcedureForm
from app.gui.bench.procedure_plot import ProcedurePlot
from app.gui.bench.seen import BenchSeen, RunSeen, end_words
from app.gui.confirm_form import ConfirmForm
from app.gui.device_history import DeviceKey
from app.gui.device_map import DeviceMap
from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.engine_link import EngineLink
from app.gui.panel import Panel, heading, muted, set_tone
from app.gui.theme import Theme

FRAMES_PER_PLOT = 6
FRAMES_PER_LOOK = 900
"""Every 30 s the array is asked for again while it is looked at; after a procedure at once."""
FRAMES_PER_AGE = 30
MIDDLE_WIDTH = 360


class BenchPanel(Panel):
    """Map and device on the left, the procedure in the middle, what it measures on the right."""

    title = "Bench"
    explanation = (
        "Find out what a memristor is: read it, pulse it, trace its curve, form it, program it. "
        "Each procedure goes through the Gate and keeps its data as `spikebridge bench` does."
    )

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__(link)
        self.seen = BenchSeen()
        self.unit = CalmComboBox()
        self.unit.setToolTip("The source-measure unit")
        self.map = DeviceMap(theme)
        self.map.setToolTip("Click a device to choose it.")
        self.facts = muted("no device is chosen")
        self.form = ProcedureForm()
        self.name = CalmComboBox()
        self.name.setToolTip("Who starts it, for the record")
        self.start = QPushButton("Start")
        self.forming = ConfirmForm(
            "Forming, under an arm of its own", "Larger pulses than any other, on one device", theme
        )
        self.obstacle = QLabel()
        self.plot = ProcedurePlot(theme)
        self.running = QLabel("nothing runs")
        self.progress = QProgressBar()
        self.abort = QPushButton("ABORT the procedure")
        self.abort.setObjectName("abort")
        self.abort.setToolTip(
            "Ends it within 200 ms, keeps what was measured; one that pulses is disarmed as well. "
            "Anybody may, at any time."
        )
        self.outcome = QLabel()
        self.fit = QPushButton("Fit the switching model to it")
        for widget, tip in (
            (self.facts, "What is known of the chosen device: last reading, pulses spent, frozen"),
            (self.start, "Starts the procedure; each of its pulses is asked of the Gate"),
            (self.obstacle, "What stands in the way of starting it now"),
            (self.running, "The procedure that runs, and how far it is"),
            (self.progress, "How much of the procedure is done"),
            (self.outcome, "How the newest procedure ended, and where its data are"),
            (self.fit, "Fits the switching model to what was measured; moves nothing"),
        ):
            widget.setToolTip(tip)
        self._described: dict[str, Any] = {}
        self._is_armed = False
        self._is_running = False
        self._key: DeviceKey | None = None
        self._asked: tuple[str, Values] = ("read", {})
        self._drawn = (-1, -1)
        self._n_frames = 0
        self._arrange()
        self._connect()
        self._offer()

    def _arrange(self) -> None:
        self.body.setContentsMargins(8, 8, 8, 8)
        for label in (self.obstacle, self.running, self.outcome):
            label.setWordWrap(True)
        self.outcome.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        left, middle, right = QWidget(), QWidget(), QWidget()
        columns = [QVBoxLayout(side) for side in (left, middle, right)]
        for widget in (heading("Array"), self.unit, self.map, self.facts):
            columns[0].addWidget(widget, 1 if widget is self.map else 0)
        scrolled = QScrollArea()
        scrolled.setWidgetResizable(True)
        scrolled.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scrolled.setMinimumWidth(MIDDLE_WIDTH)
        inner = QWidget()
        scrolled.setWidget(inner)
        fields = QVBoxLayout(inner)
        fields.setContentsMargins(0, 0, 0, 0)
        fields.addWidget(self.form)
        fields.addWidget(self.forming)
        fields.addStretch(1)
        row = QHBoxLayout()
        row.addWidget(self.name, 1)
        row.addWidget(self.start, 1)
        columns[1].setContentsMargins(0, 0, 0, 0)
        columns[1].addWidget(scrolled, 1)
        for widget in (self.form.words, self.form.verdict, self.obstacle):
            columns[1].addWidget(widget)
        columns[1].addLayout(row)
        row = QHBoxLayout()
        row.addWidget(self.progress, 1)
        row.addWidget(self.abort)
        columns[2].addWidget(self.running)
        columns[2].addLayout(row)
        columns[2].addWidget(self.plot, 1)
        columns[2].addWidget(self.outcome)
        columns[2].addWidget(self.fit)
        split = QSplitter(Qt.Orientation.Horizontal)
        for side in (left, middle, right):
            split.addWidget(side)
        split.setSizes([250, 360, 560])
        self.body.addWidget(split, 1)

    def _connect(self) -> None:
        self.map.selected.connect(self.choose_device)
        self.unit.currentTextChanged.connect(lambda _: self._show_map())
        self.form.changed.connect(self._offer)
        self.start.clicked.connect(self._start_it)
        self.forming.confirmed.connect(self._start_forming)
        self.abort.clicked.connect(self._abort)
        self.fit.clicked.connect(self._fit)

    # --- what is shown ------------------------------------------------------------------------

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for view in (self.map, self.plot, self.forming.button):
            view.set_theme(theme)

    def show_description(self, description: dict[str, Any]) -> None:
        """Take units, devices and operators."""
        self._described = description
        names = [smu["name"] for smu in description["smus"]]
        if [self.unit.itemText(i) for i in range(self.unit.count())] != names:
            self.unit.clear()
            self.unit.addItems(names)
        operators = description["operators"]
        if [self.name.itemText(i) for i in range(self.name.count())] != operators:
            self.name.clear()
            self.name.addItems(operators)
        self.forming.set_operators(operators)
        self.unit.setVisible(len(names) > 1)
        if names and self._key is None:
            device = description["smus"][0]["devices"][0]
            self.choose_device((names[0], device["wordline"], device["bitline"]))
        if names:
            self._ask_array(0)

    def show_status(self, status: dict[str, Any]) -> None:
        """Show what runs."""
        self._is_armed = status["gate"]["state"] == "armed"
        running = status.get("procedures", [])
        if running:
            now = running[0]
            form = BY_NAME[now["procedure"]]
            self._asked = (
                form.name,
                form.taken({n: v for n, v in now["asked"].items() if v is not None}),
            )
            self.running.setText(
                f"{form.title} on {now['unit']}, started by {now['who']}: {now['text']}"
            )
            self.progress.setRange(0, max(1, now["total"]))
            self.progress.setValue(now["done"])
        elif self.running.text() != "nothing runs":
            self.running.setText("nothing runs")
            self.progress.reset()
        self._is_running = bool(running)
        self._offer()

    def show_unknown(self, reason: str) -> None:
        """Show that nothing is known of a procedure now."""
        self.running.setText(f"unknown: {reason}")

    def take(self, arrival: object) -> None:
        """Take points and ends of procedures."""
        if self.seen.take(arrival) and self.seen.run is not None and self.seen.run.ended:
            self._show_end(self.seen.run)

    def show_frame(self) -> None:
        """Draw a few times a second; look at the array every few seconds."""
        if not self.isVisible():
            return
        self._n_frames += 1
        run = self.seen.run
        place = (-1 if run is None else run.number, self.seen.n_changes)
        if self._n_frames % FRAMES_PER_PLOT == 0 and run is not None and place != self._drawn:
            self._drawn = place
            procedure, values = self._asked
            if run.ended is not None:
                procedure = run.ended.procedure
            self.plot.show_picture(picture_of(procedure, list(run.points), values))
        if self._n_frames % FRAMES_PER_AGE == 0:
            self._show_facts()
        if self._n_frames % FRAMES_PER_LOOK == 0:
            self._ask_array(0)

    def choose_device(self, key: DeviceKey) -> None:
        """Choose another device."""
        self._key = self.map.chosen = key
        self.unit.setCurrentText(key[0])
        name = self._name_of(key)
        self.form.set_device(name, None)
        self._show_map()
        if name:
            self.link.call("device", self._take_facts, unit=key[0], device=name)
        self._offer()

    def _take_facts(self, reply: Reply) -> None:
        key = self._key
        if reply.is_ok and key is not None:
            self.form.set_device(self._name_of(key), reply.result)

    def _name_of(self, key: DeviceKey) -> str:
        """Return a device's name in the site file; empty: it is only a position of the array."""
        for smu in self._described.get("smus", []):
            for device in smu["devices"]:
                if (smu["name"], device["wordline"], device["bitline"]) == key:
                    return str(device["name"])
        return ""

    def _ask_array(self, after: int) -> None:
        self.link.call("array", self._take_page, after=after)

    def _take_page(self, reply: Reply) -> None:
        if not reply.is_ok:
            return
        following = self.seen.take_page(reply.result)
        if following is None:
            self._show_map()
        else:
            self._ask_array(following)

    def _show_map(self) -> None:
        unit = self.unit.currentText()
        devices = shown(self.seen.devices, unit)
        lines = [device.key[1:] for device in devices] or [(1, 1)]
        n_lines = max(w for w, _ in lines), max(b for _, b in lines)
        self.map.show_devices(devices, (max(4, n_lines[0]), max(4, n_lines[1])))
        self._show_facts()

    def _show_facts(self) -> None:
        key = self._key
        if key is not None and key in self.seen.devices:
            self.facts.setText(words_of(self.seen.devices[key], self.seen.age_s(key)))

    def _show_end(self, run: RunSeen) -> None:
        ended = run.ended
        if ended is None:
            return
        self.outcome.setText("\n".join(end_words(run, ended)))
        set_tone(self.outcome, "" if ended.is_well else "warning")
        self._ask_array(0)
        self._offer()

    # --- what is asked for --------------------------------------------------------------------

    def _offer(self) -> None:
        form, order = self.form.form, self.form.order()
        why_not = ""
        if not self._described.get("smus"):
            why_not = "This site has no source-measure unit."
        elif order is None:
            why_not = "Choose a device of the site file on the map, and give every value."
        elif self.form.estimate is not None and self.form.estimate.refusals:
            why_not = "The Gate would refuse it."
        elif self._is_running:
            why_not = "A procedure runs: wait for its end, or abort it."
        elif form.is_pulsing and not self._is_armed:
            why_not = "The site is not armed: arm it in the Safety panel first."
        self.obstacle.setText(why_not)
        set_tone(self.obstacle, "warning")
        self.start.setVisible(not form.is_forming)
        self.name.setVisible(not form.is_forming)
        self.start.setEnabled(not why_not)
        self.start.setText(f"Start: {form.title}")
        self.forming.setVisible(form.is_forming)
        self.forming.set_deed("ARM and FORM it", self.form.words.text(), why_not)
        run = self.seen.run
        self.fit.setVisible(run is not None and run.is_fittable)

    def _start_it(self) -> None:
        self._send(who=self.name.currentText() or "operator")

    def _send(self, **more: str) -> None:
        order = self.form.order()
        if order is None:
            return
        self._asked = (self.form.form.name, self.form.values() or {})
        self._say("asked for …", "")
        self.link.call("procedure", self._started, **order, **more, unit=self.unit.currentText())

    def _start_forming(self, who: str, reason: str) -> None:
        code = str(self.link.status.get("session_code", ""))
        self._send(who=who, reason=reason, code=code)

    def _abort(self) -> None:
        who = self.name.currentText() or "operator"
        self.link.call("abort procedure", self._answered, who=who)

    def _fit(self) -> None:
        run = self.seen.run
        if run is not None:
            who = self.name.currentText() or "operator"
            self.link.call("fit", self._answered, number=float(run.number), who=who)

    def _started(self, reply: Reply) -> None:
        number = reply.result.get("number")
        self._say("" if reply.is_ok else f"Refused: {reply.error}", "" if reply.is_ok else "bad")
        if reply.is_ok and isinstance(number, int):
            self._drawn = (-1, -1)

    def _answered(self, reply: Reply) -> None:
        if not reply.is_ok:
            self._say(f"Refused: {reply.error}", "bad")

    def _say(self, sentence: str, tone: str) -> None:
        self.outcome.setText(sentence)
        set_tone(self.outcome, tone)
