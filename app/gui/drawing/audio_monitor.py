"""Listening to one electrode."""

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QHideEvent
from PyQt6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QWidget

from app.console.feed import FeedFormat, Snippets
from app.gui.drawing.audio_output import AudioOutput, NoSoundError, open_audio_output
from app.gui.drawing.spike_sound import SpikeSound

N_IDLE_MAX = 50
"""So many refreshes in a row without room for a sample, five seconds: nobody plays any more."""


class AudioMonitor(QWidget):
    """Plays the snippets of the selected electrode; says so if it cannot.

    Give it `set_format`, `select_channel`, `add_snippets`, and `refresh` 30 times a second. It is
    silent until the operator switches it on.
    """

    def __init__(self, open_output: Callable[[], AudioOutput] = open_audio_output) -> None:
        super().__init__()
        self._open_output = open_output
        self._output: AudioOutput | None = None
        self._n_idle = 0
        self._sound = SpikeSound()
        self._format: FeedFormat | None = None
        self._channel: int | None = None
        self.listen_box = QCheckBox("Listen to the selected electrode")
        self.listen_box.setToolTip("each detected spike sounds as it looks, half a second later")
        self.volume = QSlider(Qt.Orientation.Horizontal)
        self.volume.setRange(0, 100)
        self.volume.setValue(50)
        self.volume.setToolTip("how loud the chosen electrode is")
        self.text = QLabel()
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        for widget in (self.listen_box, self.volume, self.text):
            row.addWidget(widget)
        row.setStretchFactor(self.text, 1)
        self.listen_box.toggled.connect(self._switch)
        self.volume.valueChanged.connect(self._set_volume)

    @property
    def is_listening(self) -> bool:
        """Say whether a device is open."""
        return self._output is not None

    def set_format(self, feed_format: FeedFormat) -> None:
        """Begin with a source."""
        self._format, self._channel = feed_format, None
        self._sound.clear()

    def select_channel(self, channel: int) -> None:
        """Listen to another electrode."""
        self._channel = channel
        self._sound.clear()

    def add_snippets(self, snippets: Snippets) -> None:
        """Take snippets; those of other electrodes are passed over."""
        if self._output is None or self._format is None:
            return
        is_ours = snippets.records["channel"] == self._channel
        rate_hz = self._format.sample_rate_hz
        before_ns = round(snippets.n_before / rate_hz * 1e9)
        begin_ns = snippets.records["time_ns"][is_ours] - before_ns
        self._sound.add(begin_ns, snippets.samples_uv[is_ours], rate_hz)

    def refresh(self) -> None:
        """Give the device what it has room for."""
        if self._output is None:
            return
        n_free = self._output.n_free()
        self._n_idle = 0 if n_free else self._n_idle + 1
        failure = self._output.failure()
        if not failure and self._n_idle > N_IDLE_MAX:
            failure = "the sound device has taken nothing for 5 s; is its server still there?"
        if failure:
            self.listen_box.setChecked(False)
            self.text.setText(f"No sound: {failure}")
        else:
            self._output.write(self._sound.take(n_free))

    def _switch(self, is_on: bool) -> None:
        if not is_on:
            self._close("")
            return
        try:
            self._output = self._open_output()
        except NoSoundError as exc:
            self.text.setText(f"No sound: {exc}")
            self.listen_box.setChecked(False)
            return
        self.text.setText("")
        self._n_idle = 0
        self._sound.clear()
        self._set_volume(self.volume.value())

    def _set_volume(self, percent: int) -> None:
        if self._output is not None:
            self._output.set_volume(percent / 100)

    def _close(self, text: str) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None
            self.text.setText(text)

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Fall silent with the panel: nobody should wonder where the noise comes from."""
        self.listen_box.setChecked(False)
        super().hideEvent(event)
