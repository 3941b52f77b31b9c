"""Bugs of the window's own code, and signals in the midst of something."""

import logging
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from chain_rig import until
from console_rig import feed_format
from gui_rig import ScriptedEngine, window_on
from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.console.live_feed import LiveFeed
from app.core.signal_view import EnvelopeRing
from app.gui.application import ended_by_signals
from app.gui.ask_box import AskBox
from app.gui.close_dialog import AfterClosing, ask_what_then
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


@pytest.mark.parametrize("by", ["click", "key"])
@pytest.mark.parametrize("question", ["close", "take control"])
def test_the_emergency_stop_works_while_the_window_asks_something(
    qtbot: QtBot, tmp_path: Path, by: str, question: str
) -> None:
    engine = ScriptedEngine()
    engine.shown["control"] = {"number": 99, "name": "Bea", "since_ns": 1}
    with window_on(qtbot, engine, tmp_path) as window:
        window._is_own_engine, window._ask = True, ask_what_then
        timer = QTimer(window)

        def press() -> None:
            box = QApplication.activeModalWidget()
            if isinstance(box, AskBox):
                timer.stop()
                if by == "click":
                    qtbot.mouseClick(box.stop_button, Qt.MouseButton.LeftButton)
                else:
                    qtbot.keyClick(box, Qt.Key.Key_F12)

        timer.timeout.connect(press)
        timer.start(20)
        if question == "close":
            window.close()
        else:
            qtbot.waitUntil(lambda: "Bea" in window.top_bar.control.text(), timeout=5_000)
            window.toggle_control()
        qtbot.waitUntil(lambda: len(engine.asked("stop")) == 1, timeout=5_000)
        assert window.isVisible()
        assert not engine.asked("take control")
        assert not engine.asked("shutdown")
        window._ask = lambda *_: AfterClosing.LEAVE


def test_the_stop_key_works_from_the_sheet_of_keys(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        window.help_sheet.show()
        qtbot.waitExposed(window.help_sheet)
        qtbot.keyClick(window.help_sheet, Qt.Key.Key_F12)
        qtbot.waitUntil(lambda: len(engine.asked("stop")) == 1, timeout=5_000)


def test_traces_are_not_called_live_when_nothing_comes(qtbot: QtBot, tmp_path: Path) -> None:
    engine, feed = ScriptedEngine(), LiveFeed(feed_format())
    ring = EnvelopeRing(4, 20, 64, 0.195)
    feed.set_envelopes(ring)
    feed.time_of = lambda sample: engine.shown["now_ns"] + sample * 50_000
    with window_on(qtbot, engine, tmp_path, feed=feed) as window:
        said = window.view.signals.traces.controls.state_label
        qtbot.waitUntil(lambda: said.text() == "NO SAMPLES yet", timeout=5_000)
        until(lambda: feed.n_watchers == 1, "it watches")
        ring.extents[:5, 0], ring.extents[:5, 1] = np.arange(5) * 20, 20
        ring.publish(5)
        qtbot.waitUntil(lambda: said.text() == "live", timeout=5_000)
        engine.shown = {**engine.shown, "now_ns": engine.shown["now_ns"] + 7_000_000_000}
        qtbot.waitUntil(lambda: said.text().startswith("NO SAMPLES for 7."), timeout=5_000)
        assert said.font().bold()
        window.link._attachment.close()  # as if the network had gone
        qtbot.waitUntil(lambda: said.text().startswith("NOT LIVE"), timeout=5_000)
        raster = window.view.signals.raster.controls.state_label
        window.view.show_panel("Raster")
        qtbot.waitUntil(lambda: window.link.is_fresh, timeout=10_000)
        qtbot.waitUntil(lambda: raster.text() == "live", timeout=5_000)


def test_the_protocol_is_told_whichever_site_is_looked_at(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        assert window.protocol.text() == ""
        running = {
            "state": "running", "phase_name": "potentiation", "detail": "",
            "end_ns": engine.shown["now_ns"] + 9_000_000_000,
        }  # fmt: skip
        engine.shown = {**engine.shown, "protocol": running}
        told = "Protocol at padova: potentiation. All phases end in 9.0 s"
        qtbot.waitUntil(lambda: window.protocol.text() == told, timeout=5_000)
        engine.shown = {**engine.shown, "protocol": {**running, "state": "finished"}}
        qtbot.waitUntil(
            lambda: window.protocol.text() == "Protocol finished at padova", timeout=5_000
        )


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
