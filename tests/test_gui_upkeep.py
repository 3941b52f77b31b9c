"""What an operator may do to instruments from the window while nothing may move."""

from pathlib import Path

from gui_rig import DESCRIPTION, ScriptedEngine, gate, status, window_on
from pytestqt.qtbot import QtBot

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
