"""One HTML page about a session that needs nothing but itself: facts, figures, refusals, notes."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.recording.reader import SessionReader, open_session
from app.sessions.facts import facts, span_ns
from app.sessions.figures import Picture, Pictures

DPI = 110
MAX_ROWS = 200
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 74em; margin: 2em auto; padding: 0 1em;
       color: #1c2733; background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
img { max-width: 100%; height: auto; } p.note { color: #5a6773; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25em 1em 0.25em 0;
         border-bottom: 1px solid #e3e8ec; } th { font-weight: 600; }
table.facts th, tr:first-child th { white-space: nowrap; }
td.time { font-variant-numeric: tabular-nums; white-space: nowrap; }
"""


def write_report(session_folder: Path, out: Path) -> Path:
    """Write `report.html` and its figures as PNG files into `out`; return the page's path.

    Raises
    ------
    RecordingError
        The session cannot be read.
    OSError
        `out` cannot be written.
    """
    with open_session(session_folder) as session:
        out.mkdir(parents=True, exist_ok=True)
        sections = []
        for picture in Pictures(session).all():
            png = _png(picture)
            (out / f"{picture.name}.png").write_bytes(png)
            sections.append(_figure_section(picture, png))
        page = _page(session, sections)
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _page(session: SessionReader, sections: Sequence[str]) -> str:
    title = f"Session {html.escape(session.folder.name)}"
    rows = [(line.what, line.text) for line in facts(session)]
    body = [
        f"<h1>{title}</h1>",
        _table((), rows, "facts"),
        *sections,
        _refusals(session),
        _happenings(session),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _figure_section(picture: Picture, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return (
        f"<h2>{html.escape(picture.title)}</h2>\n"
        f'<p class="note">{html.escape(picture.text)}</p>\n'
        f'<img alt="{html.escape(picture.title)}" src="data:image/png;base64,{data}">'
    )


def _png(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    picture.figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _refusals(session: SessionReader) -> str:
    found = session.query(
        "SELECT reason, count(*), instrument, min(sentence) FROM audit WHERE verdict = 'refusal' "
        "GROUP BY reason, instrument ORDER BY 2 DESC"
    )
    if not found:
        return "<h2>Refusals</h2>\n<p>No request was refused.</p>"
    rows = [(reason, str(n), instrument, example) for reason, n, instrument, example in found]
    return "<h2>Refusals</h2>\n" + _table(("reason", "how often", "instrument", "such as"), rows)


def _happenings(session: SessionReader) -> str:
    """Return what people, links and recordings did, in order of time."""
    start_ns, _ = span_ns(session)
    found = session.query(
        "SELECT time_ns, who, text FROM notes "
        "UNION ALL SELECT time_ns, who, state || ': ' || reason FROM arming "
        "UNION ALL SELECT time_ns, 'link ' || site, event || ' ' || detail FROM links "
        "WHERE event NOT IN ('gate') "
        "UNION ALL SELECT time_ns, 'recording', event || ' ' || folder || ' ' || detail "
        "FROM raw_recordings "
        "UNION ALL SELECT time_ns, source, level || ': ' || message FROM log "
        "UNION ALL SELECT time_ns, instrument, n_lost || ' samples lost before sample ' "
        "|| sample_index FROM gaps "
        "UNION ALL SELECT time_ns, 'synapse ' || synapse, 'hole: ' || reason FROM holes "
        f"ORDER BY time_ns LIMIT {MAX_ROWS + 1}"
    )
    rows = [(f"{(t - start_ns) / 1e9:.3f} s", who, text) for t, who, text in found[:MAX_ROWS]]
    more = f'<p class="note">The first {MAX_ROWS}.</p>\n' if len(found) > MAX_ROWS else ""
    return "<h2>What happened</h2>\n" + more + _table(("time", "who", "what"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    lines = [f'<table class="{kind}">']
    if head:
        lines.append("<tr>" + "".join(f"<th>{html.escape(word)}</th>" for word in head) + "</tr>")
    for row in rows:
        first = html.escape(row[0])
        cells = [f"<th>{first}</th>" if kind == "facts" else f'<td class="time">{first}</td>']
        cells += [f"<td>{html.escape(cell)}</td>" for cell in row[1:]]
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join([*lines, "</table>"])
