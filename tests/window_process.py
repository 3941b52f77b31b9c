"""A window as a process of its own, for tests: `python window_process.py JSON`. No tests in here.

It is the real one, `run_window`. Beside it a timer arms once it knows the session code, as the hold
button would, and writes what the window shows into a file several times a second.
"""

import json
import sys
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QTimer
from PyQt6.QtGui import QPainter
from PyQt6.QtWidgets import QApplication

from app.bridge.tls import TlsIdentity
from app.console.attachment import EnginePlace, LocalEngine, RemoteEngine
from app.gui import application
from app.gui.engines import StartedEngines
from app.gui.main_window import MainWindow


class Hand:
    """What an operator does at the window, and what they see."""

    def __init__(self, report: Path, *, is_broken: bool) -> None:
        self._report = report
        self._is_broken = is_broken
        self._has_armed = False

    def look(self) -> None:
        windows = [w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow)]
        for window in windows:
            self._act(window)
            self._tell(window)

    def _act(self, window: MainWindow) -> None:
        form = window.view.safety.arm_form
        if self._has_armed or not window.link.is_fresh:
            return
        form.reason.setText("a test")
        if form.button.isEnabled():
            self._has_armed = True
            form.button.held.emit()
            if self._is_broken:
                break_panels(window)

    def _tell(self, window: MainWindow) -> None:
        model = window.view.log.model
        shown = {
            "state": window.top_bar.state.text(),
            "answer": window.view.safety.answer.text(),
            "fault": window.faults.text.text(),
            "log": [model.text(row) for row in range(model.rowCount())],
        }
        part = self._report.with_suffix(".part")
        part.write_text(json.dumps(shown))
        part.replace(self._report)


def break_panels(window: MainWindow) -> None:
    """Put a bug into each kind of slot."""
    view, button = window.view, window.view.safety.arm_form.button

    def broken_feed(_columns: object) -> None:
        raise RuntimeError("a bug where columns are taken")

    def broken_status(status: dict[str, Any]) -> None:
        raise KeyError("a bug where a status is shown", status["site"])

    def broken_reply(_reply: object) -> None:
        raise ValueError("a bug where a reply is taken")

    def broken_paint(_event: object) -> None:
        painter = QPainter(button)
        raise ArithmeticError("a bug while painting", painter)

    def broken_timer() -> None:
        raise OSError("a bug in a timer's slot")

    view.signals.traces.add_columns = broken_feed
    view.synapses.show_status = broken_status
    button.paintEvent = broken_paint
    button.update()
    window.link.call("renew", broken_reply)
    timer = QTimer(window)
    timer.timeout.connect(broken_timer)
    timer.start(10)


def place_of(options: dict[str, Any]) -> EnginePlace:
    if "port" not in options:
        return LocalEngine(Path(options["socket"]))
    keys = Path(options["keys"])
    identity = TlsIdentity(
        keys / "operator.key", keys / "operator.crt", {"bench": keys / "bench.crt"}
    )
    return RemoteEngine("127.0.0.1", options["port"], identity)


def main() -> None:
    options = json.loads(sys.argv[1])
    report = Path(options["report"])
    _qt = QApplication([])
    application.settings_file = lambda: report.with_suffix(".ini")
    hand = Hand(report, is_broken=options.get("is_broken", False))
    timer = QTimer()
    timer.timeout.connect(hand.look)
    timer.start(100)
    sys.exit(application.run_window([place_of(options)], ["bench"], StartedEngines()))


if __name__ == "__main__":
    main()
