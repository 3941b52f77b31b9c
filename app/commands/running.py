"""`run`, `engine`, `safe-off`: what starts an engine, and what switches a site off without one."""

import argparse
from dataclasses import replace

from app.commands.checking import checked_site, refuse
from app.commands.guarded import say
from app.config.check import check_experiment, check_together
from app.config.load import load_experiment, read_bounded
from app.exit_codes import ExitCode
from app.signed_site import load_to_switch_off


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
    checked_site(arguments.site_file, is_mock=arguments.mock)
    return supervise(arguments.site_file, engine_arguments, is_mock=arguments.mock)


def engine(arguments: argparse.Namespace) -> int:
    """Run the engine itself."""
    from app.compose.ground import EngineFiles  # noqa: PLC0415
    from app.run_engine import run_engine  # noqa: PLC0415

    signed = checked_site(arguments.site_file, is_mock=arguments.mock)
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
        refuse(check_experiment(experiment) + check_together(experiment, [site]))
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
        say(f"{report.instrument}: {report.state.value} ({report.detail})")
    failed = [report for report in reports if report.state.name == "FAILED"]
    return ExitCode.UNSAFE if failed else ExitCode.OK
