"""`/metrics` for Prometheus: the engine's status as numbers, made when somebody asks.

Off unless `[metrics]` stands in site.toml, and then on loopback unless it names another address:
there is no password on it, and it only tells.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.config.site import Metrics
from app.core.worker import OnFailure, Worker
from app.engine.loop_latency import EDGES_S

log = logging.getLogger(__name__)

PREFIX = "spikebridge_"
POLL_S = 0.2
CLIENT_LIMIT_S = 2.0
GATE_STATES = ("boot", "disarmed", "armed", "tripped")
LINK_STATES = ("down", "greeting", "up", "suspect")
HEARD_STATES = ("up", "suspect")

Status = Mapping[str, Any]

LINK_COUNTERS = {
    "n_events_sent": "Events put in frames for this peer",
    "n_events_received": "Events received from this peer",
    "n_frames_lost": "Frames of this peer that were declared missing",
    "n_events_lost": "Our events that this peer never acknowledged",
    "n_resent": "Frames sent again or late",
    "n_resent_received": "Frames of this peer that came again or late",
    "n_duplicates": "Frames received twice and dropped",
    "n_events_refused": "Events that this peer's key may not send",
    "n_reconnects": "Connections after the first",
}
LINK_GAUGES = {
    "age_of_last_frame_s": ("age_of_last_frame_seconds", "Since the last frame of this peer", 1.0),
    "age_of_last_event_sent_s": ("age_of_last_event_sent_seconds", "Since our last event", 1.0),
    "age_of_last_event_received_s": (
        "age_of_last_event_received_seconds",
        "Since the last event of this peer",
        1.0,
    ),
    "rtt_ns": ("round_trip_seconds", "Shortest round trip of the last seconds", 1e-9),
    "offset_ns": ("clock_offset_seconds", "The peer's clock minus ours", 1e-9),
    "uncertainty_ns": ("clock_uncertainty_seconds", "Half width of the clock offset", 1e-9),
    "n_unacknowledged": ("unacknowledged_frames", "Frames not yet on record at the peer", 1.0),
    "certificate_days_left": ("certificate_days_left", "Until the peer's key expires", 1.0),
}

MEASURED = ("rtt_ns", "offset_ns", "uncertainty_ns")
"""What is about now only while the peer is heard."""


class EngineCollector(Collector):
    """Turns one status into metrics."""

    def __init__(self, status: Callable[[], Status], session_folder: Path) -> None:
        self._status = status
        self._session_folder = session_folder

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it stands now."""
        # As consoles see it: records as objects, and what is not known as null.
        status = msgspec.json.decode(msgspec.json.encode(self._status()))
        yield from _gate(status["gate"])
        yield from _links(status["links"])
        yield from _sources(status)
        yield from _event_log(status["event_log"])
        yield _loop_latency(status["loop_latency"])
        free_bytes = shutil.disk_usage(self._session_folder).free
        yield _gauge("disk_free_bytes", "Free where the session is written", free_bytes)
        if status["certificate_days_left"] is not None:
            days = status["certificate_days_left"]
            yield _gauge("certificate_days_left", "Until our own key expires", days)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _gate(gate: Status) -> Iterator[Metric]:
    state = GaugeMetricFamily(PREFIX + "gate_state", "1 for the state it is in", labels=("state",))
    for name in GATE_STATES:
        state.add_metric((name,), float(gate["state"] == name))
    yield state
    yield _counter("permits", "Requests that the Gate permitted", gate["n_permits"])
    refusals = CounterMetricFamily(
        PREFIX + "refusals", "Requests that the Gate refused", labels=("reason",)
    )
    for reason, n in gate["n_refusals"].items():
        refusals.add_metric((reason,), n)
    yield refusals


def _links(links: list[Status]) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        PREFIX + "link_state", "1 for the state it is in", labels=("site", "state")
    )
    for link in links:
        for name in LINK_STATES:
            state.add_metric((link["site"], name), float(link["state"] == name))
    yield state
    for key, text in LINK_COUNTERS.items():
        counter = CounterMetricFamily(f"{PREFIX}link_{key[2:]}", text, labels=("site",))
        for link in links:
            counter.add_metric((link["site"],), link[key])
        yield counter
    for key, (name, text, unit) in LINK_GAUGES.items():
        gauge = GaugeMetricFamily(f"{PREFIX}link_{name}", text, labels=("site",))
        for link in links:
            is_known = link["state"] in HEARD_STATES or key not in MEASURED
            if link[key] is not None and is_known:
                gauge.add_metric((link["site"],), link[key] * unit)
        yield gauge
    yield _link_latency(links)


