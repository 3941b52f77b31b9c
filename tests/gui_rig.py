"""A window on a scripted engine over a real socket, for tests. No tests in here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console_rig import ScriptedHandler, feed_format, serving
from pytestqt.qtbot import QtBot

from app.console.attachment import LocalEngine
from app.console.control import Caller
from app.console.live_feed import LiveFeed
from app.console.messages import CommandRefusedError
from app.gui.application import window_settings
from app.gui.close_dialog import AfterClosing
from app.gui.engine_link import EngineLink
from app.gui.main_window import MainWindow

SECOND_NS = 1_000_000_000


def gate(state: str = "disarmed", **changes: Any) -> dict[str, Any]:
    shown = {
        "state": state, "since_ns": SECOND_NS, "who": "", "reason": "boot done",
        "expires_ns": None, "n_permits": 0, "n_refusals": {}, "last_refusal": None,
        "stale_leases": [], "blocks": {}, "frozen": [], "leases": [], "budgets": [],
        "is_by_program": False, "stop_epoch": 0,
    }  # fmt: skip
    return {**shown, **changes}


def status(**changes: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "site": "padova", "now_ns": 10 * SECOND_NS, "session_folder": "/tmp/session",
        "experiment_hash": "", "failure": "", "gate": gate(), "session_code": "abcd",
        "control": {"number": None, "name": None, "since_ns": None}, "links": [], "synapses": [],
        "instruments": [], "loop_latency": [0] * 42, "process": {"cpu_s": 1.0,
        "max_memory_bytes": 1e8, "pid": 1}, "safe_reports": [],
        "switched_off": {"why": "", "time_ns": None}, "is_dry_run": False,
        "amplifier": None, "protocol": None, "devices_waiting": 0,
        "recording": recording("idle"), "event_log": {}, "console": None,
    }  # fmt: skip
    return {**shown, **changes}


def recording(state: str, **changes: Any) -> dict[str, Any]:
    shown = {
        "state": state, "n_samples": 0, "n_bytes": 0, "n_samples_lost": 0, "failure": "",
        "folder": None, "n_waiting": 0, "fill": 0.0, "seconds_left": None,
    }  # fmt: skip
    return {**shown, **changes}


DESCRIPTION: dict[str, Any] = {
    "site": "padova",
    "operators": ["Ada", "Bea"],
    "peers": [],
    "amplifiers": [{
        "name": "mea1", "provenance": "mock", "n_channels": 4, "sample_rate_hz": 20_000.0,
        "detection": {"threshold_sigma": 5.0, "polarity": "neg"}, "neurons": {"A-001": 256},
        "patterns": [{
            "pattern_id": 1, "post": 256, "channels": ["A-002"], "first_amplitude_a": 2e-6,
            "first_duration_s": 200e-6, "second_amplitude_a": 2e-6, "second_duration_s": 200e-6,
            "interphase_s": 0.0, "is_negative_first": True, "n_pulses": 1, "period_s": 0.01,
        }],
        "limits": {
            "max_current_a": 3e-6, "max_charge_per_phase_c": 3e-9,
            "max_charge_density_c_per_m2": 1.0, "max_imbalance": 0.01, "min_phase_s": 20e-6,
            "max_phase_s": 1e-3, "max_pulses_per_trigger": 10, "max_electrodes_at_once": 4,
        },
        "electrode_area_um2": 707.0,
    }],
    "smus": [],
    "chips": [],
    "loop_latency_edges_s": [1e-4 * 1.33**k for k in range(41)],
    "experiment": None,
}  # fmt: skip


class ScriptedEngine(ScriptedHandler):
    """Holds a status that tests change, and does to it what commands would."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = status()
        self.describes = DESCRIPTION

    def handle(self, caller: Caller, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        super().handle(caller, name, arguments)
        if name == "describe":
            return self.describes
        if name == "array":
            return {"devices": [], "after": 0, "n_devices": 0}
        if name == "device":
            raise CommandRefusedError("nothing is known of this device")
        if name == "arm":
            self.shown = {**self.shown, "gate": gate("armed", who=arguments["who"])}
        if name == "disarm":
            self.shown = {**self.shown, "gate": gate("disarmed")}
        if name == "stop":
            self.shown = {**self.shown, "gate": gate("tripped", reason="emergency stop")}
            return {"is_safe": True, "reports": ["mea1: confirmed (read back)"]}
        if name == "record":
            state = "recording" if arguments["is_on"] else "idle"
            self.shown = {**self.shown, "recording": recording(state)}
        if name == "take control":
            holder = {"number": caller.number, "name": arguments["who"], "since_ns": 1}
            self.shown = {**self.shown, "control": holder}
        return {"gate_state": self.shown["gate"]["state"]}

    def asked(self, name: str) -> list[dict[str, Any]]:
        """Return the arguments of every such command so far."""
        return [arguments for _, called, arguments in self.calls if called == name]


@contextmanager
def window_on(
    qtbot: QtBot, engine: ScriptedEngine, folder: Path, *, feed: LiveFeed | None = None
) -> Iterator[MainWindow]:
    """An attached window; closed without a question."""
    feed = feed or LiveFeed(feed_format())
    with serving(feed, engine) as (_, path), open_window(qtbot, path, folder) as window:
        qtbot.waitUntil(lambda: window.link.is_fresh, timeout=20_000)
        yield window


@contextmanager
def open_window(qtbot: QtBot, path: Path, folder: Path) -> Iterator[MainWindow]:
    """A window on whatever serves, or does not yet serve, at a socket."""
    link = EngineLink(LocalEngine(path))
    window = MainWindow(
        [link],
        ["padova"],
        window_settings(folder / "window.ini"),
        ask=lambda _parent, _is_armed, _stop: AfterClosing.LEAVE,
    )
    qtbot.addWidget(window)
    link.start()
    window.show()
    qtbot.waitExposed(window)
    try:
        yield window
    finally:
        window.close_unasked()
