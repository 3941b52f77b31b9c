"""`spikebridge gui`: the Qt application around the window, from the arguments to the exit code."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from PyQt6.QtCore import QSettings, QStandardPaths, QTimer
from PyQt6.QtWidgets import QApplication

from app.console.attachment import EnginePlace
from app.exit_codes import ExitCode
from app.gui.drawing.warm_up import warm_up
from app.gui.engine_link import EngineLink
from app.gui.engines import StartedEngines
from app.gui.faults import faults_shown
from app.gui.main_window import MainWindow
from app.gui.starting_notice import starting_notice

WATCH_MS = 500


def run_window(
    places: Sequence[EnginePlace],
    names: Sequence[str],
    engines: StartedEngines,
    *,
    asks_at_end: bool = True,
) -> ExitCode:
    """Show a window onto these engines until it is closed or a signal ends it.

    `asks_at_end`: closing asks what becomes of engines that were started from here.
    """
    application = QApplication.instance() or QApplication(["spikebridge"])
    settings = window_settings(settings_file())
    with starting_notice():
        warm_up()
    links = [EngineLink(place) for place in places]
    window = MainWindow(links, names, settings, is_own_engine=engines.has_own and asks_at_end)
    with faults_shown(window.show_fault), ended_by_signals(window.close_unasked):
        for link in links:
            link.start()
        watch = QTimer()
        watch.timeout.connect(partial(_tell_ended, engines, window))
        watch.start(WATCH_MS)
        window.show()
        application.exec()
    settings.sync()
    return ExitCode.OK


def _tell_ended(engines: StartedEngines, window: MainWindow) -> None:
    for sentence in engines.ended():
        window.show_fault(sentence)


def settings_file() -> Path:
    """Return where the window remembers docks and theme."""
    kind = QStandardPaths.StandardLocation.AppConfigLocation
    return Path(QStandardPaths.writableLocation(kind)) / "window.ini"


def window_settings(path: Path) -> QSettings:
    """Return the settings kept in a file."""
    return QSettings(str(path), QSettings.Format.IniFormat)


@contextmanager
def ended_by_signals(close: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM, SIGINT and SIGHUP close the window in order.

    A signal comes in the midst of anything, a frame that is being drawn for one: closing waits
    until that is done.
    """
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    old = {n: signal.signal(n, lambda *_: QTimer.singleShot(0, close)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