def _link_latency(links: list[Status]) -> Metric:
    latency = GaugeMetricFamily(
        PREFIX + "link_latency_seconds",
        "Of the last seconds' heartbeats; one way to within the clock uncertainty",
        labels=("site", "way", "quantile"),
    )
    for link in links:
        if link["latency"] is None or link["state"] not in HEARD_STATES:
            continue
        for way in ("there", "back", "round_trip"):
            for quantile, key in (("0.5", "p50_ns"), ("0.99", "p99_ns")):
                latency.add_metric((link["site"], way, quantile), link["latency"][way][key] / 1e9)
    return latency


def _sources(status: Status) -> Iterator[Metric]:
    amplifier, recording = status["amplifier"], status.get("recording")
    if amplifier is not None:
        yield _counter("samples", "Samples read from the amplifier", amplifier["n_samples"])
        yield _counter("samples_lost", "Samples it did not deliver", amplifier["n_lost"])
        yield _counter("spikes", "Spikes detected", amplifier["n_spikes"])
        yield _counter("stimuli_seen", "Own stimuli in its data", amplifier["n_stimuli"])
        counts = amplifier.get("channels", {})
        yield _gauge("channels_dead", "Noise below the floor", counts.get("n_dead", 0))
        yield _gauge("channels_saturated", "At a rail", counts.get("n_saturated", 0))
        yield _gauge("channels_suspended", "Too many events", counts.get("n_suspended", 0))
        yield _counter("vetoed_events", "On too many channels at once", counts.get("n_vetoed", 0))
    if recording is not None:
        yield _counter("recorded_samples", "Samples on the disk", recording["n_samples"])
        yield _counter("unrecorded_samples", "Samples not written", recording["n_samples_lost"])
    yield _counter("chip_spikes", "Spikes of neuron chips", status["chip_spikes"])
    yield _counter("strangers", "Connections that proved no pinned key", status["n_strangers"])
    yield _counter("unusable_psps", "PSPs that nothing here may do", status["n_unusable_psps"])


def _event_log(event_log: Status) -> Iterator[Metric]:
    yield _counter("event_log_rows", "Rows committed", event_log["n_rows"])
    yield _counter("event_log_rows_lost", "Rows that could not be kept", event_log["n_rows_lost"])
    yield _gauge("event_log_writable", "1 while it is", float(event_log["is_writable"]))
    if event_log["commit_p99_s"] is not None:
        yield _gauge("event_log_commit_p99_seconds", "Of 1024 commits", event_log["commit_p99_s"])


def _loop_latency(counts: list[int]) -> HistogramMetricFamily:
    buckets, n = [], 0
    for edge_s, count in zip((*EDGES_S, float("inf")), counts, strict=True):
        n += count
        buckets.append(("+Inf" if edge_s == float("inf") else f"{edge_s:g}", float(n)))
    text = "From a cause's arrival in this process to its bytes on the instrument's wire"
    return HistogramMetricFamily(
        PREFIX + "loop_latency_seconds", text, buckets=buckets, sum_value=None
    )


class _QuietHandler(WSGIRequestHandler):
    timeout = CLIENT_LIMIT_S
    """A client that asks for nothing may not hold the only place for long."""

    def log_message(self, text: str, *arguments: Any) -> None:
        log.debug(text, *arguments)


class _Server(WSGIServer):
    def handle_error(self, _request: Any, client_address: Any) -> None:
        log.debug("metrics: %s went away", client_address)


class MetricsServer(Worker):
    """Answers one scrape at a time. Raises OSError if its address cannot be had."""

    def __init__(self, where: Metrics, on_failure: OnFailure) -> None:
        super().__init__("metrics", on_failure)
        self._registry = CollectorRegistry()
        self._server = make_server(
            where.host,
            where.port,
            make_wsgi_app(self._registry),
            server_class=_Server,
            handler_class=_QuietHandler,
        )
        self._server.timeout = POLL_S
        self.port = int(self._server.server_port)

    def show(self, status: Callable[[], Status], session_folder: Path) -> None:
        """Say what is to be shown; before the start."""
        self._registry.register(EngineCollector(status, session_folder))
        ProcessCollector(registry=self._registry)

    def step(self) -> None:
        """Answer whoever asks within the next moment."""
        self._server.handle_request()

    def close(self) -> None:
        """Give the address back."""
        self._server.server_close()


@contextmanager
def served(server: MetricsServer | None) -> Iterator[None]:
    """Answer scrapes while the body runs; nothing to do without a server."""
    if server is None:
        yield
        return
    server.start()
    try:
        yield
    finally:
        server.request_stop()
        server.join(CLIENT_LIMIT_S + 1.0)
        server.close()
