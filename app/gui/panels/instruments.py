"""Instruments: what stands in this laboratory, how it is, and how busy the engine is."""

from dataclasses import asdict
from typing import Any

from PyQt6.QtWidgets import QGridLayout, QLabel

from app.console.messages import Reply
from app.gui.engine_link import EngineLink
from app.gui.latency_plot import LatencyPlot
from app.gui.numbers import duration, grouped, size
from app.gui.panel import Panel, card, figures_table, heading, muted, set_tone
from app.gui.panels.pattern_editor import PatternEditor
from app.gui.theme import Theme
from drivers.mea.protocol import Pattern

SILENT_S = 0.5
"""An amplifier whose last samples are older does not deliver."""
STATE_TIP = (
    "DELIVERS: its last samples are younger than half a second. No stream: it is read on request, "
    "so that nothing proves from moment to moment that it is well"
)


class InstrumentsPanel(Panel):
    """State of each instrument, meters of the engine, loop latency, patterns."""

    title = "Instruments"
    explanation = (
        "What stands in this laboratory, how old its last data are, and what waits. Below: how "
        "busy the engine is, how fast the loop, and the prepared stimulation patterns."
    )

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__(link)
        self.grid = QGridLayout()
        self.rows: dict[str, tuple[QLabel, QLabel]] = {}
        self.meters: dict[str, QLabel] = {}
        self.latency = LatencyPlot(theme)
        self.editor = PatternEditor(theme)
        self.editor.trigger_wanted.connect(self._trigger)
        self.editor.upload_wanted.connect(self._upload)
        self._provenance: dict[str, str] = {}
        self._cpu: tuple[float, int] | None = None
        self._upload_job: int | None = None
        self._arrange()

    def _arrange(self) -> None:
        frame, layout = card()
        layout.addWidget(heading("Instruments of this site"))
        layout.addLayout(self.grid)
        self.body.addWidget(frame)
        frame, layout = card()
        layout.addWidget(heading("Engine"))
        rows = (
            ("cpu", "Processor", "Share of one core that the engine uses; 100 % is one core"),
            ("memory", "Memory", "Most that the engine has used so far"),
            ("samples", "Samples", "Received from the amplifier, and lost on the way"),
            ("raw", "Recording buffer", "Blocks that wait to be written"),
            ("event_log", "Event log", "Whether the always-on record can be written"),
            ("feed", "This display", "What showing costs the engine, per frame of 33 ms"),
        )
        table, self.meters = figures_table(rows)
        layout.addLayout(table)
        self.body.addWidget(frame)
        frame, layout = card()
        layout.addWidget(heading("Loop latency"))
        layout.addWidget(self.latency)
        self.body.addWidget(frame)
        self.body.addWidget(self.editor)
        self.body.addStretch(1)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.latency.set_theme(theme)
        self.editor.upload.button.set_theme(theme)

    def show_description(self, description: dict[str, Any]) -> None:
        """Take what stands here."""
        groups = (description["amplifiers"], description["smus"], description["chips"])
        self._provenance = {i["name"]: i["provenance"] for group in groups for i in group}
        self.latency.set_edges(description.get("loop_latency_edges_s", ()))
        self.editor.set_amplifier(next(iter(description["amplifiers"]), None))
        self.editor.set_operators(description["operators"])

    def show_status(self, status: dict[str, Any]) -> None:
        """Show every instrument and meter."""
        for instrument in status["instruments"]:
            self._show_instrument(instrument)
        self._show_meters(status)
        self.latency.show_counts(status["loop_latency"])
        self._show_editor(status)

    def show_unknown(self, reason: str) -> None:
        """Show that nothing is known of any instrument."""
        for state, _ in self.rows.values():
            state.setText("UNKNOWN")
            state.setToolTip(f"{reason}\n{STATE_TIP}")
            set_tone(state, "unknown")
        for value in self.meters.values():
            value.setText("–")
        self.editor.set_state(is_armed=False, why_no_upload=reason)

    def _show_editor(self, status: dict[str, Any]) -> None:
        state = status["gate"]["state"]
        upkeep = next(iter(status.get("upkeep", ())), None)
        why_not = "" if state == "disarmed" else "The amplifier stops for it: disarm first."
        if upkeep is not None:
            self.editor.show_held(upkeep["held"])
            if upkeep["state"] == "at work":
                why_not = "The amplifier is being worked on …"
            elif upkeep["job"] == self._upload_job:
                self._upload_job = None
                tone = "" if upkeep["state"] == "done" else "bad"
                self.editor.say_uploaded(upkeep["sentence"], tone)
        self.editor.set_state(is_armed=state == "armed", why_no_upload=why_not)

    def _show_instrument(self, instrument: dict[str, Any]) -> None:
        name = instrument["name"]
        if name not in self.rows:
            row = self.grid.rowCount()
            title = QLabel(f"{name}  ({instrument['kind']})")
            title.setToolTip("An instrument of this site, by its name in site.toml")
            self.rows[name] = (QLabel(), muted())
            self.rows[name][0].setToolTip(STATE_TIP)
            self.rows[name][1].setToolTip("Age of its last data, and how many requests wait for it")
            self.grid.addWidget(title, row, 0)
            for column, label in enumerate(self.rows[name], start=1):
                self.grid.addWidget(label, row, column)
            self.grid.setColumnStretch(2, 1)
        state, detail = self.rows[name]
        word, tone = _state(instrument)
        state.setText(word)
        set_tone(state, tone)
        detail.setText(_detail(instrument, self._provenance.get(name, "")))

    def _show_meters(self, status: dict[str, Any]) -> None:
        meters, process = self.meters, status["process"]
        meters["cpu"].setText(self._cpu_words(process["cpu_s"], status["now_ns"]))
        meters["memory"].setText(size(process["max_memory_bytes"]))
        amplifier = status["amplifier"]
        if amplifier is not None:
            lost = amplifier["n_lost"]
            text = f"{grouped(amplifier['n_samples'])} received, {grouped(lost)} lost"
            meters["samples"].setText(text)
            set_tone(meters["samples"], "bad" if lost else "")
        raw = status.get("recording")
        if raw is not None:
            meters["raw"].setText(f"{raw['fill']:.0%} of the ring waits for the disk")
            is_full = raw["fill"] > 0.5
            set_tone(meters["raw"], "warning" if is_full else "")
        failure = status["event_log"].get("failure")
        meters["event_log"].setText(failure or "written")
        set_tone(meters["event_log"], "bad" if failure else "")
        console = status["console"]
        if console is not None:
            n = len(console["attached"])
            meters["feed"].setText(f"{console['mean_frame_ms']:.2f} ms, {n} attached")

    def _cpu_words(self, cpu_s: float, now_ns: int) -> str:
        before, self._cpu = self._cpu, (cpu_s, now_ns)
        if before is None or now_ns <= before[1]:
            return "–"
        share = (cpu_s - before[0]) / ((now_ns - before[1]) / 1e9)
        return f"{share:.0%} of a core"

    def _trigger(self, instrument: str, pattern: int) -> None:
        operators = self.link.description.get("operators", [])
        who = operators[0] if operators else "operator"
        self.link.call("trigger", self._triggered, who=who, instrument=instrument, pattern=pattern)

    def _upload(self, instrument: str, pattern: Pattern, who: str, reason: str) -> None:
        pulse = asdict(pattern.pulse)
        del pulse["is_negative_first"]  # stays as it is
        self.link.call(
            "upload pattern",
            self._uploading,
            instrument=instrument,
            pattern=pattern.pattern_id,
            who=who,
            reason=reason,
            is_confirmed=True,
            **pulse,
        )

    def _uploading(self, reply: Reply) -> None:
        job = reply.result.get("job")
        self._upload_job = job if isinstance(job, int) else None
        if not reply.is_ok:
            self.editor.say_uploaded(f"Refused: {reply.error}", "bad")

    def _triggered(self, reply: Reply) -> None:
        text = "Asked of the Gate; its verdict stands in the log." if reply.is_ok else reply.error
        self.editor.answer.setText(text if reply.is_ok else f"Refused: {text}")
        set_tone(self.editor.answer, "" if reply.is_ok else "bad")


def _state(instrument: dict[str, Any]) -> tuple[str, str]:
    """Return what is known of an instrument in a word; good only where data prove it."""
    if instrument["kind"] != "amplifier":
        return "no stream", "unknown"
    age_s = instrument["age_s"]
    if age_s is None:
        return "NO DATA YET", "unknown"
    return ("DELIVERS", "good") if age_s < SILENT_S else (f"SILENT {duration(age_s)}", "bad")


def _detail(instrument: dict[str, Any], provenance: str) -> str:
    parts = [provenance.upper()] if provenance not in ("", "live") else []
    if instrument.get("age_s") is not None:
        parts.append(f"last data {duration(instrument['age_s'])} ago")
    parts.append(f"{instrument['n_waiting']} wait")
    if instrument.get("n_dropped"):
        parts.append(f"{instrument['n_dropped']} dropped")
    return ", ".join(parts)
