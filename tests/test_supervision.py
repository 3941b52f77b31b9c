"""One site with everything that can go wrong with it while nobody looks."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import chain_rig as rig
import mea_site
import one_site
import pytest

from app import supervisor
from app.config.load import load_site
from app.core.alert import run_alert
from app.core.systemd import SystemdNotifier
from app.demo.sites import site_process
from app.exit_codes import ExitCode
from app.recording.reader import open_session
from app.recording.rows import NoteRow

END_LIMIT_S = 25.0


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """What systemd listens with."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.setblocking(False)
    yield listener
    listener.close()


def words(manager: socket.socket) -> list[str]:
    heard = []
    while True:
        try:
            heard.append(manager.recv(4096).decode())
        except BlockingIOError:
            return heard


def alarms(folder: Path) -> list[str]:
    path = folder / "alarms"
    return path.read_text().splitlines() if path.exists() else []


def test_a_hung_engine_is_ended_and_the_next_one_starts_disarmed(
    tmp_path: Path, manager: socket.socket
) -> None:
    """Lapse of a console; SIGSTOP; start again; Ctrl-C: trips, alerts, words to systemd."""
    shout = tmp_path / "shout"
    shout.write_text(f'#!/bin/sh\necho "$SPIKEBRIDGE_SITE: $1" >> {tmp_path}/alarms\n')
    shout.chmod(0o755)
    path = one_site.site_file(tmp_path / "bench", top=f'alert_command = ["{shout}"]')
    with one_site.running(path, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as site:
        lapse_of_a_console(site, tmp_path)
        one_site.arm(site)
        rig.until(lambda: "READY=1" in words(manager), "systemd hears that the site runs")
        rig.until(lambda: "WATCHDOG=1" in words(manager), "systemd hears that it is well")
        os.kill(site.engine_pid, signal.SIGSTOP)
        assert site.process.wait(END_LIMIT_S) == ExitCode.ENGINE_DIED
        log = site.log_file.read_text()
        assert "engine silent for" in log
        assert "engine died (killed by signal 9): switching outputs off" in log
        assert "the engine died; the supervisor switched all outputs off" in alarms(tmp_path)[-1]
    with one_site.running(path, "--dry-run") as site:
        assert one_site.state(site) == "disarmed"
        status = site.call("status")
        assert status["is_dry_run"]
        reports = {report["instrument"]: report["state"] for report in status["safe_reports"]}
        assert reports == {"arc1": "by construction", "chip1": "by construction"}, "at the boot"
        one_site.arm(site)
        n_alarms = len(alarms(tmp_path))
        for pid in (site.process.pid, site.engine_pid):  # as a terminal does it
            os.kill(pid, signal.SIGINT)
        assert site.process.wait(END_LIMIT_S) == ExitCode.OK
        assert len(alarms(tmp_path)) == n_alarms, "an orderly end calls nobody"


def lapse_of_a_console(site: one_site.RunningSite, folder: Path) -> None:
    one_site.arm(site, is_unattended=False)  # and the console is gone at once
    one_site.until_state(site, "tripped")
    rig.until(lambda: bool(alarms(folder)), "somebody is called")
    (alarm,) = alarms(folder)
    assert alarm.startswith("bench: site bench tripped: console")
    assert "arc1 by construction" in alarm
    assert "chip1 by construction" in alarm
    rig.until(lambda: len(site.call("status")["safe_reports"]) == 2, "everything was switched off")
    with open_session(Path(site.call("status")["session_folder"])) as session:
        rig.until(lambda: any("alert command" in n.text for n in session.rows(NoteRow)), "noted")
        notes = [note.text for note in session.rows(NoteRow)]
    assert any("make safe (console" in text and "arc1: by construction" in text for text in notes)
    site.call("acknowledge", who="ada")
    rig.until(lambda: one_site.state(site) == "disarmed", "acknowledged")


def test_a_first_start_that_compiles_says_so_and_may_be_given_up(
    tmp_path: Path, manager: socket.socket
) -> None:
    path = mea_site.site_file(tmp_path, is_recording_raw=False)
    cold = {
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }
    with site_process("padova", path, "--mock", environment=cold) as site:
        rig.until(lambda: "compiling" in site.log_file.read_text(), "it says that it compiles")
        rig.until(lambda: "EXTEND_TIMEOUT_USEC=60000000" in words(manager), "systemd hears so")
        site.process.send_signal(signal.SIGINT)
        assert site.process.wait(END_LIMIT_S) == ExitCode.OK
        assert "engine died" not in site.log_file.read_text()
    assert "READY=1" not in words(manager)
    assert not (tmp_path / "sessions").exists(), "nothing has begun"


@pytest.mark.parametrize("ends", [True, False])
def test_outputs_are_switched_off_before_anything_else_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    order: list[str] = []

    def run(command: list[str], *, timeout: float, check: bool) -> object:
        order.append(command[3])
        if not ends:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, ExitCode.OK)

    monkeypatch.setattr(supervisor, "take_real_time", lambda: order.append("real time"))
    monkeypatch.setattr(supervisor, "leave_real_time", lambda: order.append("ordinary"))
    path = one_site.site_file(tmp_path)
    watch = supervisor._Watch(path, load_site(path), [], -1)
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(77)"]) as engine:
        engine.wait()
    monkeypatch.setattr(supervisor.subprocess, "run", run)
    assert watch._verdict(engine) == (ExitCode.ENGINE_DIED if ends else ExitCode.UNSAFE)
    assert order == ["real time", "safe-off", "ordinary"]


def test_no_manager_hears_nothing_and_nobody_minds(tmp_path: Path) -> None:
    SystemdNotifier(None).alive()
    SystemdNotifier(str(tmp_path / "nobody")).ready()


def test_an_abstract_address_and_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"spikebridge-test-{os.getpid()}"
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notifier = SystemdNotifier.from_environment()
        assert "NOTIFY_SOCKET" not in os.environ, "a child must not speak for us"
        notifier.ready()
        notifier.alive()
        notifier.status("runs")
        notifier.stopping()
        assert words(listener) == ["READY=1", "WATCHDOG=1", "STATUS=runs", "STOPPING=1"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["true"], "code 0"),
        (["false"], "code 1"),
        (["/does/not/exist"], "failed"),
        (["\0"], "failed"),
    ],
)
def test_an_alert_command_that_cannot_is_said_and_nothing_else(command, says: str) -> None:
    assert says in run_alert(command, "bench", "test")


def test_no_shell_reads_an_alert(tmp_path: Path) -> None:
    sentence = f'$(touch {tmp_path}/harm); "quoted"'
    assert "code 0" in run_alert(["test", "-n"], "bench", sentence)
    assert not (tmp_path / "harm").exists()
