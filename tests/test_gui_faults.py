"""Bugs of the window's own code, and signals in the midst of something."""

import logging
import os
import signal
from pathlib import Path

import pytest
from gui_rig import ScriptedEngine, window_on
from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.gui.application import ended_by_signals
from app.gui.close_dialog import ask_what_then
from app.gui.faults import faults_shown, shielded
from app.gui.main_window import MainWindow


def broken(*_: object) -> None:
    raise RuntimeError("a bug")


def test_a_fault_that_comes_with_every_frame_is_logged_once_and_told_at_powers_of_ten(
    qtbot: QtBot, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    with faults_shown(told.append), caplog.at_level(logging.ERROR):
        for _ in range(1234):
            shielded(broken)
        shielded(int, "no number")
    assert ["so far" in text for text in told] == [False, True, True, True, False]
    assert "so far 1000 times" in told[3]
    assert len(caplog.records) == 2


def test_a_fault_that_cannot_be_shown_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with faults_shown(broken):
        shielded(int, "no number")
    assert "the fault could not be shown" in caplog.text


def test_one_broken_view_takes_no_other_with_it(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window, faults_shown(window.show_fault):
        shown: list[object] = []
        monkeypatch.setattr(window.view.safety, "show_status", broken)
        monkeypatch.setattr(window.view.log, "show_status", shown.append)
        monkeypatch.setattr(window.view.signals.traces, "refresh", broken)
        monkeypatch.setattr(window.view.signals.raster, "refresh", lambda: shown.append("raster"))
        window.link.call("note", broken, who="Ada", text="a reply that is taken badly")
        qtbot.waitUntil(lambda: "raster" in shown and len(shown) > 5, timeout=5_000)
        qtbot.waitUntil(lambda: any(isinstance(s, dict) for s in shown), timeout=5_000)
        assert window.link.is_fresh
        assert "a bug" in window.faults.text.text()


def close_when_asked(window: MainWindow) -> QTimer:
    """Send ourselves SIGTERM as soon as the window asks a question."""
    timer = QTimer(window)

    def look() -> None:
        if QApplication.activeModalWidget() is not None:
            timer.stop()
            os.kill(os.getpid(), signal.SIGTERM)

    timer.timeout.connect(look)
    timer.start(20)
    return timer


def test_sigterm_closes_the_window_though_it_asks_whether_to_take_control(
    qtbot: QtBot, tmp_path: Path
) -> None:
    engine = ScriptedEngine()
    engine.shown["control"] = {"number": 99, "name": "Bea", "since_ns": 1}
    with window_on(qtbot, engine, tmp_path) as window, ended_by_signals(window.close_unasked):
        qtbot.waitUntil(lambda: "Bea" in window.top_bar.control.text(), timeout=5_000)
        close_when_asked(window)
        qtbot.mouseClick(window.top_bar.control, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: not window.isVisible(), timeout=5_000)
        assert not engine.asked("take control")
        assert not window.link.is_attached


def test_sigterm_closes_the_window_though_it_asks_what_becomes_of_the_engine(
    qtbot: QtBot, tmp_path: Path
) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window, ended_by_signals(window.close_unasked):
        window._is_own_engine, window._ask = True, ask_what_then
        close_when_asked(window)
        window.close()
        qtbot.waitUntil(lambda: not window.isVisible(), timeout=5_000)
        assert not engine.asked("shutdown")
