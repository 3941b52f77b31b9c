"""`spikebridge demo`: three sites of the 2020 chain on this machine, on simulated instruments.

Each site runs as its own supervisor with its own engine and mocks, exactly as it would by hand;
this program only does what the three operators would do, through the same commands.
"""

import json
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from app.config.experiment import Experiment, experiment_hash
from app.config.load import load_site
from app.demo.files import HUB, SITES, DemoSettings, prepare_files
from app.demo.progress import Progress
from app.demo.report import draw_report
from app.demo.sites import (
    END_LIMIT_S,
    DemoError,
    RunningSite,
    arm_all,
    await_that,
    chain_running,
)
from app.demo.summary import Sessions, summarise
from app.demo.window import DemoWindow, demo_window
from app.exit_codes import ExitCode

DRAIN_LIMIT_S = 5.0
WATCH_INTERVAL_S = 0.25
"""Each look costs an engine a millisecond that the loop may be waiting for."""


def run_demo(settings: DemoSettings) -> ExitCode:
    """Run the chain once; write report, summary and sessions; return whether the outcome held."""
    progress = Progress(is_shown=settings.shows_progress)
    try:
        summary = _run(settings, progress)
    except DemoError as exc:
        progress.say(f"demo: {exc}", is_result=True)
        return ExitCode.FAILED
    if settings.prints_json:
        print(json.dumps(summary, indent=1))  # noqa: T201
    progress.table(summary)
    written = f"written to {settings.out}: report.png, summary.json, sites/*/sessions"
    progress.say(written, is_result=True)
    return ExitCode.OK if is_success(summary) else ExitCode.FAILED


def is_success(summary: Mapping[str, Any]) -> bool:
    """Return whether the published outcome held; with a recording, whether no link lost any."""
    if summary["outcome"] is not None:
        return bool(summary["outcome"]["holds"])
    return all(row["n_lost"] == 0 and row["n_duplicated"] == 0 for row in summary["links"])


def _run(settings: DemoSettings, progress: Progress) -> dict[str, Any]:
    experiment, site_files = prepare_files(settings)
    progress.say("starting three engines; the first start here compiles, 10 s to some minutes")
    with ExitStack() as stack:
        running = stack.enter_context(chain_running(site_files))
        progress.say("three engines run, each with its instruments in processes of their own")
        if settings.shows_window:
            window = stack.enter_context(demo_window(site_files))
            window.await_attached(running)
            stack.callback(_until_closed, window, progress)
        # A playback cannot stimulate, so a site that has only one is not armed.
        arm_all(running, leave_out=() if settings.recording is None else ("padova",))
        _run_protocol(running, experiment, settings, progress)
        if settings.shows_window:
            _until_closed(window, progress)
        counters, folders = _end(running)
    return _write_results(settings, experiment, counters, folders)


def _until_closed(window: DemoWindow, progress: Progress) -> None:
    """Leave the window to its reader; also after a failure, which is what there is to look at."""
    if window.is_open:
        progress.end_line()
        progress.say("the protocol is over; close the window to end the demonstration")
        window.await_closed()


def _run_protocol(
    running: Mapping[str, RunningSite],
    experiment: Experiment,
    settings: DemoSettings,
    progress: Progress,
) -> None:
    if experiment.protocol is None:
        raise DemoError("the experiment has no protocol to run")
    owner = running[experiment.neuron(experiment.protocol.neuron).site]
    owner.call("start", who="demo")

    def is_finished() -> bool:
        status = owner.call("status")
        progress.phase(status["protocol"], status["now_ns"], running)
        if status["protocol"]["state"] == "aborted":
            raise DemoError(f"protocol aborted: {status['protocol']['detail']}")
        return bool(status["protocol"]["state"] == "finished")

    limit_s = 4 * settings.seconds_per_phase + 30.0
    await_that(is_finished, limit_s, "protocol finished", running, WATCH_INTERVAL_S)
    progress.end_line()


def _end(
    running: Mapping[str, RunningSite],
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Path]]:
    """End sources first, wait until every event has been acknowledged, then end the engines."""
    for name in ("zurich", "padova", HUB):
        running[name].call("stop sources")
    await_that(
        lambda: _all_acknowledged(running), DRAIN_LIMIT_S, "all events acknowledged", running
    )
    final = {name: site.call("status") for name, site in running.items()}
    for site in running.values():
        site.call("shutdown")
    for site in running.values():
        try:
            code = site.process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired as exc:
            raise DemoError(f"site {site.name} did not end; see {site.log_file}") from exc
        if code != ExitCode.OK:
            raise DemoError(f"site {site.name} ended with code {code}; see {site.log_file}")
    counters = {name: status["links"] for name, status in final.items()}
    folders = {name: Path(status["session_folder"]) for name, status in final.items()}
    return counters, folders


def _all_acknowledged(running: Mapping[str, RunningSite]) -> bool:
    return all(
        link["n_unacknowledged"] == 0
        for site in running.values()
        for link in site.call("status")["links"]
    )


def _write_results(
    settings: DemoSettings,
    experiment: Experiment,
    counters: Mapping[str, list[dict[str, Any]]],
    folders: Mapping[str, Path],
) -> dict[str, Any]:
    smus = {name: load_site(settings.out / "sites" / name / "site.toml").smus for name in SITES}
    places = {
        synapse.id: (smu.name, device.wordline, device.bitline)
        for synapse in experiment.synapses
        for smu in smus[synapse.site]
        for device in smu.devices
        if device.name == synapse.device
    }
    sessions = Sessions(folders)
    try:
        summary = summarise(sessions, experiment, experiment_hash(experiment), places, counters)
        if settings.recording is not None:
            summary["outcome"] = None  # the claims are about neurons that can be stimulated
        summary["sessions"] = {name: str(folder) for name, folder in folders.items()}
        culture = "simulated culture" if settings.recording is None else "BN from a recording"
        title = f"{experiment.name}, {culture}, simulated devices and chip, seed {settings.seed}"
        draw_report(sessions, experiment, places, title, settings.out / "report.png")
    finally:
        sessions.close()
    path = settings.out / "summary.json"
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary
