"""What each command upon recorded sessions does; its name is the command's."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from app.exit_codes import ExitCode
from app.recording.errors import RecordingError
from app.recording.files import DiskFiles
from app.recording.late_checks import complete, left_in
from app.recording.session_lock import writer_of
from app.sessions.progress import Progress

if TYPE_CHECKING:
    from app.recording.reader import SessionReader

MAX_SAID = 20
"""Faults that are listed; after that they are counted."""


def replay(arguments: argparse.Namespace) -> int:
    """Decide a session again and compare."""
    from app.sessions.replay import replay as decide_again  # noqa: PLC0415

    report = decide_again(arguments.session)
    listed = ", ".join(f"{n} {table}" for table, n in sorted(report.decisions.items()))
    _say(f"{arguments.session.name}: {report.n_inputs} inputs decided again: {listed or 'nothing'}")
    if report.n_cut_off:
        _say(f"cut off: the last {report.n_cut_off} decisions were not written any more")
    if report.difference:
        _say(f"DIFFERENT: {report.difference}")
        return ExitCode.FAILED
    _say("identical")
    return ExitCode.OK


def audit(arguments: argparse.Namespace) -> int:
    """Check a session's audit chain and what was sent against it."""
    from app.recording.reader import open_session  # noqa: PLC0415
    from app.sessions.audit import audit as check_audit  # noqa: PLC0415

    with open_session(arguments.session) as session:
        found = check_audit(session, arguments.head)
    refused = ", ".join(f"{n} {reason}" for reason, n in sorted(found.refusals.items()))
    outcomes = ", ".join(f"{n} {outcome}" for outcome, n in sorted(found.outcomes.items()))
    _say(f"{arguments.session.name}: {found.n_rows} audit rows, {found.n_permits} permits")
    _say(f"refused: {refused or 'nothing'}")
    _say(f"permits became: {outcomes or 'nothing'}; {found.n_unreported} without a word")
    _say(f"limits in force: {', '.join(v[:12] for v in found.limits_versions) or 'none'}")
    _say(f"head of the chain, to be kept elsewhere: {found.head or 'none'}")
    for sentence in found.faults[:MAX_SAID]:
        _say(f"FAULT: {sentence}")
    if len(found.faults) > MAX_SAID:
        _say(f"FAULT: {len(found.faults) - MAX_SAID} more")
    _say("the chain is broken" if found.faults else "the chain is whole")
    return ExitCode.FAILED if found.faults else ExitCode.OK


