"""`/metrics`: what a real engine shows to Prometheus, and that nobody can hold it up."""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from bridge_rig import wait_until
from prometheus_client.parser import text_string_to_metric_families

from app.config.load import load_site
from app.config.site import Metrics
from app.demo.files import DemoSettings, prepare_files
from app.engine.metrics import LINK_COUNTERS, LINK_GAUGES, MetricsServer, _links, served


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the engine of Zurich shows, a mock chip behind it and its peer not there."""
    _, site_files = prepare_files(DemoSettings(out=tmp_path_factory.mktemp("metrics")))
    site_file, port = site_files["zurich"], free_port()
    with site_file.open("a") as file:
        file.write(f"\n[metrics]\nport = {port}\n")
    assert load_site(site_file).metrics == Metrics(port=port)
    command = [sys.executable, "-m", "app.cli", "run", str(site_file), "--mock"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        text = ""

        def is_answered() -> bool:
            nonlocal text
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                text = scrape(port)
            assert process.poll() is None, "the engine ended"
            return 'spikebridge_gate_state{state="disarmed"} 1.0' in text

        try:
            wait_until(is_answered, limit_s=40)
            yield text
        finally:
            process.terminate()
            process.wait(20)


def test_a_page_of_a_running_engine_holds_what_dashboards_need(page: str) -> None:
    families = {family.name: family for family in text_string_to_metric_families(page)}
    for name in (
        "spikebridge_chip_spikes", "spikebridge_gate_state", "spikebridge_refusals",
        "spikebridge_link_state", "spikebridge_link_events_sent", "spikebridge_link_events_lost",
        "spikebridge_link_certificate_days_left", "spikebridge_loop_latency_seconds",
        "spikebridge_event_log_rows", "spikebridge_disk_free_bytes", "process_cpu_seconds",
        "process_resident_memory_bytes",
    ):  # fmt: skip
        assert name in families, name
    state = {s.labels["state"]: s.value for s in families["spikebridge_gate_state"].samples}
    assert state == {"boot": 0.0, "disarmed": 1.0, "armed": 0.0, "tripped": 0.0}
    link = {s.labels["state"]: s.value for s in families["spikebridge_link_state"].samples}
    assert sum(link.values()) == 1.0
    assert link["up"] == 0.0, "its peer is not there"
    (free,) = families["spikebridge_disk_free_bytes"].samples
    assert free.value > 1e6


def test_off_unless_the_site_says_so_and_then_on_loopback() -> None:
    chain = Path(__file__).parents[1] / "app" / "demo" / "chain2020"
    assert load_site(chain / "zurich.toml").metrics is None
    assert Metrics().host == "127.0.0.1"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"port": 70_000}, Metrics)


def test_a_client_that_says_nothing_delays_the_next_and_no_more(tmp_path: Path) -> None:
    failures: list = []
    server = MetricsServer(Metrics(port=0), lambda *failure: failures.append(failure))
    status = {
        "gate": {"state": "tripped", "n_permits": 3, "n_refusals": {"late": 2}},
        "links": [],
        "amplifier": None,
        "chip_spikes": 0,
        "n_unusable_psps": 0,
        "n_strangers": 0,
        "event_log": {"n_rows": 1, "n_rows_lost": 0, "is_writable": True, "commit_p99_s": None},
        "loop_latency": [0] * 42,
        "certificate_days_left": None,
    }
    server.show(lambda: status, tmp_path)
    with served(server), socket.create_connection(("127.0.0.1", server.port)) as silent:
        silent.sendall(b"GET")
        begin_s = time.monotonic()
        assert 'spikebridge_refusals_total{reason="late"} 2.0' in scrape(server.port)
        assert time.monotonic() - begin_s < 30
    assert failures == []
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), 1.0)


def link_status(state: str) -> dict:
    spread = {"min_ns": 1_000_000, "p50_ns": 2_000_000, "p99_ns": 5_000_000}
    counters = dict.fromkeys(LINK_COUNTERS, 7)
    gauges = dict.fromkeys(LINK_GAUGES, None)
    latency = {"there": spread, "back": spread, "round_trip": spread}
    return {**gauges, **counters, "site": "padova", "state": state, "latency": latency,
            "age_of_last_frame_s": 0.02, "age_of_last_event_received_s": 3.0, "rtt_ns": 4_000_000,
            "offset_ns": -3_600 * 10**9, "uncertainty_ns": 2_000_000}  # fmt: skip


@pytest.mark.parametrize("state", ["up", "suspect", "down"])
def test_a_link_is_told_in_seconds_and_what_was_measured_only_while_it_is_heard(state: str) -> None:
    shown = {
        (sample.name.removeprefix("spikebridge_link_"), *sample.labels.values()): sample.value
        for family in _links([link_status(state)])
        for sample in family.samples
    }
    assert shown["age_of_last_frame_seconds", "padova"] == 0.02
    assert shown["age_of_last_event_received_seconds", "padova"] == 3.0
    assert ("age_of_last_event_sent_seconds", "padova") not in shown, "none has been sent"
    assert shown["frames_lost_total", "padova"] == 7
    assert shown["state", "padova", state] == 1.0
    measured = {
        ("round_trip_seconds", "padova"): 0.004,
        ("clock_offset_seconds", "padova"): -3600.0,
        ("clock_uncertainty_seconds", "padova"): 0.002,
        ("latency_seconds", "padova", "back", "0.99"): 0.005,
        ("latency_seconds", "padova", "round_trip", "0.5"): 0.002,
    }
    for name, value in measured.items():
        assert shown.get(name) == (None if state == "down" else pytest.approx(value)), name


def test_an_address_that_is_taken_is_named_at_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        MetricsServer(Metrics(port=taken.getsockname()[1]), lambda *_failure: None)
