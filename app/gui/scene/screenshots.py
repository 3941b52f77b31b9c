"""`spikebridge screenshots`: the window's pictures from a made-up session, the same every time."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from PyQt6.QtCore import QSettings
from PyQt6.QtWidgets import QApplication

from app.config.experiment import Experiment
from app.config.load import load_experiment, load_site
from app.console.attachment import LocalEngine
from app.console.description import Described, describe
from app.core.spikes import Provenance
from app.gui.drawing.warm_up import warm_up
from app.gui.engine_link import EngineLink
from app.gui.main_window import MainWindow
from app.gui.scene import status as made
from app.gui.scene.signals import END_NS, RATE_HZ, amplifier_items, neuron_items, scene_format
from app.gui.theme import LIGHT

SITES = ("padova", "southampton", "zurich")
NOON_S = 1_773_500_000.0
"""What the clock on the wall shows in the pictures."""


class SceneLink(EngineLink):
    """An engine that stands still: everything it says is shown to it beforehand."""

    def __init__(self, site: str) -> None:
        super().__init__(LocalEngine(Path(f"/scene/{site}")), clock_s=lambda: 0.0)
        self.wall_s = lambda: NOON_S
        self.number = 1

    @property
    def is_attached(self) -> bool:
        """Say that the scene is there."""
        return True

    @property
    def is_fresh(self) -> bool:
        """Say that it is now."""
        return bool(self.status)

    @property
    def site_now_ns(self) -> int:
        """Get the time at which the scene stands still."""
        return END_NS

    def show(self, status: dict[str, Any], items: Sequence[object] = ()) -> None:
        """Say a status and what came with it."""
        self.status = status
        self.status_came.emit(status)
        for item in items:
            self.arrived.emit(item)
        self.frame_ended.emit()


def make_screenshots(folder: Path, chain: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write the pictures (all, or those named) into `folder`; return their files.

    `chain` holds the chain's `experiment.toml` and site files. Call it in a process of its own or
    with a QApplication on the offscreen platform.
    """
    application = QApplication.instance() or QApplication(["spikebridge"])
    warm_up()
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with TemporaryDirectory() as unused:
        window = scene_window(chain, Path(unused) / "window.ini")
        for name, arrange in PICTURES.items():
            if names and name not in names:
                continue
            arrange(window)
            for _ in range(8):  # layouts, then what is drawn in them
                application.processEvents()
                window.link.frame_ended.emit()
            files.append(folder / f"{name}.png")
            window.grab().save(str(files[-1]))
        window.close_unasked()
        window.deleteLater()
        application.processEvents()
    return files


def run(folder: Path, chain: Path) -> list[Path]:
    """Set up what pictures depend on, and make them."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ["TZ"] = "UTC"
    time.tzset()
    return make_screenshots(folder, chain)


def scene_window(chain: Path, settings_file: Path) -> MainWindow:
    """Return a shown window on the chain's three sites in the middle of a session."""
    links = [SceneLink(site) for site in SITES]
    settings = QSettings(str(settings_file), QSettings.Format.IniFormat)
    settings.clear()
    window = MainWindow(links, SITES, settings)
    window.resize(1600, 900)
    window.show()
    QApplication.processEvents()
    experiment = load_experiment(chain / "experiment.toml")
    for link, site in zip(links, SITES, strict=True):
        _begin(link, site, chain, experiment)
    return window


def _begin(link: SceneLink, site: str, chain: Path, experiment: Experiment) -> None:
    config = load_site(chain / f"{site}.toml")
    instruments = (*config.amplifiers, *config.smus, *config.chips)
    channels = config.amplifiers[0].channels if config.amplifiers else ()  # type: ignore[union-attr]
    link.description = describe(
        Described(
            site=config,
            experiment=experiment,
            provenance=dict.fromkeys((i.name for i in instruments), Provenance.MOCK),
            n_channels=len(channels),
            sample_rate_hz=RATE_HZ,
            loop_latency_edges_s=tuple(1e-4 * 10 ** (k / 8) for k in range(41)),
        )
    )
    link.described.emit(link.description)
    neurons = tuple((n.id, n.site, n.name) for n in sorted(experiment.neurons, key=_number))
    feed_format = scene_format(site, channels, SITES, neurons)
    numbers = {name: (number, SITES.index(home)) for number, home, name in neurons}
    items: list[object] = [feed_format]
    if channels:
        items += amplifier_items(feed_format)
    items += neuron_items(numbers)
    items += made.device_happenings() if config.smus else []
    for arrivals in ([*items, *made.log_lines(site)], []):  # what a status shows has come before
        link.show(made.status(site), arrivals)


def _number(neuron: msgspec.Struct) -> int:
    return int(neuron.id)  # type: ignore[attr-defined]


def _link_of(window: MainWindow, site: str) -> SceneLink:
    link = window.links[SITES.index(site)]
    if not isinstance(link, SceneLink):
        raise TypeError(f"{site} is shown by a {type(link).__name__}, not by a scene")
    return link


# --- the pictures -----------------------------------------------------------------------------


def _show(site: str, panel: str, side: str = "Safety", below: str = "Log") -> Callable[..., None]:
    def arrange(window: MainWindow) -> None:
        window.choose_site(SITES.index(site))
        for title in (below, side, panel):
            window.view.show_panel(title)

    return arrange


def _links(window: MainWindow) -> None:
    link = _link_of(window, "southampton")
    suspect = made.link(
        "zurich", state="suspect", for_s=0.7, reason="no frame for 0.6 s", age_of_last_frame_s=0.6
    )
    link.show(made.status("southampton", links=[made.link("padova"), suspect]))
    window.choose_site(SITES.index("southampton"))
    for title in ("Safety", "Synapses", "Links to other sites"):
        window.view.show_panel(title)


def _arming(window: MainWindow) -> None:
    gate = made.gate("padova", "disarmed", who="", reason="boot done", expires_ns=None)
    _link_of(window, "padova").show(made.status("padova", gate=gate))
    _show("padova", "Rates")(window)
    window.view.safety.arm_form.reason.setText("first run, culture 14, DIV 21")


def _safety(window: MainWindow) -> None:
    refusal = (
        "mea1, pattern 3: 24 triggers in 1 s, allowed at most 20 (max_remote_per_second); "
        "slow the source down"
    )
    gate = made.gate(
        "padova",
        "tripped",
        reason="emergency stop",
        since_ns=END_NS - 4 * made.SECOND_NS,
        expires_ns=None,
        n_refusals={"remote rate": 7},
        last_refusal=refusal,
    )
    reports = [{"instrument": "mea1", "state": "confirmed", "detail": "RHX is stopped"}]
    off = {
        "why": "emergency stop by operator at padova",
        "time_ns": END_NS - 4 * made.SECOND_NS,
    }
    _link_of(window, "padova").show(
        made.status("padova", gate=gate, safe_reports=reports, switched_off=off)
    )
    _show("padova", "Raster")(window)


def _light(window: MainWindow) -> None:
    window.set_theme(LIGHT)
    _show("southampton", "Synapses")(window)


PICTURES: dict[str, Callable[[MainWindow], None]] = {
    "traces": _show("padova", "Traces"),
    "raster": _show("padova", "Raster", side="Recording"),
    "scope": _show("padova", "Spike scope", side="Instruments"),
    "synapses": _show("southampton", "Synapses"),
    "links": _links,
    "arming": _arming,
    "safety": _safety,
    "light": _light,
}
