"""The session folder: `<UTC>_<site>_<NNNN>` with everything that one run of an engine records."""

import datetime as dt
import errno
import logging
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from app.recording.checksums import write_checksums
from app.recording.errors import RecordingError
from app.recording.files import (
    DiskFiles,
    Files,
    make_folders,
    read_small,
    replace_file,
    write_file,
)
from app.recording.session_lock import SessionLock

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
RESERVE_BYTES = 64 * 2**20
"""Given up when the disk is full, so that the record can be ended in good order."""
OVERRIDE_NAME = "limits-override.toml"
BENCH_POINTS_NAME = "bench-points.jsonl"
"""What a bench measured. Such a session's arming lives on no lease: the person sits at the process
that pulses."""
_FOLDER_NAME = re.compile(
    r"\d{4}-\d\d-\d\dT\d{6}Z_(?P<site>[A-Za-z0-9][A-Za-z0-9_.-]*)_(?P<number>\d{4,})"
)
_TRIES = 100


_Instant = Annotated[int, msgspec.Meta(ge=0, le=4_000_000_000_000_000_000)]
"""In ns; as UTC until the year 2096."""


class ClockAnchor(msgspec.Struct, frozen=True):
    """One instant on CLOCK_MONOTONIC and on UTC, known to `width_ns`."""

    monotonic_ns: _Instant
    utc_ns: _Instant
    width_ns: _Instant


class CultureInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The living network on an amplifier's array (`app.config.about.Culture`)."""

    species: str
    days_in_vitro: int
    """When the session began."""
    plated_on: str = ""
    sex: str = "U"
    tissue: str | None = None
    array: str | None = None
    name: str | None = None
    site: str | None = None
    """Where it lives, if not here."""


class ElectrodeInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one channel of an amplifier is joined to."""

    channel: str
    is_bad: bool = False
    x_um: float | None = None
    y_um: float | None = None


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a memristor was made, and where it is on the array."""

    wordline: int
    bitline: int
    wafer: str | None = None
    die: str | None = None


class AboutInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who did this, where, and what for (`app.config.about.About`)."""

    institution: str | None = None
    laboratory: str | None = None
    experimenters: tuple[str, ...] = ()
    description: str | None = None


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What site.toml says about laboratory, cultures by amplifier, and devices by name."""

    about: AboutInfo = AboutInfo()
    cultures: dict[str, CultureInfo] = {}
    culture_elsewhere: CultureInfo | None = None
    """That of the experiment, when it lives at another site."""
    electrodes: dict[str, tuple[ElectrodeInfo, ...]] = {}
    """By amplifier, in the order of its channels."""
    devices: dict[str, DeviceInfo] = {}


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `session.json`."""

    format_version: int = FORMAT_VERSION
    state: Literal["recording", "closed", "recovered"]
    number: int
    session: str
    """128 random bits in hex; the same id that peers see."""
    site: str
    experiment_sha256: str
    software: dict[str, str]
    """Name to version."""
    clock: str
    """Whose CLOCK_MONOTONIC the times are (`app.core.clock.clock_identity`)."""
    anchors: Annotated[tuple[ClockAnchor, ...], msgspec.Meta(min_length=1)]
    """At the start, and at the end of a closed session."""
    limits: msgspec.Raw
    """The limits in force, defaults filled in, as JSON."""
    provenance: dict[str, str] = {}
    """What stood behind each instrument: live, mock or playback."""
    metadata: Metadata = Metadata()
    recovered: tuple[str, ...] = ()
    """What was done to it after a crash."""


class Session:
    """An open session folder. Any thread may release the reserve; one closes.

    Until then its lock tells others that it is being written.
    """

    def __init__(
        self, folder: Path, info: SessionInfo, files: Files, session_lock: SessionLock
    ) -> None:
        self.folder = folder
        self.info = info
        self._files = files
        self._session_lock = session_lock
        self._lock = threading.Lock()
        self._has_reserve = True

    @property
    def events_path(self) -> Path:
        """Get where the event log belongs."""
        return self.folder / "events.sqlite"

    def node_folder(self, node_id: int = 101) -> Path:
        """Return where the raw data of one amplifier belong; created when needed."""
        return self.folder / f"Record Node {node_id}"

    def release_reserve(self) -> bool:
        """Give up the reserved disk space; return whether that made room now."""
        with self._lock:
            had_reserve, self._has_reserve = self._has_reserve, False
            if not had_reserve:
                return False
            try:
                self._files.remove(self.folder / "reserve.bin")
            except OSError:
                log.exception("%s: the reserve cannot be removed", self.folder)
                return False
        log.error("%s: the reserve was given up", self.folder)
        return True

    def close(self, anchor: tuple[int, int, int], *, is_whole: bool = True) -> None:
        """Mark the session as closed; after the event log and the raw writer have ended.

        One that is not whole stays as a crash would leave it: the next start recovers it.

        Raises
        ------
        RecordingError
            `session.json` or the checksums could not be written; what was, is whole.
        """
        with self._lock:
            if self.info.state == "closed":
                return
            if not is_whole:
                log.error("%s: not whole; left for recovery at the next start", self.folder)
                self._session_lock.release()
                return
            closed = msgspec.structs.replace(
                self.info, state="closed", anchors=(*self.info.anchors, ClockAnchor(*anchor))
            )
            try:
                self._files.remove(self.folder / "reserve.bin")
                self._has_reserve = False
                replace_file(self._files, self.folder / "session.json", encode_info(closed))
                left = write_checksums(self.folder, self._files)
            except (OSError, RecordingError) as exc:
                raise RecordingError(f"{self.folder}: session cannot be closed: {exc}") from exc
            finally:
                self._session_lock.release()
            self.info = closed
        if left:
            log.info("%s: checksums of %d large files are left for later", self.folder, len(left))


def create_session(
    root: Path,
    *,
    site: str,
    session: str,
    config: bytes,
    experiment: bytes,
    experiment_sha256: str,
    software: dict[str, str],
    clock: str,
    anchor: tuple[int, int, int],
    limits: bytes = b"{}",
    provenance: Mapping[str, str] | None = None,
    limits_override: bytes = b"",
    metadata: Mapping[str, Any] | None = None,
    reserve_bytes: int = RESERVE_BYTES,
    files: Files | None = None,
) -> Session:
    """Create a session folder under `root`; it appears whole, or not at all.

    `config`, `experiment` and `limits_override` are the bytes of the configuration files, copied
    exactly (of the last one only if there are any);
    `anchor` is (monotonic_ns, utc_ns, width_ns) of now; `limits` is JSON.

    Raises
    ------
    RecordingError
        The site's name is no folder name, or the disk refuses.
    """
    files = files or DiskFiles()
    started = dt.datetime.fromtimestamp(anchor[1] / 1e9, dt.UTC)
    info = SessionInfo(
        state="recording",
        number=0,
        session=session,
        site=site,
        experiment_sha256=experiment_sha256,
        software=software,
        clock=clock,
        anchors=(ClockAnchor(*anchor),),
        limits=msgspec.Raw(limits),
        provenance=dict(provenance or {}),
        metadata=msgspec.convert(metadata or {}, Metadata),
    )
    if not _FOLDER_NAME.fullmatch(f"{started:%Y-%m-%dT%H%M%SZ}_{site}_0000"):
        raise RecordingError(f"site {site!r}: no folder name; use letters, digits, '_', '.', '-'")
    # Hidden, and its name is nobody else's: what a crash leaves here is no session.
    draft = root / f".creating-{session}"
    session_lock: SessionLock | None = None
    try:
        make_folders(files, root)
        files.make_folder(draft)
        write_file(files, draft / "config.toml", config)
        write_file(files, draft / "experiment.toml", experiment)
        if limits_override:
            write_file(files, draft / OVERRIDE_NAME, limits_override)
        files.allocate(draft / "reserve.bin", reserve_bytes)
        session_lock = SessionLock(draft)
        number = _next_number(root)
        for attempt in range(number, number + _TRIES):
            info = msgspec.structs.replace(info, number=attempt)
            replace_file(files, draft / "session.json", encode_info(info))
            folder = root / f"{started:%Y-%m-%dT%H%M%SZ}_{site}_{attempt:04d}"
            if _take_name(files, draft, folder):
                return Session(folder, info, files, session_lock)
    except OSError as exc:
        if session_lock is not None:
            session_lock.release()
        with suppress(OSError):
            files.remove(draft / "reserve.bin")
        raise RecordingError(
            f"{root}: no session folder can be created: {exc}; make room of "
            f"{reserve_bytes / 2**20:.0f} MiB at least, or choose another folder"
        ) from exc
    session_lock.release()
    raise RecordingError(f"{root}: {_TRIES} session numbers from {number} on are all taken")


def session_folders(root: Path, site: str | None = None) -> list[Path]:
    """Return the session folders under `root` (of one site), oldest first."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        match = _FOLDER_NAME.fullmatch(folder.name)
        if match and folder.is_dir() and site in (None, match["site"]):
            found.append((int(match["number"]), folder.name, folder))
    # By number: UTC may have been set back in between.
    return [folder for _, _, folder in sorted(found)]


def read_info(folder: Path) -> SessionInfo:
    """Return what `session.json` says.

    Raises
    ------
    RecordingError
        It is missing, damaged or of another version.
    """
    path = folder / "session.json"
    try:
        info = msgspec.json.decode(read_small(path), type=SessionInfo)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise RecordingError(f"{path}: not a session's description: {exc}") from exc
    if info.format_version != FORMAT_VERSION:
        raise RecordingError(
            f"{path}: format version {info.format_version}, this program reads {FORMAT_VERSION}"
        )
    return info


def encode_info(info: SessionInfo) -> bytes:
    """Return the content of `session.json`."""
    return msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n"


def _next_number(root: Path) -> int:
    names = (_FOLDER_NAME.fullmatch(folder.name) for folder in root.iterdir())
    return 1 + max((int(match["number"]) for match in names if match), default=0)


def _take_name(files: Files, draft: Path, folder: Path) -> bool:
    try:
        files.rename(draft, folder)
    except OSError as exc:
        if exc.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    files.sync_folder(folder.parent)
    return True
