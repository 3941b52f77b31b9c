"""One link as plain values, for consoles and metrics."""

from dataclasses import asdict
from typing import Any

from msgspec import structs

from app.bridge.peers import LinkStatus


def link_status(
    link: LinkStatus,
    now_ns: int,
    *,
    our_experiment_hash: str,
    n_refused: int,
    certificate_days_left: float | None,
) -> dict[str, Any]:
    """Return what is shown of a link; ages are in seconds, and None where nothing has been."""
    return {
        "site": link.site,
        "state": link.state.value,
        "for_s": _age_s(link.since_ns, now_ns),
        "reason": link.reason,
        "age_of_last_frame_s": _age_s(link.last_frame_ns, now_ns),
        "age_of_last_event_sent_s": _age_s(link.last_event_sent_ns, now_ns),
        "age_of_last_event_received_s": _age_s(link.last_event_received_ns, now_ns),
        "latency": link.latency and asdict(link.latency),
        "rtt_ns": link.rtt_ns,
        "offset_ns": link.offset_ns,
        "uncertainty_ns": link.uncertainty_ns,
        "has_our_experiment": link.experiment_hash == our_experiment_hash,
        "n_events_refused": n_refused,
        "certificate_days_left": certificate_days_left,
        **structs.asdict(link.counts),
    }


def _age_s(then_ns: int, now_ns: int) -> float | None:
    return (now_ns - then_ns) / 1e9 if then_ns else None
