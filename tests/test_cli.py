"""The command line: what it lists, how it refuses, and what it does without an engine."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import build_parser, main
from app.config.load import load_site
from app.exit_codes import ExitCode
from app.run_folder import RigBusyError, RigLock, RunFolder

CHAIN = Path(__file__).parents[1] / "app" / "demo" / "chain2020"
SITES = ("padova", "southampton", "zurich")


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHAIN, tmp_path / "chain"))


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for command in ("run", "safe-off", "check", "keygen", "fingerprint", "trust", "revoke",
                    "status", "arm", "disarm", "stop", "note", "start", "replay",
                    "demo"):  # fmt: skip
        assert f"    {command} " in text


def test_every_command_has_a_function() -> None:
    (choices,) = [a.choices for a in build_parser()._actions if a.dest == "command"]
    for name, parser in choices.items():
        where = importlib.import_module(parser.get_default("where"))
        assert callable(getattr(where, name.replace("-", "_")))


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["run"], ["demo", "--seconds-per-phase", "nan"], ["arm", "x.toml", "--who", "a"]],
)
def test_wrong_arguments_end_with_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == ExitCode.USAGE


@pytest.mark.parametrize("command", ["run", "engine", "safe-off", "check", "keygen", "status"])
def test_wrong_config_is_one_sentence_and_code_2(
    command: str, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = chain / "zurich.toml"
    site.write_text(site.read_text().replace('name = "chip1"', 'name = "chip1"\nvoltage = 3'))
    assert main([command, str(site)]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "voltage" in error
    assert "chips[0]" in error


def test_check_prints_the_hash_and_names_conflicts(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(chain / f"{name}.toml") for name in ("experiment", *SITES)]
    assert main(["check", "--offline", *files]) == ExitCode.OK
    assert "no conflicts" in capsys.readouterr().out
    padova = chain / "padova.toml"
    padova.write_text(padova.read_text().replace('["A-018", "B-000"]', '["A-016", "B-000"]'))
    assert main(["check", "--offline", *files]) == ExitCode.FAILED
    assert "A-016 is on two patterns" in capsys.readouterr().out


def test_check_says_which_instrument_does_not_answer(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    southampton = chain / "southampton.toml"
    southampton.write_text(southampton.read_text().replace("/dev/ttyACM0", "/dev/does-not-exist"))
    assert main(["check", str(southampton)]) == ExitCode.INSTRUMENT
    assert "arc1: does not answer" in capsys.readouterr().out


def test_check_leaves_a_running_engine_alone(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site_file = chain / "southampton.toml"
    folder = RunFolder(site_file, load_site(site_file))
    folder.make()
    with RigLock(folder.lock):
        assert main(["check", str(site_file)]) == ExitCode.OK
        with pytest.raises(RigBusyError, match="another engine"), RigLock(folder.lock):
            pass
    assert "arc1: in use by the site's running engine" in capsys.readouterr().out


def test_keys_are_made_shown_and_pinned(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in SITES:
        assert main(["keygen", str(chain / f"{name}.toml")]) == 0
    made = capsys.readouterr().out
    assert main(["fingerprint", str(chain / "padova.toml")]) == 0
    assert capsys.readouterr().out.strip() in made
    certificate = str(chain / "keys" / "padova.crt")
    assert main(["trust", str(chain / "southampton.toml"), certificate]) == 0
    assert (chain / "keys" / "peers" / "padova.crt").read_text() == Path(certificate).read_text()
    assert (chain / "keys" / "padova.key").stat().st_mode & 0o077 == 0
    assert main(["trust", str(chain / "zurich.toml"), certificate]) == ExitCode.USAGE
    assert "no peer 'padova'" in capsys.readouterr().err


def test_a_revoked_peer_is_no_longer_pinned(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keygen", str(chain / "padova.toml")]) == 0
    hub = str(chain / "southampton.toml")
    assert main(["trust", hub, str(chain / "keys" / "padova.crt")]) == 0
    pinned = chain / "keys" / "peers" / "padova.crt"
    assert pinned.exists()
    assert main(["revoke", hub, "padova"]) == 0
    assert "no longer trusted" in capsys.readouterr().out
    assert not pinned.exists()
    assert main(["revoke", hub, "padova"]) == ExitCode.USAGE
    assert "no certificate" in capsys.readouterr().err
    assert main(["revoke", hub, "nobody"]) == ExitCode.USAGE
    assert "no peer 'nobody'" in capsys.readouterr().err


def test_check_warns_of_a_certificate_that_ends(
    chain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = str(chain / "zurich.toml")
    assert main(["keygen", site]) == 0
    main(["check", "--offline", site])
    assert "expires" not in capsys.readouterr().out
    monkeypatch.setattr("app.bridge.keys.LIFETIME_DAYS", 59)
    (chain / "keys" / "zurich.key").unlink()
    (chain / "keys" / "zurich.crt").unlink()
    assert main(["keygen", site]) == 0
    main(["check", "--offline", site])
    assert "its own certificate expires in 59 days" in capsys.readouterr().out


def test_check_names_keys_that_are_missing_or_spoilt(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, key = str(chain / "zurich.toml"), chain / "keys" / "zurich.key"
    assert main(["check", "--offline", site]) == ExitCode.OK, "a partner's keys are not here"
    said = capsys.readouterr().out
    assert "zurich.key; make it with `spikebridge keygen`" in said
    assert "no certificate of southampton is pinned" in said
    main(["keygen", site])
    main(["keygen", str(chain / "southampton.toml")])
    assert main(["trust", site, str(chain / "keys" / "southampton.crt")]) == ExitCode.OK
    assert "telephone" in capsys.readouterr().out
    assert main(["check", "--offline", site]) == ExitCode.OK
    assert "warning" not in capsys.readouterr().out
    key.chmod(0o644)
    assert main(["check", "--offline", site]) == ExitCode.FAILED
    assert "readable by others" in capsys.readouterr().out
    key.chmod(0o600)
    pinned = chain / "keys" / "peers" / "southampton.crt"
    pinned.write_text((chain / "keys" / "zurich.crt").read_text())
    assert main(["check", "--offline", site]) == ExitCode.FAILED
    assert "our own certificate, pinned as southampton's" in capsys.readouterr().out


def test_nobody_is_pinned_as_two_sites(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = str(chain / "southampton.toml")
    for name in SITES:
        main(["keygen", str(chain / f"{name}.toml")])
    own, padova = (str(chain / "keys" / f"{name}.crt") for name in ("southampton", "padova"))
    assert main(["trust", hub, own, "--peer", "padova"]) == ExitCode.USAGE
    assert "is this site's own" in capsys.readouterr().err
    assert main(["trust", hub, padova]) == ExitCode.OK
    assert main(["trust", hub, padova, "--peer", "zurich"]) == ExitCode.USAGE
    assert "already pinned as padova's" in capsys.readouterr().err
    assert not (chain / "keys" / "peers" / "zurich.crt").exists()


def test_existing_key_is_not_overwritten(chain: Path) -> None:
    site = str(chain / "zurich.toml")
    assert main(["keygen", site]) == 0
    key = (chain / "keys" / "zurich.key").read_bytes()
    assert main(["keygen", site]) == ExitCode.USAGE
    assert (chain / "keys" / "zurich.key").read_bytes() == key


@pytest.mark.parametrize("command", ["status", "disarm", "stop", "start", "shutdown"])
def test_without_an_engine_says_so(
    command: str, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(chain / "zurich.toml")]) == ExitCode.FAILED
    assert "no engine answers" in capsys.readouterr().err


def test_safe_off_reports_what_it_achieved(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["safe-off", str(chain / "zurich.toml")]) == ExitCode.OK
    assert "chip1: by construction" in capsys.readouterr().out


def test_engine_without_its_instrument_says_which(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = chain / "southampton.toml"
    site.write_text(site.read_text().replace("/dev/ttyACM0", "/dev/does-not-exist"))
    assert main(["engine", str(site), "--mock"]) == ExitCode.INSTRUMENT
    assert "arc1" in capsys.readouterr().err


def test_engine_without_keys_names_the_file(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engine", str(chain / "zurich.toml")]) == ExitCode.USAGE
    assert "zurich.key" in capsys.readouterr().err


def test_a_recording_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "nothing"
    arguments = ["demo", "--out", str(tmp_path / "out"), "--recording", str(recording)]
    assert main(arguments) == ExitCode.USAGE
    assert str(recording) in capsys.readouterr().err


def test_headless_use_imports_no_qt() -> None:
    code = (
        "import json, sys, app.cli, app.commands.running, app.commands.consoles; "
        "import app.run_engine, app.supervisor, app.demo.run; "
        "print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"PyQt6", "pyqtgraph", "mocks"}
    assert "app" in loaded


def test_help_does_not_wait_for_numpy() -> None:
    code = "import sys, app.cli; app.cli.build_parser(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
