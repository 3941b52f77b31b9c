"""What each command of `app.cli` does; its name is the command's. Returns the exit code."""

import argparse
import datetime as dt
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.bridge import keys
from app.config.check import check_experiment, check_site, check_together
from app.config.electrode_map import map_conflicts
from app.config.experiment import experiment_hash
from app.config.load import ConfigError, is_site_file, load_experiment, load_site, read_bounded
from app.config.paths import certificate_file, peer_certificate_file
from app.config.site import Site
from app.console.client import ConsoleClient, NoEngineError
from app.console.messages import CommandRefusedError
from app.console.status_text import status_lines
from app.exit_codes import ExitCode
from app.mock_rig import MockStartError
from app.recording.errors import RecordingError
from app.run_folder import RigBusyError, RunFolder
from app.signed_site import (
    SignedSite,
    limits_in_words,
    load_signed_site,
    load_to_switch_off,
)

RENEW_INTERVAL_S = 0.5
"""An arming console renews its lease twice a second; the lease lasts 2 s."""


def run_guarded(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; turn the failures that a user can cause into one sentence and a code."""
    try:
        return run(arguments)
    except (ConfigError, keys.KeyFileError) as exc:
        return _fail(str(exc), ExitCode.USAGE)
    except RigBusyError as exc:
        return _fail(str(exc), ExitCode.BUSY)
    except (NoEngineError, CommandRefusedError, MockStartError, RecordingError) as exc:
        return _fail(str(exc), ExitCode.FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted", ExitCode.FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED


def run(arguments: argparse.Namespace) -> int:
    """Run a site's engine under a supervisor."""
    from app.supervisor import supervise  # noqa: PLC0415 - each command loads what it needs

    engine_arguments = []
    if arguments.experiment is not None:
        engine_arguments += ["--experiment", str(arguments.experiment)]
    if arguments.mock:
        engine_arguments.append("--mock")
    if arguments.dry_run:
        engine_arguments.append("--dry-run")
    _checked_site(arguments.site_file, is_mock=arguments.mock)
    return supervise(arguments.site_file, engine_arguments, is_mock=arguments.mock)


def engine(arguments: argparse.Namespace) -> int:
    """Run the engine itself."""
    from app.compose.ground import EngineFiles  # noqa: PLC0415
    from app.run_engine import run_engine  # noqa: PLC0415

    signed = _checked_site(arguments.site_file, is_mock=arguments.mock)
    site = signed.site
    files = EngineFiles(
        arguments.site_file,
        site,
        read_bounded(arguments.site_file),
        override_bytes=signed.override_bytes,
        limits_until=signed.until,
    )
    if arguments.experiment is not None:
        experiment = load_experiment(arguments.experiment)
        _refuse(check_experiment(experiment) + check_together(experiment, [site]))
        files = replace(
            files, experiment=experiment, experiment_bytes=read_bounded(arguments.experiment)
        )
    return run_engine(
        files,
        is_mock=arguments.mock,
        heartbeat_fd=arguments.heartbeat_fd,
        is_dry_run=arguments.dry_run,
    )


def safe_off(arguments: argparse.Namespace) -> int:
    """Switch off every output of a site, without an engine."""
    from app.instruments import switch_off  # noqa: PLC0415

    reports = switch_off(arguments.site_file, load_to_switch_off(arguments.site_file))
    for report in reports:
        _say(f"{report.instrument}: {report.state.value} ({report.detail})")
    failed = [report for report in reports if report.state.name == "FAILED"]
    return ExitCode.UNSAFE if failed else ExitCode.OK


def check(arguments: argparse.Namespace) -> int:
    """Validate files together; ask each instrument whether it answers."""
    site_files = [path for path in arguments.files if is_site_file(path)]
    signed_sites = [load_signed_site(path, is_mock=True) for path in site_files]
    sites = list(zip(site_files, (signed.site for signed in signed_sites), strict=True))
    experiments = [load_experiment(p) for p in arguments.files if p not in site_files]
    conflicts = [c for signed in signed_sites for c in signed.conflicts]
    conflicts += [
        c for path, site in sites for c in (*check_site(site), *map_conflicts(path, site))
    ]
    for experiment in experiments:
        _say(f"experiment {experiment.name!r}: {experiment_hash(experiment)}")
        conflicts += check_experiment(experiment)
        conflicts += check_together(experiment, [site for _, site in sites])
    conflicts += _rig_conflicts([site for _, site in sites])
    for sentence in conflicts:
        _say(f"conflict: {sentence}")
    for path, site in sites:
        for warning in _certificate_warnings(path, site):
            _say(f"warning: {warning}")
    for sentence in (s for signed in signed_sites for s in limits_in_words(signed)):
        _say(sentence)
    is_well = True
    if not (arguments.offline or conflicts):
        answers = [_instruments_answer(path, site) for path, site in sites]  # ask every one
        is_well = all(answers)
    if conflicts:
        return ExitCode.FAILED
    _say("no conflicts")
    return ExitCode.OK if is_well else ExitCode.INSTRUMENT


def keygen(arguments: argparse.Namespace) -> int:
    """Make a site's key and certificate."""
    site = load_site(arguments.site_file)
    folder = arguments.site_file.parent / site.key_folder
    _, certificate = keys.keygen(folder, site.site)
    _say(f"made {certificate}")
    _say(f"fingerprint {keys.fingerprint_text(certificate)}")
    _say("send the .crt file to your partners; compare the fingerprint on the telephone")
    return ExitCode.OK


def fingerprint(arguments: argparse.Namespace) -> int:
    """Print a certificate's fingerprint."""
    path: Path = arguments.file
    if path.suffix == ".toml":
        site = load_site(path)
        path = certificate_file(path, site)
    _say(keys.fingerprint_text(path))
    return ExitCode.OK


def trust(arguments: argparse.Namespace) -> int:
    """Pin another site's certificate."""
    name = arguments.peer or arguments.certificate.stem
    pinned = keys.pin(arguments.certificate, _pin_of(arguments.site_file, name))
    _say(f"pinned {name}: {keys.fingerprint_text(pinned)}")
    return ExitCode.OK


def revoke(arguments: argparse.Namespace) -> int:
    """Remove another site's pin."""
    gone = keys.unpin(_pin_of(arguments.site_file, arguments.peer))
    _say(f"{arguments.peer} is no longer trusted here (it was {gone})")
    _say("a running engine closes the link within a second; before the next start pin a new")
    _say(f"certificate with `spikebridge trust`, or take {arguments.peer} out of [[peers]]")
    return ExitCode.OK


def status(arguments: argparse.Namespace) -> int:
    """Show what a running engine does."""
    with _console(arguments) as console:
        result = console.call("status")
    if arguments.json:
        _say(json.dumps(result, indent=1))
    else:
        for line in status_lines(result):
            _say(line)
    return ExitCode.OK


def arm(arguments: argparse.Namespace) -> int:
    """Arm, and stay attached to renew the lease unless unattended."""
    until: dt.datetime | None = arguments.unattended_until
    seconds = 60.0 * arguments.minutes
    if until is not None:
        seconds = (until - dt.datetime.now(dt.UTC)).total_seconds()
    with _console(arguments) as console:
        code = arguments.code or _ask_for_code(console)
        console.call(
            "arm",
            who=arguments.who,
            reason=arguments.reason,
            seconds=seconds,
            code=code,
            is_unattended=until is not None,
        )
        if until is not None:
            _say(f"armed by {arguments.who} until {until:%Y-%m-%d %H:%M} UTC, with nobody at hand")
            return ExitCode.OK
        _say(f"armed by {arguments.who} for {arguments.minutes:g} min")
        _say("this console renews the lease; Ctrl-C disarms")
        try:
            return _renew_until_disarmed(console)
        except KeyboardInterrupt:
            console.call("disarm", who=arguments.who, reason="console closed")
            _say("disarmed")
            return ExitCode.OK


def disarm(arguments: argparse.Namespace) -> int:
    """Allow no outputs any more."""
    with _console(arguments) as console:
        console.call("disarm", who=arguments.who, reason="asked for at a console")
    _say("disarmed")
    return ExitCode.OK


def stop(arguments: argparse.Namespace) -> int:
    """Stop everything at this site and every linked one."""
    with _console(arguments) as console:
        result = console.call("stop", who=arguments.who)
    for sentence in result["reports"]:
        _say(sentence)
    return ExitCode.OK if result["is_safe"] else ExitCode.UNSAFE


def acknowledge(arguments: argparse.Namespace) -> int:
    """Leave TRIPPED, to DISARMED."""
    with _console(arguments) as console:
        console.call("acknowledge", who=arguments.who)
    _say("acknowledged: disarmed")
    return ExitCode.OK


def note(arguments: argparse.Namespace) -> int:
    """Write a note into the session."""
    with _console(arguments) as console:
        console.call("note", who=arguments.who, text=arguments.text)
    return ExitCode.OK


def start(arguments: argparse.Namespace) -> int:
    """Start the experiment's protocol."""
    with _console(arguments) as console:
        result = console.call("start", who=arguments.who)
    _say(f"protocol started: {result['n_phases']} phases, {result['duration_s']:g} s")
    return ExitCode.OK


def shutdown(arguments: argparse.Namespace) -> int:
    """End the engine in order."""
    with _console(arguments) as console:
        console.call("shutdown")
    return ExitCode.OK


def detect(arguments: argparse.Namespace) -> int:
    """Find the spikes of a recording."""
    from app.detect.run import run_detect  # noqa: PLC0415
    from app.detect.settings import settings_from  # noqa: PLC0415

    return run_detect(settings_from(arguments))


def bench(arguments: argparse.Namespace) -> int:
    """Run one procedure on a source-measure unit, without an engine."""
    from app.bench.command import run_bench  # noqa: PLC0415

    return run_bench(arguments)


def demo(arguments: argparse.Namespace) -> int:
    """Run the 2020 experiment on mock instruments."""
    from app.demo.files import DemoSettings  # noqa: PLC0415
    from app.demo.run import run_demo  # noqa: PLC0415

    return run_demo(
        DemoSettings(
            out=arguments.out,
            seconds_per_phase=arguments.seconds_per_phase,
            seed=arguments.seed,
            recording=arguments.recording,
            shows_progress=not arguments.no_progress,
            prints_json=arguments.json,
            smu=arguments.smu,
            shows_window=arguments.gui,
        )
    )


def _pin_of(site_file: Path, name: str) -> Path:
    """Return where a peer's certificate is pinned. Raises `ConfigError` if there is no such."""
    site = load_site(site_file)
    if not any(peer.site == name for peer in site.peers):
        known = ", ".join(p.site for p in site.peers) or "none"
        raise ConfigError(
            f"{site_file}: no peer {name!r} (peers: {known}); add it under [[peers]], "
            "or name it with --peer"
        )
    return peer_certificate_file(site_file, site, name)


def _certificate_warnings(path: Path, site: Site) -> list[str]:
    """Return what is to be said about the ends of this site's own and its peers' certificates."""
    files = {f"site {site.site}: its own certificate": certificate_file(path, site)}
    for peer in site.peers:
        what = f"site {site.site}: the certificate of {peer.site}"
        files[what] = peer_certificate_file(path, site, peer.site)
    now = dt.datetime.now(dt.UTC)
    warnings = [
        keys.expiry_warning(what, keys.days_left(file, now))
        for what, file in files.items()
        if file.exists()
    ]
    return [warning for warning in warnings if warning]


def _checked_site(path: Path, *, is_mock: bool) -> SignedSite:
    signed = load_signed_site(path, is_mock=is_mock)
    _refuse([f"{path}: {c}" for c in signed.conflicts])
    site = signed.site
    conflicts = [*check_site(site), *map_conflicts(path, site), *_rig_conflicts([site])]
    _refuse([f"{path}: {c}" for c in conflicts])
    return signed


def _refuse(conflicts: list[str]) -> None:
    if conflicts:
        raise ConfigError("; ".join(conflicts))


def _rig_conflicts(sites: list[Site]) -> list[str]:
    from app.instruments import limit_conflicts  # noqa: PLC0415

    return [sentence for site in sites for sentence in limit_conflicts(site)]


def _instruments_answer(path: Path, site: Site) -> bool:
    from app.instruments import probe_instruments  # noqa: PLC0415

    answers = probe_instruments(path, site)
    for answer in answers:
        _say(f"site {site.site}, {answer.instrument}: {answer.sentence}")
    return all(answer.is_well for answer in answers)


def _console(arguments: argparse.Namespace) -> ConsoleClient:
    site = load_site(arguments.site_file)
    return ConsoleClient(RunFolder(arguments.site_file, site).console_socket)


def _ask_for_code(console: ConsoleClient) -> str:
    """Make a person look at what is going to be armed: the code stands among the facts."""
    facts: dict[str, Any] = console.call("status")
    for line in status_lines(facts):
        _say(line)
    return input("type the session code to arm: ").strip()


def _renew_until_disarmed(console: ConsoleClient) -> int:
    while True:
        state = console.call("renew")["gate_state"]
        if state != "armed":
            _say(f"no longer armed: {state}")
            return ExitCode.FAILED
        time.sleep(RENEW_INTERVAL_S)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command line's own voice


def _fail(sentence: str, code: ExitCode) -> int:
    print(f"spikebridge: {sentence}", file=sys.stderr)  # noqa: T201
    return code
