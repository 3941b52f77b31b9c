"""What an operator may do to instruments from the window while nothing may move."""

from pathlib import Path
from typing import Any

from console_rig import feed_format
from gui_rig import DESCRIPTION, ScriptedEngine, gate, status, window_on
from pytestqt.qtbot import QtBot

from app.console.control import Caller
from app.console.live_feed import LiveFeed
from app.gui.impedance_scale import place_on_scale, summary, told

SMU = {
    "name": "arc1", "provenance": "mock", "n_devices": 2,
    "devices": [
        {"name": name, "wordline": 1, "bitline": bitline, "window_ohm": (4e3, 9e3),
         "budget_pulses": 1000}
        for bitline, name in ((1, "m1"), (2, "m2"))
    ],
}  # fmt: skip


def test_a_frozen_device_is_unfrozen_by_name_reason_and_holding(
    qtbot: QtBot, tmp_path: Path
) -> None:
    engine = ScriptedEngine()
    engine.describes = {**DESCRIPTION, "smus": [SMU]}
    frozen = [{"instrument": "arc1", "device": "m1", "direction": -1, "reason": "did not move"}]
    engine.shown = status(gate=gate("armed", frozen=frozen))
    with window_on(qtbot, engine, tmp_path) as window:
        panel = window.view.synapses
        form = panel.unfreeze
        window.view.show_panel("Synapses")
        qtbot.waitUntil(form.isVisible, timeout=5_000)
        form.reason.setText("looked at it")
        assert not form.button.isEnabled(), "not while armed"
        assert "lowering: did not move" in form.words.text()
        engine.shown = status(gate=gate("disarmed", frozen=frozen))
        qtbot.waitUntil(form.button.isEnabled, timeout=5_000)
        engine.refusals["unfreeze"] = "Bea holds control of this site"
        form.button.held.emit()
        qtbot.waitUntil(lambda: "Bea holds" in form.answer.text(), timeout=5_000)
        assert not form.button.isEnabled(), "each time needs its reason"
        del engine.refusals["unfreeze"]
        form.reason.setText("looked at it")
        form.button.held.emit()
        qtbot.waitUntil(lambda: len(engine.asked("unfreeze")) == 2, timeout=5_000)
        assert engine.asked("unfreeze")[-1] == {
            "who": "Ada", "reason": "looked at it", "instrument": "arc1", "device": "m1",
            "is_confirmed": True,
        }  # fmt: skip
        panel.choose_device(("arc1", 1, 2))
        qtbot.waitUntil(lambda: not form.isVisible(), timeout=5_000)


AMPLIFIER: dict[str, Any] = DESCRIPTION["amplifiers"][0]
CHECKED = {**AMPLIFIER, "impedance": {
    "why_not": "", "frequency_hz": 1000.0, "min_ohm": 1e3, "max_ohm": 2e6,
}}  # fmt: skip
TOLD = [["A-000", 95e3, -72.0, ""], ["A-001", 13.3e6, -89.0, "open"],
        ["A-002", 400.0, -2.0, "shorted"], ["A-003", 88e3, -72.0, ""]]  # fmt: skip
IDLE: dict[str, Any] = {
    "instrument": "mea1", "job": 0, "state": "idle", "sentence": "", "time_ns": None,
    "measured_ns": None, "can_measure": True, "held": [],
}  # fmt: skip


