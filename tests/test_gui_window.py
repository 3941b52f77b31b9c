"""The operator's window on a scripted engine over a real socket: what it shows and what it asks."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from console_rig import feed_format
from gui_rig import ScriptedEngine, gate, recording, window_on
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from app.console.control import Caller
from app.console.happenings import LogLine
from app.console.live_feed import LiveFeed
from app.gui.drawing.threshold_request import ThresholdRequest
from app.gui.faults import faults_shown
from app.gui.theme import DARK, LIGHT

LEFT = Qt.MouseButton.LeftButton


def hold(qtbot: QtBot, button: object, until: object) -> None:
    qtbot.mousePress(button, LEFT)
    qtbot.waitUntil(until, timeout=5_000)
    qtbot.mouseRelease(button, LEFT)


def test_arming_needs_a_reason_and_a_second(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        form = window.view.safety.arm_form
        assert window.top_bar.state.text() == "DISARMED"
        assert not form.button.isEnabled()
        qtbot.keyClicks(form.reason, "first run")
        assert form.button.isEnabled()
        qtbot.mouseClick(form.button, LEFT)  # too short
        qtbot.mouseDClick(form.button, LEFT)
        qtbot.keyClick(form.button, Qt.Key.Key_Return)
        assert not engine.asked("arm")
        hold(qtbot, form.button, lambda: bool(engine.asked("arm")))
        (asked,) = engine.asked("arm")
        assert asked == {"who": "Ada", "reason": "first run", "seconds": 3600.0, "code": "abcd"}
        qtbot.waitUntil(lambda: window.top_bar.state.text() == "ARMED", timeout=5_000)
        assert window.top_bar.state.property("tone") == "armed"


def test_a_refused_arming_is_a_sentence_and_nothing_is_armed(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.refusals["arm"] = "padova: Ada is no operator of this site"
    with window_on(qtbot, engine, tmp_path) as window:
        safety = window.view.safety
        safety.arm_form.reason.setText("first run")
        hold(qtbot, safety.arm_form.button, lambda: "no operator" in safety.answer.text())
        assert safety.answer.text() == "Refused: padova: Ada is no operator of this site"
        assert window.top_bar.state.text() == "DISARMED"


def test_what_stands_in_the_way_of_arming_is_said_before(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    blocks = {"experiment:zurich": "site zurich runs another experiment"}
    engine.shown["gate"] = gate(blocks=blocks)
    with window_on(qtbot, engine, tmp_path) as window:
        safety = window.view.safety
        safety.arm_form.reason.setText("first run")
        qtbot.waitUntil(lambda: "another experiment" in safety.obstacles.text(), timeout=5_000)
        assert not safety.arm_form.button.isEnabled()


@pytest.mark.parametrize("by", ["click", "key"])
def test_emergency_stop_is_one_click_or_one_key(qtbot: QtBot, tmp_path: Path, by: str) -> None:
    engine = ScriptedEngine()
    engine.shown["gate"] = gate("armed", who="Ada")
    with window_on(qtbot, engine, tmp_path) as window:
        assert window.top_bar.stop.isEnabled()
        if by == "click":
            qtbot.mouseClick(window.top_bar.stop, LEFT)
        else:
            window.activateWindow()
            qtbot.keyClick(window.view.log.search, Qt.Key.Key_F12)
        qtbot.waitUntil(lambda: bool(engine.asked("stop")), timeout=5_000)
        qtbot.waitUntil(lambda: window.top_bar.state.text() == "TRIPPED", timeout=5_000)
        assert "confirmed (read back)" in window.said.text()


def test_recording_is_started_and_shown_from_what_the_file_holds(
    qtbot: QtBot, tmp_path: Path
) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        window.view.show_panel("Recording")
        panel = window.view.recording
        qtbot.mouseClick(panel.button, LEFT)
        qtbot.waitUntil(lambda: panel.state.text() == "RECORDING", timeout=5_000)
        assert engine.asked("record") == [{"is_on": True}]
        shown = recording("recording", n_samples=40_000, n_bytes=320_000, seconds_left=1800.0)
        engine.shown = {**engine.shown, "recording": shown}
        qtbot.waitUntil(lambda: panel.figures["elapsed"].text() == "2.0 s", timeout=5_000)
        assert panel.figures["bytes"].text() == "320.0 kB"
        assert panel.figures["left"].property("tone") == "warning"
        qtbot.keyClicks(panel.note, "medium changed")
        qtbot.keyClick(panel.note, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: bool(engine.asked("note")), timeout=5_000)
        assert engine.asked("note")[0]["text"] == "medium changed"


def test_log_shows_and_filters(qtbot: QtBot, tmp_path: Path) -> None:
    engine, feed = ScriptedEngine(), LiveFeed(feed_format())
    feed.happened(LogLine(time_ns=1, level="info", source="gate", text="DISARMED: boot done"))
    feed.happened(LogLine(time_ns=2, level="warning", source="link zurich", text="down: silent"))
    with window_on(qtbot, engine, tmp_path, feed=feed) as window:
        log = window.view.log
        qtbot.waitUntil(lambda: log.model.rowCount() >= 2, timeout=5_000)
        qtbot.keyClicks(log.search, "ZURICH")
        assert log.shown.rowCount() == 1
        log.search.clear()
        log.level.setCurrentText("warnings and errors")
        texts = [log.shown.index(r, 3).data() for r in range(log.shown.rowCount())]
        assert "down: silent" in texts
        assert "DISARMED: boot done" not in texts


def test_a_fault_in_a_slot_is_shown_and_the_window_goes_on(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        old = sys.excepthook
        with faults_shown(window.show_fault):
            sys.excepthook(ValueError, ValueError("a bug"), None)
        assert sys.excepthook is old
        assert "a bug" in window.faults.text.text()
        assert "goes on" in window.faults.text.text()


def test_control_is_taken_shown_and_given_back(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        assert "free" in window.top_bar.control.text()
        qtbot.mouseClick(window.top_bar.control, LEFT)
        qtbot.waitUntil(lambda: "this window" in window.top_bar.control.text(), timeout=5_000)
        assert engine.asked("take control") == [{"who": "Ada", "is_confirmed": False}]
        qtbot.mouseClick(window.top_bar.control, LEFT)
        qtbot.waitUntil(lambda: bool(engine.asked("release control")), timeout=5_000)


def test_every_panel_says_what_it_is(qtbot: QtBot, tmp_path: Path) -> None:
    with window_on(qtbot, ScriptedEngine(), tmp_path) as window:
        for title, dock in window.view.docks.items():
            head = dock.titleBarWidget()
            texts = [label.text() for label in head.findChildren(QLabel)]
            assert texts[0] == title
            assert len(texts[1]) > 20, title
            assert head.toolTip()


def test_a_busy_engine_is_waited_for_and_no_lease_is_renewed_meanwhile(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gui.engine_link.STOP_CONFIRM_S", 0.3)
    is_free = threading.Event()

    class BusyEngine(ScriptedEngine):
        def handle(self, caller: Caller, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
            if name == "stop":
                is_free.wait(20.0)
            return super().handle(caller, name, arguments)

    engine = BusyEngine()
    engine.shown["gate"] = gate("armed", who="Ada")
    with window_on(qtbot, engine, tmp_path) as window:
        qtbot.waitUntil(lambda: bool(engine.asked("renew")), timeout=5_000)
        qtbot.mouseClick(window.top_bar.stop, LEFT)
        qtbot.waitUntil(lambda: "NOT CONFIRMED" in window.faults.text.text(), timeout=5_000)
        assert "hardware stop" in window.faults.text.text()
        n_renewals = len(engine.asked("renew"))
        is_free.set()
        qtbot.waitUntil(lambda: "switched off" in window.said.text(), timeout=5_000)
        names = [name for _, name, _ in engine.calls]
        between = names[: names.index("stop")].count("renew")
        assert between == n_renewals  # what came before the stop; none while it waited


def test_a_threshold_is_asked_for_and_a_refusal_is_shown(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        scope = window.view.signals.scope
        qtbot.waitUntil(window.view.docks["Traces"].isVisible, timeout=5_000)
        scope.threshold_requested.emit(ThresholdRequest(2, n_sigma=4.5))
        qtbot.waitUntil(lambda: bool(engine.asked("threshold")), timeout=5_000)
        assert engine.asked("threshold") == [{"channel": "A-002", "sigma": 4.5, "microvolts": None}]
        engine.refusals["threshold"] = "no such channel"
        scope.threshold_requested.emit(ThresholdRequest(None, threshold_uv=40.0))
        labels = scope.findChildren(QLabel)
        qtbot.waitUntil(
            lambda: any("no such channel" in label.text() for label in labels), timeout=5_000
        )


def test_control_held_by_another_is_taken_only_with_a_confirmation(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine()
    engine.shown["control"] = {"number": 99, "name": "Bea", "since_ns": 1}
    answers = [False, True]
    with window_on(qtbot, engine, tmp_path) as window:
        monkeypatch.setattr(window, "_ask_to_take", lambda *_: answers.pop(0))
        qtbot.waitUntil(lambda: "Bea" in window.top_bar.control.text(), timeout=5_000)
        qtbot.mouseClick(window.top_bar.control, LEFT)
        assert not engine.asked("take control")
        qtbot.mouseClick(window.top_bar.control, LEFT)
        qtbot.waitUntil(lambda: bool(engine.asked("take control")), timeout=5_000)
        assert engine.asked("take control")[0]["is_confirmed"] is True


def test_what_make_safe_achieved_is_said_per_instrument(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    reports = [
        {"instrument": "mea1", "state": "sent", "detail": ""},
        {"instrument": "arc1", "state": "failed", "detail": "port gone"},
    ]
    engine.shown["safe_reports"] = reports
    engine.shown["switched_off"] = {"why": "emergency stop by Ada", "time_ns": 1}
    with window_on(qtbot, engine, tmp_path) as window:
        safety = window.view.safety
        qtbot.waitUntil(lambda: safety.safe_grid.count() == 6, timeout=5_000)
        cells = [safety.safe_grid.itemAt(i).widget() for i in range(6)]
        assert [(c.text(), c.property("tone")) for c in cells if c.property("tone")] == [
            ("SENT", "warning"),
            ("FAILED", "bad"),
        ]


def test_docks_and_theme_are_remembered(qtbot: QtBot, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        window.set_theme(LIGHT)
        window.view.docks["Log"].setFloating(True)
    with window_on(qtbot, engine, tmp_path) as window:
        assert window.theme is LIGHT
        qtbot.waitUntil(window.view.docks["Log"].isFloating, timeout=5_000)
        window.set_theme(DARK)


def test_links_are_shown_as_they_are_and_never_green_when_unknown(
    qtbot: QtBot, tmp_path: Path
) -> None:
    engine = ScriptedEngine()
    latency = {
        "n_exchanges": 128, "uncertainty_ns": 2_000_000,
        "round_trip": {"min_ns": 28_000_000, "p50_ns": 30_000_000, "p99_ns": 39_000_000},
        "there": {"min_ns": 13_000_000, "p50_ns": 14_000_000, "p99_ns": 19_000_000},
        "back": {"min_ns": 15_000_000, "p50_ns": 16_000_000, "p99_ns": 20_000_000},
    }  # fmt: skip
    link = {
        "site": "zurich", "state": "up", "for_s": 5.0, "reason": "", "age_of_last_frame_s": 0.02,
        "age_of_last_event_sent_s": 0.5, "age_of_last_event_received_s": None, "latency": latency,
        "rtt_ns": 30_000_000, "offset_ns": None, "uncertainty_ns": None,
        "has_our_experiment": True, "n_events_sent": 1200, "n_events_received": 3,
        "n_events_lost": 2, "n_frames_lost": 0, "n_resent": 0, "n_events_refused": 0,
        "n_unacknowledged": 0,
    }  # fmt: skip
    engine.shown["links"] = [link]
    with window_on(qtbot, engine, tmp_path) as window:
        cards = window.view.links.cards
        qtbot.waitUntil(lambda: "zurich" in cards, timeout=5_000)
        card = cards["zurich"]
        assert card.state.text() == "UP for 5.0 s"
        assert card.values["latency", "to"].text() == "14.00 / 19.00 ± 2.00 ms"
        assert card.values["events", "to"].text() == "1 200 sent"
        assert card.values["lost", "to"].property("tone") == "bad"
        assert card.values["lost", "from"].property("tone") != "bad"
        assert card.values["event", "from"].text() == "none yet"
        assert window.view.links.expiry.isHidden()
        engine.shown = {**engine.shown, "links": [{**link, "certificate_days_left": 12.2}]}
        expiry = window.view.links.expiry
        qtbot.waitUntil(lambda: not expiry.isHidden(), timeout=5_000)
        assert expiry.text().startswith("the certificate of zurich expires in 12 days")
        assert expiry.property("tone") == "warning"
        engine.shown = {**engine.shown, "links": [{**link, "state": "down", "reason": "silent"}]}
        qtbot.waitUntil(lambda: card.state.text().startswith("DOWN"), timeout=5_000)
        assert card.state.property("tone") == "bad"
        window.view.links.show_unknown("the engine is gone")
        assert (card.state.text(), card.state.property("tone")) == ("UNKNOWN", "unknown")
        assert card.values["events", "to"].text() == "–"
