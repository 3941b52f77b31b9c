"""`spikebridge demo`: three sites of the 2020 chain on this machine, on simulated instruments.

Each site runs as its own supervisor with its own engine and mocks, exactly as it would by hand;
this program only does what the three operators would do, through the same commands.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from app.bridge import keys
from app.config.experiment import Experiment, experiment_hash
from app.config.load import ConfigError, load_experiment, load_site
from app.config.site import PlaybackAmplifier, Site
from app.console.client import ConsoleClient, NoEngineError
from app.demo.progress import Progress
from app.demo.report import draw_report
from app.demo.summary import Sessions, summarise
from app.exit_codes import ExitCode
from app.run_folder import RunFolder

CHAIN = Path(__file__).parent / "chain2020"
HUB = "southampton"
SITES = (HUB, "padova", "zurich")
"""The hub first: the others dial it."""
START_LIMIT_S = 90.0
"""The first start of Padova's engine compiles the detection kernel."""
LINK_LIMIT_S = 20.0
DRAIN_LIMIT_S = 5.0
END_LIMIT_S = 15.0


class DemoError(Exception):
    """The demonstration could not be carried through; the message says where it stopped."""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the user asked for."""

    out: Path
    seconds_per_phase: float = 10.0
    seed: int = 1
    recording: Path | None = None
    shows_progress: bool = True
    prints_json: bool = False


@dataclass(slots=True)
class RunningSite:
    """One site's supervisor process and where its files are."""

    name: str
    site_file: Path
    process: "subprocess.Popen[bytes]"
    socket: Path

    def call(self, command: str, **arguments: str | float | bool | None) -> dict[str, Any]:
        """Send one console command."""
        with ConsoleClient(self.socket) as console:
            return console.call(command, **arguments)

    def must_live(self) -> None:
        """Raise `DemoError` if the site has ended."""
        code = self.process.poll()
        if code is not None:
            raise DemoError(f"site {self.name} ended with code {code}; see {self.log_file}")

    @property
    def log_file(self) -> Path:
        """Get the file with everything that the site's processes said."""
        return self.site_file.parent / "engine.log"


def run_demo(settings: DemoSettings) -> ExitCode:
    """Run the chain once; write report, summary and sessions; return whether the outcome held."""
    progress = Progress(is_shown=settings.shows_progress)
    try:
        summary = _run(settings, progress)
    except DemoError as exc:
        progress.say(f"demo: {exc}", is_error=True)
        return ExitCode.FAILED
    if settings.prints_json:
        print(json.dumps(summary, indent=1))  # noqa: T201
    progress.table(summary)
    progress.say(f"written to {settings.out}: report.png, summary.json, sites/*/sessions")
    return ExitCode.OK if is_success(summary) else ExitCode.FAILED


def is_success(summary: Mapping[str, Any]) -> bool:
    """Return whether the published outcome held; without a protocol, whether no link lost any."""
    if summary["outcome"] is not None:
        return bool(summary["outcome"]["holds"])
    return all(row["n_lost"] == 0 and row["n_duplicated"] == 0 for row in summary["links"])


def _run(settings: DemoSettings, progress: Progress) -> dict[str, Any]:
    experiment, site_files = prepare_files(settings)
    with ExitStack() as stack:
        running: dict[str, RunningSite] = {}
        for name in SITES:
            if name != HUB:
                port = int(_ready(running[HUB])["listen_port"])
                _set_hub_port(site_files[name], port)
            running[name] = stack.enter_context(_site_process(name, site_files[name], settings.out))
        for site in running.values():
            _ready(site)
        progress.say("three engines run, each with its instruments in processes of their own")
        _await(lambda: _all_linked(running), LINK_LIMIT_S, "all links up", running)
        _arm_all(running, settings)
        _run_protocol(running, experiment, settings, progress)
        counters, folders = _end(running)
    return _write_results(settings, experiment, counters, folders)


