"""Recording: what is really on the disk, and notes for whoever reads it later."""

from typing import Any

from PyQt6.QtWidgets import QLabel, QLineEdit, QPushButton

from app.console.messages import Reply
from app.gui.engine_link import EngineLink
from app.gui.numbers import duration, grouped, size
from app.gui.panel import Panel, card, figures_table, heading, muted, set_tone
from app.gui.panels.metadata_form import MetadataForm

STATE_WORDS = {
    "idle": ("NOT RECORDING", "disarmed", "spikes and decisions are recorded; raw samples are not"),
    "starting": ("STARTING", "unknown", "waiting until the first samples can be read back"),
    "recording": ("RECORDING", "armed", "samples are on the disk and were read back"),
    "failed": ("FAILED", "tripped", "the recording ended by a fault"),
}
WARN_LEFT_S = 3600.0


class RecordingPanel(Panel):
    """Start, stop, what the file holds, time left on the disk, notes, metadata."""

    title = "Recording"
    explanation = (
        "Spikes, pulses and decisions are always recorded while the engine runs. This button "
        "governs the raw samples. The figures are read back from the file, not counted here."
    )

    def __init__(self, link: EngineLink) -> None:
        super().__init__(link)
        self.state = QLabel("UNKNOWN")
        self.state.setObjectName("state")
        self.state.setToolTip("Whether raw samples of every channel are written to the disk")
        self.meaning = muted()
        self.meaning.setToolTip("What that means; a fault of the recording stands here")
        self.button = QPushButton("Start recording (Ctrl+R)")
        self.button.setToolTip(
            "Raw samples of every channel. Spikes, pulses and notes are always recorded."
        )
        self.button.clicked.connect(self.toggle)
        self.answer = QLabel()
        self.answer.setWordWrap(True)
        self.answer.setToolTip("What became of the last request")
        self.figures: dict[str, QLabel] = {}
        self.note = QLineEdit()
        self.note.setPlaceholderText("a note, with the time stamp of now (Enter)")
        self.note.setMaxLength(500)
        self.note.setToolTip("Goes into the record of this session, with the time of Enter")
        self.note.returnPressed.connect(self._note)
        self.notes = muted()
        self.notes.setToolTip("Notes that were written from this window")
        self.metadata = MetadataForm()
        self.metadata.saved.connect(self._save_metadata)
        self.who = "operator"
        self._is_recording = False
        self._rate_hz = 0.0
        self._arrange()
        self.show_unknown("not attached yet")

    def _arrange(self) -> None:
        for widget in (self.state, self.meaning, self.button):
            self.body.addWidget(widget)
        self.body.addWidget(self.answer)
        frame, layout = card()
        layout.addWidget(heading("In the file"))
        rows = (
            ("elapsed", "Elapsed", "Signal in the file: samples divided by the sample rate"),
            ("samples", "Samples per channel", "Whole frames in continuous.dat"),
            ("bytes", "Written", "Length of continuous.dat as the operating system knows it"),
            ("lost", "Not written", "Samples offered while recording that are not in the file"),
            ("left", "Disk lasts for", "Until the disk is full at this stream's rate"),
            ("folder", "Folder", "The session's folder"),
        )
        table, self.figures = figures_table(rows)
        for value in self.figures.values():
            value.setWordWrap(True)
        layout.addLayout(table)
        self.body.addWidget(frame)
        frame, layout = card()
        layout.addWidget(heading("Note"))
        layout.addWidget(self.note)
        layout.addWidget(self.notes)
        self.body.addWidget(frame)
        self.body.addWidget(self.metadata)
        self.body.addStretch(1)

    def show_description(self, description: dict[str, Any]) -> None:
        """Take the sample rate, by which elapsed time is known."""
        amplifiers = description["amplifiers"]
        self._rate_hz = amplifiers[0]["sample_rate_hz"] if amplifiers else 0.0
        self.button.setVisible(bool(amplifiers))
        self.metadata.set_devices([s["name"] for s in description["smus"]], bool(amplifiers))

    def show_status(self, status: dict[str, Any]) -> None:
        """Show the raw recording."""
        self.figures["folder"].setText(status["session_folder"])
        recording = status.get("recording")
        if recording is None:
            self._show_state("NO RAW DATA", "disarmed", "this site has no amplifier to record")
            return
        word, tone, meaning = STATE_WORDS.get(recording["state"], ("UNKNOWN", "unknown", ""))
        self._show_state(word, tone, recording["failure"] or meaning)
        self._is_recording = recording["state"] in ("starting", "recording")
        verb = "Stop" if self._is_recording else "Start"
        self.button.setText(f"{verb} recording (Ctrl+R)")
        self._show_figures(recording)

    def show_unknown(self, reason: str) -> None:
        """Show that nothing is known: a recording may or may not go on."""
        self._show_state("UNKNOWN", "unknown", reason)
        for value in self.figures.values():
            value.setText("–")

    def toggle(self) -> None:
        """Start or stop the raw recording."""
        self.link.call("record", self._answered, is_on=not self._is_recording)

    def _show_state(self, word: str, tone: str, meaning: str) -> None:
        self.state.setText(word)
        set_tone(self.state, tone)
        self.meaning.setText(meaning)

    def _show_figures(self, recording: dict[str, Any]) -> None:
        n_samples = recording["n_samples"]
        rate_hz = self._rate_hz
        elapsed = duration(n_samples / rate_hz) if rate_hz > 0 and n_samples else "–"
        left_s, n_lost = recording.get("seconds_left"), recording["n_samples_lost"]
        self.figures["elapsed"].setText(elapsed)
        self.figures["samples"].setText(grouped(n_samples))
        self.figures["bytes"].setText(size(recording["n_bytes"]))
        self.figures["lost"].setText(grouped(n_lost))
        set_tone(self.figures["lost"], "bad" if n_lost else "")
        self.figures["left"].setText(duration(left_s))
        is_short = left_s is not None and left_s < WARN_LEFT_S
        set_tone(self.figures["left"], "warning" if is_short else "")
        if recording.get("folder"):
            self.figures["folder"].setText(recording["folder"])

    def _note(self) -> None:
        text = self.note.text().strip()
        if text:
            self.link.call("note", self._noted, who=self.who, text=text)

    def _noted(self, reply: Reply) -> None:
        self._answered(reply)
        if reply.is_ok:
            self.notes.setText(f"noted: {self.note.text().strip()}")
            self.note.clear()

    def _save_metadata(self, text: str) -> None:
        self.link.call("note", self._answered, who=self.who, text=text)

    def _answered(self, reply: Reply) -> None:
        self.answer.setText("" if reply.is_ok else f"Refused: {reply.error}")
        set_tone(self.answer, "" if reply.is_ok else "bad")
