"""kill -9 of an armed engine at work, with instruments that outlive it, as those of a rig do."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import chain_rig as rig
import one_site
import pytest

from app.cli import main
from app.config.load import load_site
from app.console.messages import CommandRefusedError
from app.demo.sites import ask_truth
from app.exit_codes import ExitCode
from app.mock_rig import MockRig
from app.recording.reader import open_session
from app.recording.rows import AuditRecordRow, NoteRow

SITE = """
schema_version = 1
site = "bench"

[[operators]]
name = "ada"

[[amplifiers]]
driver = "intan_rhx"
name = "mea1"
host = "127.0.0.1"
command_port = {command_port}
waveform_port = {waveform_port}
spike_port = {spike_port}
electrode_area_um2 = 707.0
channels = ["A-016", "A-025", "A-026"]
neurons = [{{ neuron = 1, channel = "A-025" }}, {{ neuron = 2, channel = "A-026" }}]
mock = {{ reconnect_after_s = "never" }}
[[amplifiers.patterns]]
pattern_id = 1
post = 2
channels = ["A-016"]
first_amplitude_a = 2e-6
first_duration_s = 200e-6
second_amplitude_a = 2e-6
second_duration_s = 200e-6

[[smus]]
driver = "keithley_2600"
name = "smu1"
resource = "{resource}"
visa_backend = "{visa_backend}"
[[smus.devices]]
name = "m1"
wordline = 1
bitline = 1

[synapses]
idle_read_interval_s = 0.1
"""
EXPERIMENT = """
schema_version = 1
name = "one synapse"

[[neurons]]
id = 1
name = "pre"
site = "bench"

[[neurons]]
id = 2
name = "post"
site = "bench"

[[synapses]]
id = 1
name = "syn"
pre = 1
post = 2
site = "bench"
device = "m1"
deadline_s = 0.25
weight = { r_min_ohm = 4000.0, r_max_ohm = 9000.0, is_rising = true }
rule = { name = "rate", window_s = 1.0, ltp_above = 1000, ltd_below = 0 }
pulse = { ltp_amplitude_v = 1.0, ltp_width_s = 1e-4, ltd_amplitude_v = -1.0, ltd_width_s = 1e-4 }
"""
NOWHERE = {"command_port": 1, "waveform_port": 2, "spike_port": 3}
END_LIMIT_S = 25.0


@dataclass
class Instruments:
    """Simulated ones that no supervisor ends; the engine takes them for real."""

    site_file: Path
    mocks: MockRig

    def ask(self, name: str, ask: str = "status") -> dict:
        return ask_truth(int(self.mocks.truth[name]["truth_port"]), ask)

    @property
    def n_stimuli(self) -> int:
        return int(self.ask("mea1")["n_pulses"])

    @property
    def is_smu_on(self) -> bool:
        return bool(self.ask("smu1")["is_on"])


@pytest.fixture
def instruments(tmp_path: Path) -> Iterator[Instruments]:
    path = tmp_path / "site.toml"
    path.write_text(SITE.format(**NOWHERE, resource="nowhere", visa_backend="@py"))
    (tmp_path / "experiment.toml").write_text(EXPERIMENT)
    mocks = MockRig()
    try:
        mocks.start(load_site(path))
        path.write_text(SITE.format(**mocks.addresses["mea1"], **mocks.addresses["smu1"]))
        yield Instruments(path, mocks)
    finally:
        mocks.stop()


def chain_values(session: Path) -> set[str]:
    with closing(sqlite3.connect(session / "events.sqlite")) as log:
        return {chain for (chain,) in log.execute("SELECT chain FROM audit")}


def test_an_armed_engine_killed_leaves_outputs_off_and_the_next_is_disarmed(
    instruments: Instruments,
) -> None:
    path = instruments.site_file
    arguments = ("--experiment", str(path.parent / "experiment.toml"))
    with one_site.running(path, *arguments, is_mock=False) as site:
        killed = Path(site.call("status")["session_folder"])
        one_site.arm(site)
        site.call("trigger", who="ada", instrument="mea1", pattern=1)
        rig.until(lambda: instruments.n_stimuli > 0, "the culture is stimulated")
        rig.until(lambda: instruments.is_smu_on, "the device is read")
        assert one_site.state(site) == "armed"
        head = site.call("status")["gate"]["audit_head"]
        rig.until(lambda: head in chain_values(killed), "the row that the status names is kept")
        rig.kill(site.engine_pid)
        n_stimuli = instruments.n_stimuli
        assert site.process.wait(END_LIMIT_S) == ExitCode.ENGINE_DIED
        assert "engine died (killed by signal 9): switching" in site.log_file.read_text()
        assert not instruments.is_smu_on
    assert instruments.n_stimuli == n_stimuli
    with closing(sqlite3.connect(killed / "events.sqlite")) as log:
        assert log.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    # After a lost connection RHX takes none before somebody presses its button.
    assert instruments.ask("mea1", "press_connect") == {"done": True}
    with one_site.running(path, *arguments, is_mock=False) as site:  # what systemd does
        status = site.call("status")
        assert status["gate"]["state"] == "disarmed"
        reports = {report["instrument"]: report["state"] for report in status["safe_reports"]}
        assert reports == {"mea1": "confirmed", "smu1": "confirmed"}, "at the boot"
        with pytest.raises(CommandRefusedError, match="is not armed"):
            site.call("trigger", who="ada", instrument="mea1", pattern=1)
        site.call("shutdown")
        assert site.process.wait(END_LIMIT_S) == ExitCode.OK
    assert instruments.n_stimuli == n_stimuli
    with open_session(killed) as session:
        assert session.info.state == "recovered"
        assert any(row.verdict == "permit" for row in session.rows(AuditRecordRow))
    with open_session(Path(status["session_folder"])) as session:
        assert any(f"{killed.name}: recovered" in n.text for n in session.rows(NoteRow))
    assert main(["audit", str(killed), "--head", head]) == ExitCode.OK