def prepare_files(settings: DemoSettings) -> tuple[Experiment, dict[str, Path]]:
    """Write the sites' files below `out` and make and exchange their keys."""
    experiment = load_experiment(CHAIN / "experiment.toml")
    experiment = _with_durations(experiment, settings)
    run_folder = tempfile.mkdtemp(prefix="spikebridge-demo-")
    site_files: dict[str, Path] = {}
    for index, name in enumerate(SITES):
        site = _demo_site(load_site(CHAIN / f"{name}.toml"), settings, run_folder, index)
        folder = settings.out / "sites" / name
        folder.mkdir(parents=True, exist_ok=True)
        site_files[name] = folder / "site.toml"
        _write_toml(site_files[name], site)
        _write_toml(folder / "experiment.toml", experiment)
        if not (folder / "keys" / f"{name}.crt").exists():
            keys.keygen(folder / "keys", name)
    for name in SITES:
        for other in SITES:
            if name != other:
                certificate = site_files[other].parent / "keys" / f"{other}.crt"
                keys.pin(certificate, site_files[name].parent / "keys" / "peers" / f"{other}.crt")
    return experiment, site_files


def _with_durations(experiment: Experiment, settings: DemoSettings) -> Experiment:
    if experiment.protocol is None:
        raise DemoError("the chain's experiment has no protocol")
    if settings.recording is not None:
        return msgspec.structs.replace(experiment, protocol=None)
    phases = tuple(
        msgspec.structs.replace(phase, duration_s=settings.seconds_per_phase)
        for phase in experiment.protocol.phases
    )
    protocol = msgspec.structs.replace(experiment.protocol, phases=phases)
    return msgspec.structs.replace(experiment, protocol=protocol)


def _demo_site(site: Site, settings: DemoSettings, run_folder: str, index: int) -> Site:
    """Return a site with the demo's seeds, any free port, and short-lived files out of the way."""

    def seeded(instrument: Any) -> Any:
        mock = {**instrument.mock, "seed": 1000 * settings.seed + index}
        return msgspec.structs.replace(instrument, mock=mock)

    listen = site.listen
    if listen is not None:
        listen = msgspec.structs.replace(listen, port=0)
    amplifiers = tuple(map(seeded, site.amplifiers))
    if settings.recording is not None and site.amplifiers:
        amplifiers = (_playback(site, settings.recording),)
    return msgspec.structs.replace(
        site,
        run_folder=run_folder,
        listen=listen,
        amplifiers=amplifiers,
        smus=tuple(map(seeded, site.smus)),
        chips=tuple(map(seeded, site.chips)),
        is_recording_raw=bool(site.amplifiers),
    )


def _playback(site: Site, recording: Path) -> PlaybackAmplifier:
    """Return a recording as Padova's amplifier: its first channel is BN's."""
    from drivers.mea.playback.driver import first_channel_name  # noqa: PLC0415

    amplifier = site.amplifiers[0]
    neuron = msgspec.structs.replace(amplifier.neurons[0], channel=first_channel_name(recording))
    return PlaybackAmplifier(
        name=amplifier.name,
        folder=str(recording.resolve()),
        is_looping=True,
        neurons=(neuron,),
        detection=amplifier.detection,
        patterns=amplifier.patterns,
    )


def _write_toml(path: Path, content: Site | Experiment) -> None:
    tree = _without_none(msgspec.to_builtins(content))
    path.write_bytes(msgspec.toml.encode(tree))


def _without_none(node: Any) -> Any:
    """TOML has no null: what is not set is left out."""
    if isinstance(node, dict):
        return {key: _without_none(value) for key, value in node.items() if value is not None}
    if isinstance(node, list | tuple):
        return [_without_none(value) for value in node]
    return node


def _set_hub_port(site_file: Path, port: int) -> None:
    site = load_site(site_file)
    peers = tuple(
        msgspec.structs.replace(peer, port=port) if peer.site == HUB else peer
        for peer in site.peers
    )
    _write_toml(site_file, msgspec.structs.replace(site, peers=peers))


