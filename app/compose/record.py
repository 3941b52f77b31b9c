"""What is kept and what is shown: session folder, event log, ledger, and the consoles' feed."""

import datetime as dt
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from app.compose.ground import Ground
from app.compose.late_parts import LateParts
from app.config.electrode_map import electrode_table
from app.config.paths import session_root
from app.console.live_feed import LiveFeed
from app.core.clock import clock_identity, monotonic_ns, utc_anchor
from app.engine.alerter import Alerter
from app.engine.late_checker import LateChecker
from app.engine.ledger import Ledger
from app.engine.showing import Showing
from app.engine.wiring import feed_format, metadata_of, site_numbers
from app.instruments import profiles_of
from app.recording.event_log import EventLog
from app.recording.raw_writer import RawWriter
from app.recording.recovery import Recovery
from app.recording.session import Session, create_session
from app.recording.software import software_versions
from app.safety.profiles import limits_in_force
from drivers.mea.protocol import MeaAmplifier

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """A session that is open, and who writes and shows what happens in it."""

    session: Session
    event_log: EventLog
    ledger: Ledger
    showing: Showing


def make_record(ground: Ground, amplifier: MeaAmplifier | None, late: LateParts) -> Record:
    """Make a new session and what writes into it.

    Raises
    ------
    RecordingError
        The session folder cannot be made.
    """
    showing = _showing(ground, amplifier)
    session = _session(ground)
    event_log = EventLog(
        session.events_path,
        on_failure=ground.engine.failed,
        release_reserve=session.release_reserve,
        on_room_ran_out=late.room_ran_out,
        is_strict=ground.site.recording.is_strict,
        files=ground.disk.files,
        open_database=ground.disk.open_database,
    )
    ledger = Ledger(event_log, ground.site.site, monotonic_ns, on_row=showing.row)
    return Record(session, event_log, ledger, showing)


def note_recoveries(ledger: Ledger, recoveries: Iterable[Recovery]) -> None:
    """Say which earlier session had to be repaired."""
    for recovery in recoveries:
        if recovery.state != "whole":
            text = f"{recovery.folder.name}: {recovery.state}: {'; '.join(recovery.said)}"
            log.warning("earlier session %s", text)
            ledger.note("engine", f"earlier session {text}")


def make_alerter(ground: Ground, ledger: Ledger) -> Alerter | None:
    """Return what runs the site's alert command; None: the site names none."""
    if not ground.site.alert_command:
        return None
    return Alerter(
        ground.site.alert_command,
        ground.site.site,
        on_outcome=lambda outcome: ledger.note("engine", outcome),
        on_failure=ground.engine.failed,
    )


def make_late_checker(ground: Ground, ledger: Ledger, raw_writer: RawWriter | None) -> LateChecker:
    """Return what has the checks of earlier sessions completed while nothing is recorded."""

    def is_recording() -> bool:
        return raw_writer is not None and raw_writer.is_busy

    return LateChecker(
        session_root(ground.files.site_file, ground.site),
        ground.site.site,
        is_recording,
        on_failure=lambda name, exc: ledger.note("engine", f"{name}: {exc}"),
    )


def _showing(ground: Ground, amplifier: MeaAmplifier | None) -> Showing:
    site, experiment = ground.site, ground.experiment
    stream_format = None if amplifier is None else amplifier.stream_format
    return Showing(
        LiveFeed(feed_format(ground.files.site_file, site, experiment, stream_format)),
        site_numbers(site, experiment),
        monotonic_ns,
        blank_after_s=site.amplifiers[0].detection.blank_after_s if amplifier else 0.0,
    )


def _session(ground: Ground) -> Session:
    files, site = ground.files, ground.site
    return create_session(
        session_root(files.site_file, site),
        site=site.site,
        session=secrets.token_hex(16),
        config=files.site_bytes,
        experiment=files.experiment_bytes,
        experiment_sha256=ground.experiment_hash,
        software=software_versions(),
        clock=clock_identity(),
        anchor=utc_anchor(),
        limits=limits_in_force(profiles_of(site, ground.provenance)),
        provenance={name: p.value for name, p in ground.provenance.items()},
        limits_override=files.override_bytes,
        metadata=_metadata(ground),
        files=ground.disk.files,
    )


def _metadata(ground: Ground) -> dict[str, object]:
    """Return what the record says about laboratory, cultures, devices and electrodes."""
    told = metadata_of(ground.site, dt.datetime.now(dt.UTC).date())
    told["electrodes"] = {
        a.name: electrode_table(
            ground.files.site_file, a, ground.rig.amplifiers[a.name].stream_format.channel_names
        )
        for a in ground.site.amplifiers
    }
    return told