class UpkeepEngine(ScriptedEngine):
    """Measures and uploads at once."""

    def __init__(self) -> None:
        super().__init__()
        self.describes = {**DESCRIPTION, "amplifiers": [CHECKED]}
        self.show(IDLE)

    def show(self, upkeep: dict[str, Any], state: str = "disarmed") -> None:
        self.upkeep = upkeep
        self.shown = status(gate=gate(state), upkeep=[upkeep])

    def handle(self, caller: Caller, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        reply = super().handle(caller, name, arguments)
        job = self.upkeep["job"] + 1
        if name == "measure impedance":
            self.show({**self.upkeep, "job": job, "state": "done", "measured_ns": 9_000_000_000})
            return {"job": job}
        if name == "impedance":
            return {"frequency_hz": 1000.0, "measured_ns": 9_000_000_000, "electrodes": TOLD}
        if name == "upload pattern":
            held = {key: arguments[key] for key in AMPLIFIER["patterns"][0] if key in arguments}
            held = {**held, "pattern_id": 1, "channels": ["A-002"], "is_in_file": False,
                    "is_negative_first": True}  # fmt: skip
            said = "pattern 1 uploaded and read back"
            done = {"job": job, "state": "done", "sentence": said, "held": [held]}
            self.show({**self.upkeep, **done})
            return {"job": job}
        return reply


def test_impedances_are_a_scale_and_a_sentence() -> None:
    assert (place_on_scale(0.0), place_on_scale(1e3), place_on_scale(1e9)) == (0.0, 0.0, 1.0)
    assert place_on_scale(100e3) == 0.5
    assert place_on_scale(float("nan")) == 0.0
    assert summary(told(TOLD), 1000.0) == (
        "4 electrodes at 1000 Hz, median 91.5 kohm. 2 bad: A-001 open (13.3 Mohm), A-002 shorted "
        "(400 ohm)."
    )


def test_electrodes_are_measured_by_name_reason_and_holding(qtbot: QtBot, tmp_path: Path) -> None:
    engine = UpkeepEngine()
    feed = LiveFeed(feed_format())
    with window_on(qtbot, engine, tmp_path, feed=feed) as window:
        panel = window.view.impedance
        window.view.show_panel("Impedance")
        qtbot.waitUntil(panel.form.isVisible, timeout=5_000)
        engine.show(IDLE, "armed")
        panel.form.reason.setText("before the run")
        qtbot.waitUntil(lambda: "disarm first" in panel.form.words.text(), timeout=5_000)
        assert not panel.form.button.isEnabled()
        engine.show(IDLE)
        qtbot.waitUntil(panel.form.button.isEnabled, timeout=5_000)
        before = panel.map.grab().toImage()
        panel.form.button.held.emit()
        qtbot.waitUntil(lambda: "2 bad" in panel.facts.text(), timeout=5_000)
        assert panel.map.grab().toImage() != before
        (asked,) = engine.asked("measure impedance")
        assert asked == {
            "instrument": "mea1", "who": "Ada", "reason": "before the run", "is_confirmed": True,
        }  # fmt: skip
        qtbot.waitUntil(lambda: panel.age.text() == "1.0 s ago", timeout=5_000)


def test_an_amplifier_without_a_check_says_so(qtbot: QtBot, tmp_path: Path) -> None:
    engine = UpkeepEngine()
    why_not = "The Open Ephys GUI offers no impedance check over its remote port"
    engine.describes = {
        **DESCRIPTION, "amplifiers": [{**AMPLIFIER, "impedance": {"why_not": why_not}}],
    }  # fmt: skip
    with window_on(qtbot, engine, tmp_path) as window:
        panel = window.view.impedance
        window.view.show_panel("Impedance")
        qtbot.waitUntil(panel.why_not.isVisible, timeout=5_000)
        assert panel.why_not.text() == why_not
        assert not panel.form.isVisible()


def test_a_changed_pattern_is_uploaded_to_try_it_and_differs_from_the_file(
    qtbot: QtBot, tmp_path: Path
) -> None:
    engine = UpkeepEngine()
    with window_on(qtbot, engine, tmp_path) as window:
        editor = window.view.instruments.editor
        window.view.show_panel("Instruments")
        qtbot.waitUntil(lambda: editor.choice.count() == 1, timeout=5_000)
        assert not editor.upload.isVisible(), "nothing is changed"
        for name in ("first_amplitude_a", "second_amplitude_a"):
            editor.fields[name].edit.setText("3.3")
        assert not editor.upload.isVisible(), "the Gate would refuse it"
        for name in ("first_amplitude_a", "second_amplitude_a"):
            editor.fields[name].edit.setText("1")
        assert editor.upload.isVisible()
        editor.upload.reason.setText("too strong")
        qtbot.waitUntil(editor.upload.button.isEnabled, timeout=5_000)
        editor.upload.button.held.emit()
        qtbot.waitUntil(lambda: "uploaded" in editor.answer.text(), timeout=5_000)
        (asked,) = engine.asked("upload pattern")
        assert (asked["pattern"], asked["first_amplitude_a"], asked["who"]) == (1, 1e-6, "Ada")
        assert asked["second_duration_s"] == 200e-6, "no slipped decimal"
        assert editor.choice.itemText(0) == "pattern 1: A-002  – differs from site.toml"
        assert not editor.upload.isVisible(), "the amplifier holds what stands here"
        engine.show(engine.upkeep, "armed")
        qtbot.waitUntil(editor.trigger.isEnabled, timeout=5_000)
        held = {**engine.upkeep["held"][0], "is_in_file": True}
        engine.show({**engine.upkeep, "held": [held]}, "armed")
        qtbot.waitUntil(lambda: editor.choice.itemText(0) == "pattern 1: A-002", timeout=5_000)


def test_a_refused_upload_is_said(qtbot: QtBot, tmp_path: Path) -> None:
    engine = UpkeepEngine()
    engine.refusals["upload pattern"] = "Bea holds control of this site"
    with window_on(qtbot, engine, tmp_path) as window:
        editor = window.view.instruments.editor
        qtbot.waitUntil(lambda: editor.choice.count() == 1, timeout=5_000)
        editor.fields["period_s"].edit.setText("20")
        editor.upload.reason.setText("slower")
        qtbot.waitUntil(editor.upload.button.isEnabled, timeout=5_000)
        editor.upload.button.held.emit()
        qtbot.waitUntil(lambda: "Bea holds" in editor.answer.text(), timeout=5_000)
        assert editor.answer.property("tone") == "bad"
