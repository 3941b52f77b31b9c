"""The window's bench on a real engine: simulated units behind real wires, real widgets driven."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_site import site_file
from gui_rig import open_window
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QCheckBox
from pytestqt.qtbot import QtBot

from app.bench.arc_csv import read_session
from app.console.client import ConsoleClient
from app.demo.sites import ready, site_process
from app.gui.main_window import MainWindow
from app.gui.panels.bench import BenchPanel

LEFT = Qt.MouseButton.LeftButton
LIMIT_MS = 15_000
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The console socket of an engine with an array and a bench unit, both simulated."""
    path = site_file(tmp_path_factory.mktemp("lab"))
    with site_process("lab", path, "--mock") as site:
        ready(site)
        yield site.folder.console_socket


@pytest.fixture
def window(qtbot: QtBot, engine: Path, tmp_path: Path) -> Iterator[MainWindow]:
    with open_window(qtbot, engine, tmp_path) as opened:
        qtbot.waitUntil(lambda: opened.link.is_fresh, timeout=LIMIT_MS)
        opened.view.show_panel("Bench")
        panel = opened.view.bench
        qtbot.waitUntil(lambda: len(panel.seen.devices) >= 2, timeout=LIMIT_MS)
        yield opened
    with ConsoleClient(engine) as console:  # a window that goes while armed trips the site
        console.call("abort procedure", who="test")
        if console.call("status")["gate"]["state"] == "tripped":
            console.call("acknowledge", who="me")
        console.call("disarm", who="test")


def choose(panel: BenchPanel, procedure: str, unit: str, **typed: str | bool) -> None:
    place = {"arc1": ("arc1", 1, 1), "smu1": ("smu1", 1, 1)}[unit]
    panel.choose_device(place)
    panel.form.choice.setCurrentIndex(panel.form.choice.findData(procedure))
    for name, value in typed.items():
        field = panel.form.fields[name.replace("_", "-")]
        if isinstance(field, QCheckBox):
            field.setChecked(bool(value))
        else:
            field.edit.setText(str(value))


def arm(qtbot: QtBot, window: MainWindow) -> None:
    form = window.view.safety.arm_form
    form.reason.setText("characterise")
    window.view.show_panel("Safety")
    qtbot.waitUntil(form.button.isEnabled, timeout=LIMIT_MS)
    qtbot.mousePress(form.button, LEFT)
    qtbot.waitUntil(lambda: window.top_bar.state.text() == "ARMED", timeout=LIMIT_MS)
    qtbot.mouseRelease(form.button, LEFT)


def start(qtbot: QtBot, panel: BenchPanel) -> None:
    qtbot.waitUntil(panel.start.isEnabled, timeout=LIMIT_MS)
    qtbot.mouseClick(panel.start, LEFT)


def to_the_end(qtbot: QtBot, panel: BenchPanel) -> str:
    n_before = 0 if panel.seen.run is None else panel.seen.run.number
    start(qtbot, panel)

    def is_ended() -> bool:
        run = panel.seen.run
        return run is not None and run.number > n_before and run.ended is not None

    qtbot.waitUntil(is_ended, timeout=LIMIT_MS)
    return panel.outcome.text()


def _table_shape(panel: BenchPanel) -> tuple[int, ...]:
    shown = panel.plot.shown
    return () if shown is None or shown.table is None else shown.table.shape


def _n_shown(panel: BenchPanel) -> int:
    shown = panel.plot.shown
    return 0 if shown is None or not shown.curves else len(shown.curves[0].x)


def test_the_whole_array_is_read_while_disarmed(qtbot: QtBot, window: MainWindow) -> None:
    panel = window.view.bench
    choose(panel, "read", "arc1", all=True)
    assert "16 devices, median 5" in to_the_end(qtbot, panel)
    qtbot.waitUntil(lambda: len(panel.seen.devices) == 17, timeout=LIMIT_MS)
    qtbot.waitUntil(lambda: _table_shape(panel) == (4, 4), timeout=LIMIT_MS)
    assert "working, 5" in panel.facts.text()


