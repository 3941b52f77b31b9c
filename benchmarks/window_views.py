"""The live views of the operator's window in a process of their own, told by lines what to do."""

import sys
import threading
from pathlib import Path

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QApplication, QHBoxLayout, QWidget

from app.console.attachment import LocalEngine
from app.console.feed import EnvelopeBatch
from app.gui.engine_link import EngineLink
from app.gui.panels.signals import SignalPanels
from app.gui.theme import DARK

SIZE = 1600, 900
LOOK_MS = 20


class Commanded:
    """Attaches and detaches on "attach" and "detach"; ends with its input."""

    def __init__(self, app: QApplication, path: Path) -> None:
        self._app = app
        self._path = path
        self._lines: list[str] = []
        self._is_ended = False
        self._link: EngineLink | None = None
        self._views: QWidget | None = None
        self.n_columns = 0
        self._timer = QTimer()
        self._timer.timeout.connect(self._look)
        self._timer.start(LOOK_MS)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.append(line.strip())
        self._is_ended = True

    def _look(self) -> None:
        if self._is_ended:
            self._app.quit()
        if self._lines:
            if self._lines.pop(0) == "attach":
                self._attach()
            else:
                self._detach()

    def _attach(self) -> None:
        link = EngineLink(LocalEngine(self._path))
        panels = SignalPanels(link, DARK)
        views = QWidget()
        row = QHBoxLayout(views)
        row.addWidget(panels.traces, 2)
        row.addWidget(panels.raster, 1)
        views.resize(*SIZE)
        views.show()
        link.arrived.connect(panels.take)
        link.arrived.connect(self._count)
        link.frame_ended.connect(panels.show_frame)
        link.attached.connect(lambda: print("attached", flush=True))
        link.start()
        self._link, self._views = link, views

    def _count(self, arrival: object) -> None:
        if isinstance(arrival, EnvelopeBatch):
            self.n_columns += len(arrival.low)

    def _detach(self) -> None:
        if self._link is not None and self._views is not None:
            self._link.close()
            self._views.close()
            self._link = self._views = None
        print("detached", flush=True)


def main(path: Path) -> int:
    """Run until standard input ends."""
    app = QApplication(sys.argv[:1])
    app.setQuitOnLastWindowClosed(False)
    commanded = Commanded(app, path)
    print("ready", flush=True)
    code = app.exec()
    print(commanded.n_columns, flush=True)
    return code