@contextmanager
def _site_process(name: str, site_file: Path, out: Path) -> Iterator[RunningSite]:
    """Run a site as `spikebridge run SITE.toml --mock` does; on the way out it ends in order."""
    del out
    command = [
        sys.executable, "-m", "app.cli", "--log-level", "info", "run", str(site_file),
        "--experiment", str(site_file.parent / "experiment.toml"), "--mock",
    ]  # fmt: skip
    with (site_file.parent / "engine.log").open("wb") as log_file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log_file)
        socket = RunFolder(site_file, load_site(site_file)).console_socket
        try:
            yield RunningSite(name, site_file, process, socket)
        finally:
            process.terminate()
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(site: RunningSite) -> dict[str, Any]:
    """Return a site's status as soon as its console answers."""
    status: dict[str, Any] = {}

    def answers() -> bool:
        try:
            status.update(site.call("status"))
        except NoEngineError:
            return False
        return True

    _await(answers, START_LIMIT_S, f"site {site.name} running", {site.name: site})
    return status


def _await(
    is_done: Callable[[], bool], limit_s: float, what: str, running: Mapping[str, RunningSite]
) -> None:
    deadline_s = time.monotonic() + limit_s
    while not is_done():
        for site in running.values():
            site.must_live()
        if time.monotonic() > deadline_s:
            raise DemoError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.05)


def _all_linked(running: Mapping[str, RunningSite]) -> bool:
    return all(
        link["state"] == "up" for site in running.values() for link in site.call("status")["links"]
    )


def _arm_all(running: Mapping[str, RunningSite], settings: DemoSettings) -> None:
    """Arm by program: possible because every actuator is a mock. A playback cannot be armed."""
    for site in running.values():
        if settings.recording is not None and site.name == "padova":
            continue
        _await(lambda site=site: _is_armable(site), LINK_LIMIT_S, "fresh leases", running)  # type: ignore[misc]
        site.call(
            "arm", who="demo", reason="demonstration on mocks", seconds=3600.0, by_program=True
        )


def _is_armable(site: RunningSite) -> bool:
    gate = site.call("status")["gate"]
    needed = set(gate["stale_leases"]) - {"console"}
    return gate["state"] == "disarmed" and not needed and not gate["blocks"]


def _run_protocol(
    running: Mapping[str, RunningSite],
    experiment: Experiment,
    settings: DemoSettings,
    progress: Progress,
) -> None:
    if experiment.protocol is None:
        _run_recording(running, 4 * settings.seconds_per_phase, progress)
        return
    owner = running[experiment.neuron(experiment.protocol.neuron).site]
    owner.call("start", who="demo")

    def is_finished() -> bool:
        status = owner.call("status")
        progress.phase(status["protocol"], status["now_ns"], running)
        if status["protocol"]["state"] == "aborted":
            raise DemoError(f"protocol aborted: {status['protocol']['detail']}")
        return bool(status["protocol"]["state"] == "finished")

    limit_s = 4 * settings.seconds_per_phase + 30.0
    _await(is_finished, limit_s, "protocol finished", running)
    progress.end_line()


def _run_recording(
    running: Mapping[str, RunningSite], duration_s: float, progress: Progress
) -> None:
    until_s = time.monotonic() + duration_s

    def is_over() -> bool:
        progress.countdown(until_s - time.monotonic(), running)
        return time.monotonic() >= until_s

    _await(is_over, duration_s + 30.0, "recording played", running)
    progress.end_line()


def _end(
    running: Mapping[str, RunningSite],
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Path]]:
    """End sources first, wait until every event has been acknowledged, then end the engines."""
    for name in ("zurich", "padova", HUB):
        running[name].call("stop sources")
    _await(lambda: _all_acknowledged(running), DRAIN_LIMIT_S, "all events acknowledged", running)
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
        synapse.id: (device.wordline, device.bitline)
        for synapse in experiment.synapses
        for smu in smus[synapse.site]
        for device in smu.devices
        if device.name == synapse.device
    }
    sessions = Sessions(folders)
    try:
        summary = summarise(sessions, experiment, experiment_hash(experiment), places, counters)
        summary["sessions"] = {name: str(folder) for name, folder in folders.items()}
        title = f"{experiment.name}, simulated instruments, seed {settings.seed}"
        draw_report(sessions, experiment, places, title, settings.out / "report.png")
    finally:
        sessions.close()
    path = settings.out / "summary.json"
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary


def check_recording(path: Path | None) -> None:
    """Raise `ConfigError` if a recording was named that is not there."""
    if path is not None and not path.is_dir():
        raise ConfigError(f"{path}: no such recording folder")
