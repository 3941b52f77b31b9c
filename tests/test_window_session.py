"""A real window on a real X server, used by mouse and keyboard through one whole session.

On demand, since it needs Xvfb and xdotool and takes a minute: `SPIKEBRIDGE_X_SESSION=1`. With
`SPIKEBRIDGE_PICTURES=docs/pictures` the pictures of the documentation are taken on the way.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from chain_rig import running_chain
from x_screen import MISSING, Screen, Window, window_of, x_screen

from app.config.load import load_site
from app.console.client import ConsoleClient, NoEngineError
from app.demo.window import ORDER
from app.gui.commands import EXAMPLE
from app.run_folder import RunFolder

WANTED = os.environ.get("SPIKEBRIDGE_X_SESSION", "")
PICTURES = os.environ.get("SPIKEBRIDGE_PICTURES", "")
WHY_NOT = f"needs {' and '.join(MISSING)}" if MISSING else "set SPIKEBRIDGE_X_SESSION=1"
pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(MISSING) or not WANTED, reason=WHY_NOT),
]
BEGIN_S = 120.0
"""A first start compiles."""

N_WANTED = 120
"""So many wanted pulses show in the history of a memristor."""

Shoot = Callable[[Window, str], None]


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    with x_screen(tmp_path) as made:
        yield made


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    folder = Path(PICTURES) if PICTURES else tmp_path / "pictures"
    folder.mkdir(exist_ok=True)

    def take(window: Window, name: str) -> None:
        file = folder / f"session-{name}.png"
        window.picture(file)
        assert 10_000 < file.stat().st_size < 200_000, f"{file}: {file.stat().st_size} bytes"

    return take


def test_a_whole_session_by_mouse_and_keyboard(
    screen: Screen, tmp_path: Path, shoot: Shoot
) -> None:
    """Start, measure, thresholds, record, arm, run, emergency stop, close."""
    site = tmp_path / "bench"
    shutil.copytree(EXAMPLE, site)
    command = ("gui", str(site / "bench.toml"), "--experiment", str(site / "experiment.toml"))
    with ExitStack() as stack, window_of(screen, tmp_path, *command, "--mock") as window:
        stack.callback(end_engine, site / "bench.toml")
        starts(window)
        measures_impedances(window, shoot)
        moves_a_threshold(window, shoot)
        records(window, shoot)
        arms(window, shoot)
        runs(window, shoot)
        stops(window, shoot)
        closes(window)


def end_engine(site_file: Path) -> None:
    """End the engine that the window started, whatever became of the session."""
    socket = RunFolder(site_file, load_site(site_file)).console_socket
    with contextlib.suppress(NoEngineError), ConsoleClient(socket) as console:
        console.call("shutdown")


def starts(window: Window) -> None:
    window.until(lambda told: told["is_fresh"], "attached to the engine", BEGIN_S)
    window.until_state("DISARMED", BEGIN_S)
    window.screen.focus("SpikeBridge")
    window.until(lambda told: (told["status"].get("amplifier") or {}).get("n_samples"), "samples")


def measures_impedances(window: Window, shoot: Shoot) -> None:
    window.panel("Impedance")
    window.write("Reason: Measure every electrode", "before the run")
    window.hold(
        "button: Hold for 1 s to measure mea1",
        lambda told: told["status"]["upkeep"][0]["job"],
        "the measurement is asked for",
    )
    window.until(lambda told: any("2 bad" in t for t in told["texts"]), "the bad ones are named")
    shoot(window, "impedance")


def moves_a_threshold(window: Window, shoot: Shoot) -> None:
    window.panel("Rates")
    window.click("electrode: A-028")
    window.panel("Spike scope")
    window.until(lambda told: n_spikes(told["texts"], "A-028") > 40, "spikes of the electrode")
    before_uv = window.told["threshold_uv"]
    line, deeper = window.place("threshold line"), window.place("deeper threshold")
    window.screen.drag(line, deeper)
    window.until(
        lambda told: any("threshold of A-028" in entry for entry in told["log"]),
        "the engine has the new threshold",
    )
    window.until(lambda told: told["threshold_uv"] > 2 * before_uv, "and the window shows it")
    window.panel("Instruments")
    shoot(window, "threshold")


def n_spikes(texts: list[str], channel: str) -> int:
    """Return how many spikes the scope says it has of a channel."""
    found = (re.match(rf"{channel}: (\d+) spikes since", text) for text in texts)
    return max((int(m[1]) for m in found if m), default=0)


def records(window: Window, shoot: Shoot) -> None:
    window.panel("Traces")
    window.panel("Recording")
    window.screen.key("ctrl+r")
    window.until(lambda told: "RECORDING" in told["texts"], "the recording light is on")
    window.write("a note, with the time stamp of now (Enter)", "culture 14, medium changed")
    window.screen.key("Return")
    window.until(
        lambda told: any("medium changed" in entry for entry in told["log"]), "the note is kept"
    )
    window.until(
        lambda told: (told["status"]["recording"] or {}).get("n_samples", 0) > 40_000,
        "two seconds of samples are in the file",
    )
    shoot(window, "recording")


def arms(window: Window, shoot: Shoot) -> None:
    window.panel("Safety")
    window.write("Reason: arming", "first run, culture 14")
    window.panel("Raster")
    shoot(window, "arming")
    window.hold("button: Hold for 1 s to ARM bench", lambda told: told["state"] == "ARMED", "armed")


def runs(window: Window, shoot: Shoot) -> None:
    window.panel("Synapses")
    window.click("button: Start the protocol")
    window.until(
        lambda told: (told["status"]["protocol"] or {}).get("state") == "running", "it runs"
    )
    window.until(
        lambda told: sum(told["status"]["loop_latency"]) > 20,
        "spikes have become stimuli, over the memristors",
        60.0,
    )
    window.until(
        lambda told: any(s["n_wanted"] > N_WANTED for s in told["status"]["synapses"]),
        "pulses have moved a memristor",
        90.0,
    )
    shoot(window, "run")


def stops(window: Window, shoot: Shoot) -> None:
    window.screen.key("F12")
    window.until_state("TRIPPED")
    window.until(lambda told: "switched off" in told["said"], "what the stop achieved")
    window.panel("Raster")
    shoot(window, "stopped")
    window.click("button: Acknowledge the trip")
    window.until_state("DISARMED")


def closes(window: Window) -> None:
    window.screen.key("ctrl+q")
    window.click("button: End the engine in order")
    assert window.process.wait(30.0) == 0


def test_three_sites_in_one_window(screen: Screen, tmp_path: Path, shoot: Shoot) -> None:
    """The chain of 2020: look at every site, start the protocol where it belongs, stop them all."""
    with running_chain(tmp_path / "chain", seconds_per_phase=10.0) as sites:
        files = [str(sites[name].site_file) for name in ORDER]
        with window_of(screen, tmp_path, "gui", "--attach-only", *files) as window:
            window.until(lambda told: told["is_fresh"], "attached", BEGIN_S)
            window.until_state("ARMED", BEGIN_S)
            window.screen.focus("SpikeBridge")
            window.click("button: zurich  ARMED")
            window.panel("Synapses")
            window.click("button: Start the protocol")
            window.click("button: southampton  ARMED")
            window.panel("Synapses")
            window.panel("Links to other sites")
            window.until(
                lambda told: any(
                    s["n_wanted"] > N_WANTED // 2 for s in told["status"].get("synapses", ())
                ),
                "a memristor between the sites has been moved",
                90.0,
            )
            shoot(window, "links")
            links = window.told["status"]["links"]
            assert [link["state"] for link in links] == ["up", "up"]
            assert all(link["latency"]["uncertainty_ns"] == 0 for link in links), "one clock"
            assert all(link["age_of_last_event_received_s"] < 5.0 for link in links)
            window.click("button: EMERGENCY STOP")
            for name in ORDER:
                window.place(f"button: {name}  TRIPPED")
