"""Up to which number a site has recorded its peers' frames, over restarts."""

from pathlib import Path

from app.recording.errors import RecordingError
from app.recording.reader import named_errors, open_read_only
from app.recording.session import session_folders


def last_seqs(path: Path) -> dict[str, int]:
    """Return, per sender session (hex), the last seq received or declared missing without a break.

    `path` is a session folder or its event log; raises RecordingError if there is none.
    """
    return {session: until for session, _, until in _received(path)}


def last_seqs_of_site(root: Path, site: str, n_newest: int = 20) -> dict[str, int]:
    """Return `last_seqs` over the newest sessions of a site; unreadable ones are left out.

    A restart may have been followed by another before any peer came back, so the newest session
    alone is not enough.
    """
    last: dict[str, int] = {}
    for folder in session_folders(root, site)[-n_newest:]:
        try:
            received = _received(folder)
        except RecordingError:
            # Then its frames are sent again and recorded twice rather than missed.
            continue
        for session, first, until in received:
            known = last.get(session)
            if known is None or first <= known + 1:
                last[session] = max(until, last.pop(session, 0))  # the newest ones last
    return last


def _received(path: Path) -> list[tuple[str, int, int]]:
    connection = open_read_only(path / "events.sqlite" if path.is_dir() else path)
    try:
        with named_errors(path):
            found = connection.execute("SELECT session, from_seq, until_seq FROM received_until")
            return [(str(session), int(first), int(until)) for session, first, until in found]
    finally:
        connection.close()