def history(arguments: argparse.Namespace) -> int:
    """Show what each electrode and device of a site received over all sessions."""
    import json  # noqa: PLC0415
    from dataclasses import asdict  # noqa: PLC0415

    from app.config.paths import history_file, session_root  # noqa: PLC0415
    from app.core.clock import utc_anchor  # noqa: PLC0415
    from app.recording.history import DoseHistory  # noqa: PLC0415
    from app.sessions.dose_table import dose_lines, said  # noqa: PLC0415
    from app.signed_site import load_to_switch_off  # noqa: PLC0415

    site = load_to_switch_off(arguments.site_file)
    root = session_root(arguments.site_file, site)
    with DoseHistory(history_file(arguments.site_file, site)) as doses:
        unread = doses.take_in(root, site.site)
        lines = dose_lines(doses.doses(), site, utc_anchor()[1])
    if arguments.json:
        _say(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        for line in lines:
            _say(said(line, site))
        if not lines:
            _say("nothing was ever given")
    for sentence in unread:
        _say(f"NOT COUNTED: {sentence}")
    return ExitCode.FAILED if unread else ExitCode.OK


def info(arguments: argparse.Namespace) -> int:
    """Show what a session holds."""
    from app.recording.reader import open_session  # noqa: PLC0415
    from app.sessions.facts import facts  # noqa: PLC0415

    with open_session(arguments.session) as session:
        lines = facts(session)
    width = max(len(line.what) for line in lines)
    for line in lines:
        _say(f"{line.what:{width}}  {line.text}")
    return ExitCode.OK


def report(arguments: argparse.Namespace) -> int:
    """Write figures and one page about a session."""
    from app.sessions.report import write_report  # noqa: PLC0415

    out: Path = arguments.out or arguments.session / "export" / "report"
    _say(f"written: {write_report(arguments.session, out)}")
    return ExitCode.OK


def recover(arguments: argparse.Namespace) -> int:
    """Make whole what a crash left open: one session, or all below a folder."""
    from app.recording.recovery import recover_all, recover_session  # noqa: PLC0415

    folder: Path = arguments.folder
    is_session = (folder / "session.json").exists()
    recoveries = [recover_session(folder)] if is_session else recover_all(folder)
    if not recoveries:
        raise RecordingError(f"{folder}: no session folder, and none in it")
    for recovery in recoveries:
        _say(f"{recovery.folder.name}: {recovery.state}")
        for sentence in recovery.said:
            _say(f"  {sentence}")
        if recovery.state in ("whole", "recovered"):
            with Progress(f"  {recovery.folder.name}: checksums") as progress:
                left = left_in(recovery.folder)
                if left is not None:
                    complete(left, DiskFiles(), progress.advance)
    is_well = all(recovery.state != "damaged" for recovery in recoveries)
    return ExitCode.OK if is_well else ExitCode.FAILED


def export(arguments: argparse.Namespace) -> int:
    """Write a session in other programs' formats, with the least priority."""
    from app.recording.reader import open_session  # noqa: PLC0415
    from app.recording.session import session_folders  # noqa: PLC0415

    session_folder: Path = arguments.session
    busy = [f for f in session_folders(session_folder.resolve().parent) if writer_of(f) is not None]
    if busy and not arguments.now:
        raise RecordingError(
            f"{busy[0].name} is being recorded beside it; export later, or say --now"
        )
    os.nice(19)
    out: Path = arguments.out or session_folder / "export"
    with open_session(session_folder) as session:
        if arguments.nwb:
            _say(f"written: {_export_nwb(session, out / f'{session_folder.name}.nwb')}")
        if arguments.spikeinterface:
            from app.recording.sorting import write_sorting  # noqa: PLC0415

            n_spikes = write_sorting(session, out / "sorting", DiskFiles())
            _say(f"written: {n_spikes} spikes, {out / 'sorting'}")
        if arguments.csv:
            from app.sessions.export.csv_tables import export_csv  # noqa: PLC0415

            with Progress("rows") as progress:
                files = export_csv(session, out / "csv", progress.advance)
            _say(f"written: {len(files)} tables, {out / 'csv'}")
    return ExitCode.OK


def _export_nwb(session: "SessionReader", path: Path) -> Path:
    try:
        from app.sessions.export.nwb import export_nwb  # noqa: PLC0415
        from app.sessions.export.nwb_subject import what_is_missing  # noqa: PLC0415
    except ImportError as exc:
        raise RecordingError(
            f"NWB needs pynwb, which is not installed ({exc}): install spikebridge[nwb]"
        ) from exc
    n_samples = sum(len(raw.samples) for raw in session.raw())
    with Progress("samples", n_samples) as progress:
        export_nwb(session, path, progress.advance)
    missing = what_is_missing(session.info)
    if missing:
        _say(missing)
    return path


def archive(arguments: argparse.Namespace) -> int:
    """Copy a session to another place, verify the copy, mark the session."""
    from app.sessions.archive import archive as copy_and_mark  # noqa: PLC0415

    with Progress("archive") as progress:
        done = copy_and_mark(arguments.session, arguments.target, progress.advance)
    _say(f"{done.n_files} files, {done.n_bytes / 1e6:.1f} MB, verified: {done.target}")
    return ExitCode.OK


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command line's own voice
