"""A window as a process of its own, for tests: `python window_process.py SOCKET SITE REPORT`.

It arms by itself once it knows the session code, as the hold button would, and writes what it shows
into REPORT several times a second. No tests in here.
"""

import json
import sys
from pathlib import Path

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QApplication

from app.console.attachment import LocalEngine
from app.gui.application import ended_by_signals, window_settings
from app.gui.engine_link import EngineLink
from app.gui.main_window import MainWindow


def main() -> None:
    socket, site, report = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    application = QApplication([])
    link = EngineLink(LocalEngine(socket))
    window = MainWindow([link], [site], window_settings(report.with_suffix(".ini")))
    form = window.view.safety.arm_form
    form.reason.setText("a test")
    asked = []

    def look() -> None:
        if link.is_fresh and form.button.isEnabled() and not asked:
            asked.append(True)
            form.button.held.emit()
        model = window.view.log.model
        shown = {
            "state": window.top_bar.state.text(),
            "answer": window.view.safety.answer.text(),
            "log": [model.text(row) for row in range(model.rowCount())],
        }
        part = report.with_suffix(".part")
        part.write_text(json.dumps(shown))
        part.replace(report)

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(100)
    link.start()
    window.show()
    with ended_by_signals(window.close_unasked):
        application.exec()


if __name__ == "__main__":
    main()
