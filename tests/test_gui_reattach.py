"""A window whose engine goes, comes back, or says nothing."""

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from console_rig import feed_format, serving
from gui_rig import ScriptedEngine, open_window, window_on
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.console.control import Caller
from app.console.happenings import LogLine
from app.console.live_feed import LiveFeed

LEFT = Qt.MouseButton.LeftButton


def test_stop_is_never_disabled_and_says_when_it_was_not_sent(qtbot: QtBot, tmp_path: Path) -> None:
    with open_window(qtbot, tmp_path / "nobody.sock", tmp_path) as window:
        qtbot.waitUntil(lambda: "no engine answers" in window.link.reason, timeout=5_000)
        assert window.top_bar.state.text() == "UNKNOWN"
        assert window.top_bar.stop.isEnabled()
        qtbot.mouseClick(window.top_bar.stop, LEFT)
        assert "NOT SENT" in window.faults.text.text()


def test_a_stop_pressed_while_detached_is_sent_on_attaching(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    with serving(LiveFeed(feed_format()), engine) as (_, path):
        hidden = path.rename(path.with_name("hidden.sock"))
        with open_window(qtbot, path, tmp_path) as window:
            qtbot.waitUntil(lambda: "no engine answers" in window.link.reason, timeout=5_000)
            qtbot.mouseClick(window.top_bar.stop, LEFT)
            assert not engine.asked("stop")
            hidden.rename(path)
            qtbot.waitUntil(lambda: bool(engine.asked("stop")), timeout=5_000)


def test_an_engine_that_goes_is_unknown_and_one_that_comes_back_is_known(
    qtbot: QtBot, tmp_path: Path
) -> None:
    first, feed = ScriptedEngine(), LiveFeed(feed_format())
    feed.happened(LogLine(time_ns=1, level="info", source="gate", text="boot done"))
    with ExitStack() as stack:
        _, path = stack.enter_context(serving(feed, first))
        with open_window(qtbot, path, tmp_path) as window:
            qtbot.waitUntil(lambda: window.link.is_fresh, timeout=20_000)
            sockets = path.parent
            path.rename(sockets / "first.sock")
            window.link._attachment.close()  # as if the network had gone
            qtbot.waitUntil(lambda: window.top_bar.state.text() == "UNKNOWN", timeout=5_000)
            assert window.top_bar.state.property("tone") == "unknown"
            assert window.view.safety.state.text() == "UNKNOWN"
            assert window.view.recording.state.text() == "UNKNOWN"
            feed.happened(LogLine(time_ns=2, level="info", source="link", text="meanwhile"))
            (sockets / "first.sock").rename(path)
            qtbot.waitUntil(lambda: window.link.is_fresh, timeout=5_000)
            qtbot.waitUntil(lambda: window.top_bar.state.text() == "DISARMED", timeout=5_000)
            model = window.view.log.model

            def log() -> list[str]:
                return [model.text(row) for row in range(model.rowCount())]

            qtbot.waitUntil(lambda: any("meanwhile" in t for t in log()), timeout=5_000)
            qtbot.waitUntil(lambda: any("attached again after" in t for t in log()), timeout=5_000)
            assert sum("boot done" in text for text in log()) == 1
            assert not any("times" in text for text in log())


def test_a_silent_engine_is_dialled_anew(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gui.engine_link.SILENT_S", 0.5)
    is_free = threading.Event()

    class SilentEngine(ScriptedEngine):
        def handle(self, caller: Caller, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
            if name == "note":
                is_free.wait(20.0)
            return super().handle(caller, name, arguments)

    engine = SilentEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        reasons: list[str] = []
        window.link.detached.connect(reasons.append)
        window.link.call("note", who="Ada", text="the engine hangs over this")
        qtbot.waitUntil(lambda: any("dialled anew" in r for r in reasons), timeout=5_000)
        is_free.set()
        qtbot.waitUntil(lambda: window.link.is_fresh, timeout=5_000)