def test_a_curve_needs_an_armed_site_and_is_kept_as_the_command_line_keeps_it(
    qtbot: QtBot, window: MainWindow
) -> None:
    panel = window.view.bench
    choose(panel, "iv", "smu1", up="0.6", down="0.4", width="1")
    assert "arm it in the Safety panel" in panel.obstacle.text()
    assert not panel.start.isEnabled()
    arm(qtbot, window)
    qtbot.waitUntil(
        lambda: "Within this device's limits" in panel.form.verdict.text(), timeout=LIMIT_MS
    )
    assert "to 10 ms (right to 5 us)" in panel.form.verdict.text()
    assert "up to 0.6 volt; down to minus 0.4 volt" in panel.form.words.text()
    assert "18 steps, 0 at the compliance" in to_the_end(qtbot, panel)
    window.view.show_panel("Bench")
    qtbot.waitUntil(lambda: _n_shown(panel) == 18, timeout=LIMIT_MS)
    folder = Path(panel.seen.run.ended.folder)
    rows = read_session(folder / "bench-iv.csv")
    assert len([row for row in rows if row.width_s > 0]) == 18
    log = window.view.log.model
    lines = [str(log.data(log.index(row, 3))) for row in range(log.rowCount())]
    assert any("iv began" in line and "up 0.6" in line for line in lines)
    assert any("iv ended: cell: 18 steps" in line for line in lines)


def test_what_would_be_refused_is_said_as_it_is_typed(qtbot: QtBot, window: MainWindow) -> None:
    panel = window.view.bench
    choose(panel, "pulse", "smu1", volts="1", width="200")
    arm(qtbot, window)
    for typed, why in (
        ("4", "The Gate would refuse: cell: pulse of 4 V"),
        ("1,5", "not understood"),
        ("nan", "not understood"),
    ):
        panel.form.fields["volts"].edit.setText("1")
        qtbot.waitUntil(panel.start.isEnabled, timeout=LIMIT_MS)
        panel.form.fields["volts"].edit.setText(typed)
        assert why in panel.form.verdict.text()
        assert not panel.start.isEnabled()


def test_an_abort_is_one_click_keeps_what_was_measured_and_disarms(
    qtbot: QtBot, window: MainWindow
) -> None:
    panel = window.view.bench
    choose(panel, "endurance", "smu1", volts="1.4", width="200", cycles="10000")
    arm(qtbot, window)
    assert panel.abort.isEnabled()
    start(qtbot, panel)
    qtbot.waitUntil(
        lambda: panel.progress.value() > 0 and "Endurance on smu1" in panel.running.text(),
        timeout=LIMIT_MS,
    )
    number = panel.seen.run.number
    assert not panel.start.isEnabled()
    qtbot.mouseClick(panel.abort, LEFT)
    kept = "what was measured is kept"
    qtbot.waitUntil(lambda: kept in panel.outcome.text(), timeout=LIMIT_MS)
    assert panel.outcome.text().startswith("aborted")
    qtbot.waitUntil(lambda: window.top_bar.state.text() == "DISARMED", timeout=LIMIT_MS)
    assert panel.seen.run.number == number
    assert len(panel.seen.run.points) == panel.seen.run.ended.n_points


def test_forming_is_held_with_a_reason_for_one_named_device(
    qtbot: QtBot, window: MainWindow
) -> None:
    panel = window.view.bench
    choose(panel, "form", "smu1", start="1.2", stop="2", width="1000")
    arm(qtbot, window)
    assert not panel.start.isVisible()
    assert not panel.forming.button.isEnabled()
    panel.forming.reason.setText("new device")
    qtbot.waitUntil(panel.forming.button.isEnabled, timeout=LIMIT_MS)
    assert "Forming on cell: from 1.2 volt" in panel.forming.words.text()
    n_before = 0 if panel.seen.run is None else panel.seen.run.number
    qtbot.mousePress(panel.forming.button, LEFT)
    qtbot.waitUntil(
        lambda: panel.seen.run is not None and panel.seen.run.number > n_before
        and panel.seen.run.ended is not None,
        timeout=LIMIT_MS,
    )  # fmt: skip
    qtbot.mouseRelease(panel.forming.button, LEFT)
    assert "cell: formed at" in panel.outcome.text()
