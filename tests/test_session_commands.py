"""`info`, `report` and `app.recording.open` upon a session that has something of everything."""

import datetime as dt
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_session import CHAIN, OFFSET_NS, START_NS, UTC_NS, S, make_session, new_session

from app import recording
from app.cli import main
from app.config.load import ConfigError, parse
from app.config.site import Site
from app.engine.wiring import metadata_of
from app.recording.errors import RecordingError
from app.recording.event_log import EventLog
from app.recording.session import DeviceInfo, Metadata
from app.sessions.figures import Pictures
from app.sessions.replay import replay


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_session(tmp_path_factory.mktemp("session"), gap=200)


def test_info_tells_all_on_one_screen(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(session)]) == 0
    said = capsys.readouterr().out
    lines = dict(line.split("  ", 1) for line in said.splitlines())
    facts = {what.strip(): text.strip() for what, text in lines.items()}
    assert len(facts) <= 40
    assert facts["session"] == f"{session.name} (closed)"
    assert facts["lasted"] == "1.0 s"
    assert facts["culture mea1"] == "Rattus norvegicus, 23 DIV, cortex, 60MEA200/30"
    assert facts["raw samples"].startswith("1.0 s of 4 channels at 20000 Hz, 0.2 MB in 2 rec")
    assert facts["losses"].startswith("200 samples in 1 gaps, 3 frames of peers, 1 holes")
    assert "raw recording ended by gap: 1" in facts["losses"]
    assert facts["spikes ANpre (zurich)"].startswith("20 spontaneous")
    assert facts["phase 2"] == "potentiation, 30 Hz, 0.2 to 0.5 s"
    assert facts["requests"].endswith("2 refused: interval 2")
    assert "4.70 -> 6.20 kOhm in 6 reads" in facts["device 12,21 (arc1)"]
    assert "down 1; 20 events in 20 frames" in facts["link zurich"]
    assert "clock +7000.000 ms" in facts["link zurich"]
    assert facts["arming"].startswith("armed (operator at padova")
    said = "1 errors, 1 warnings; the last from core.worker: mea1 failed: cable"
    assert facts["program's log"] == said


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.sources += [values["src"]] if values.get("src") else []
        self.links += [values["href"]] if values.get("href") else []
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_one_page_that_needs_no_network(session: Path, tmp_path: Path) -> None:
    assert main(["report", str(session), "--out", str(tmp_path / "r")]) == 0
    page = _Page()
    page.feed((tmp_path / "r/report.html").read_text("utf-8"))
    assert page.open == []
    assert page.links == []
    assert len(page.sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    for title in ("Firing rates", "Raster", "Resistances", "latency and losses", "Refused"):
        assert title in page.text
    assert "<b>warmed</b>" in page.text, "what people wrote is text, not markup"
    assert "µ-electrode" in page.text
    assert "warning: slow <tick>" in page.text
    for name in ("rates", "raster", "resistances", "links", "refusals"):
        assert (tmp_path / f"r/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_links_picture_has_spikes_by_latency_psps_by_age_and_losses(session: Path) -> None:
    with recording.open(session) as opened:
        picture = next(p for p in Pictures(opened).all() if p.name == "links")
    psps, spikes = picture.figure.axes
    assert psps.get_ylabel() == "PSPs from\nsouthampton (ms)"
    assert spikes.get_ylabel() == "spikes from\nzurich (ms)"
    legend = spikes.get_legend()
    assert legend is not None
    said = [text.get_text() for text in legend.get_texts()]
    assert said[0] == "p50 0.99 ms, p99 1.09 ms, max 1.09 ms, n 20"
    assert said[1] == "suspect or down (1)"


def test_a_session_without_anything_still_has_a_page(tmp_path: Path) -> None:
    session = new_session(tmp_path)
    log = EventLog(session.events_path, on_failure=lambda _n, exc: pytest.fail(str(exc)))
    log.start()
    log.request_stop()
    assert log.join(5.0)
    assert main(["info", str(session.folder)]) == 0
    session.close((START_NS, UTC_NS, 1))
    assert main(["report", str(session.folder)]) == 0
    assert "raw samples" in (session.folder / "export/report/report.html").read_text()


def test_open_gives_arrays_by_time_and_neuron(session: Path) -> None:
    with recording.open(session) as opened:
        spikes = opened.spikes(START_NS, START_NS + S // 2, site="padova", neuron=256)
        assert 0 < len(spikes) < len(opened.spikes(site="padova"))
        assert set(spikes["neuron"]) == {256}
        assert spikes["time_ns"].max() < START_NS + S // 2
        pulses = opened.table("device_pulses")
        assert pulses["amplitude_v"].tolist() == [1.5] * 6
        assert np.isnan(pulses["after_ohm"]).tolist() == [False] * 4 + [True, False]
        assert pulses["request_number"].mask.tolist() == [False] * 4 + [True, False]
        assert pulses["direction"].tolist() == ["LTP"] * 3 + ["LTD"] * 3
        assert len(opened.table("notes", to_ns=START_NS)["text"]) == 0
        assert opened.table("inputs")["body"].shape == (0,)
        first, second = opened.raw()
        assert second.first_sample == first.first_sample + len(first.samples) + 200
        assert opened.to_utc_ns(START_NS + 5) == UTC_NS + 5
        theirs = opened.spikes(site="zurich")["time_ns"]
        assert (opened.to_own_ns("zurich", theirs) == theirs - OFFSET_NS).all()
        assert opened.to_own_ns("nowhere", [1, 2]).tolist() == [1, 2]
        with pytest.raises(RecordingError, match="no table 'x'; there are inputs, spikes"):
            opened.table("x")
        with pytest.raises(RecordingError, match="no such column"):
            opened.query("SELECT one FROM notes")


@pytest.mark.parametrize("command", ["info", "report", "replay"])
def test_what_is_no_session_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "session.json" in said
    assert said.count("\n") == 1


def test_a_foreign_record_has_no_replay(session: Path) -> None:
    assert "limits in force" in replay(session).difference


def test_what_the_site_file_says_goes_into_the_recording() -> None:
    text = (CHAIN / "padova.toml").read_bytes()
    site = parse(text, Site, "padova.toml")
    metadata = msgspec.convert(metadata_of(site, dt.date(2020, 1, 22)), Metadata)
    assert metadata.about.experimenters == ("Demonstration, Program",)
    assert metadata.cultures["mea1"].species == "Rattus norvegicus"
    assert metadata.cultures["mea1"].days_in_vitro == 21
    text = (CHAIN / "southampton.toml").read_bytes()
    devices = text.replace(b'name = "w12b21"', b'name = "w12b21"\nwafer = "W7"\ndie = "3,4"')
    metadata = msgspec.convert(
        metadata_of(parse(devices, Site, "southampton.toml"), dt.date(2020, 1, 1)), Metadata
    )
    assert metadata.culture_elsewhere is not None
    assert metadata.culture_elsewhere.site == "padova"
    assert metadata.culture_elsewhere.days_in_vitro == 0
    assert metadata.devices["w12b21"] == DeviceInfo(wordline=12, bitline=21, wafer="W7", die="3,4")
    for wrong in (b"rat", b"Rattus Norvegicus"):
        with pytest.raises(ConfigError, match="species"):
            parse(
                (CHAIN / "padova.toml").read_bytes().replace(b"Rattus norvegicus", wrong),
                Site,
                "padova.toml",
            )


@pytest.mark.parametrize(
    "table", ["spikes", "psps", "audit", "device_reads", "device_pulses", "withheld_psps"]
)
def test_any_minute_of_a_large_table_is_found_by_its_index(session: Path, table: str) -> None:
    with recording.open(session) as opened:
        text = f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE time_ns >= 1 AND time_ns < 2"
        plan = " ".join(row[-1] for row in opened.query(text))
    assert f"USING INDEX {table}_by_time" in plan
