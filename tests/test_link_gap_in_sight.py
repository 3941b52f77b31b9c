"""A gap that a link declares is seen: in the recording, on consoles, and by the rules."""

from test_link_rights import chain, known, site_links, stream

from app.bridge.events import GapDeclared
from app.console.feed import SpanKind
from app.console.happenings import LogLine
from app.engine.row_words import happening_of
from app.engine.showing import Showing
from app.recording.rows import LinkRow
from app.synapse.inputs import StreamBroken

GAP = GapDeclared("zurich", "a" * 32, 5, 9)


def test_a_gap_is_recorded_acknowledged_and_told_to_the_rules() -> None:
    experiment, sites = chain()
    links, book, submitted = site_links(sites["southampton"], experiment)
    links.handle(known("zurich", stream("chip1", 63, 1)))
    links.handle(GAP)
    ((frame, _),) = book.of("frame")
    assert (frame.site, frame.first_seq, frame.seq, frame.kind) == ("zurich", 5, 9, "GAP")
    assert links.bridge.acknowledged == [9], "or it would be declared again for ever"
    assert ("zurich", "gap", "5 frames from 5 on will never come") in book.of("link")
    (broken,) = [item for item in submitted if isinstance(item, StreamBroken)]
    assert set(broken.neurons) == {63, 1}
    assert "5 frames from 5 on" in broken.reason


def test_a_gap_is_a_warning_and_a_shaded_stretch_on_every_console() -> None:
    row = LinkRow(3, "zurich", "gap", "5 frames from 5 on will never come")
    line = happening_of(row)
    assert isinstance(line, LogLine)
    assert (line.level, line.source) == ("warning", "link zurich")
    assert line.text == "gap: 5 frames from 5 on will never come"
    feed = SpanFeed()
    Showing(feed, {"zurich": 1}, lambda: 77).link_event(GAP)
    (span,) = feed.spans
    assert (span.kind, span.site, span.to_ns) == (SpanKind.GAP, "zurich", 77)
    assert span.text == "5 frames of zurich will never come"


class SpanFeed:
    def __init__(self) -> None:
        self.spans: list = []

    def shade(self, span) -> None:
        self.spans.append(span)
