"""Where peers are, and what a bridge shows of the links to them."""

from dataclasses import dataclass

import msgspec

from app.bridge.bodies import StreamInfo
from app.bridge.events import LinkState
from app.bridge.latency import LatencyFigures
from app.bridge.link import Link
from app.bridge.settings import LinkCounts


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer listens; without host it dials us."""

    site: str
    host: str | None = None
    port: int | None = None
    streams: tuple[StreamInfo, ...] | None = None
    """Those of our streams that this peer may receive and is told of; None: all."""


class LinkStatus(msgspec.Struct, frozen=True):
    """One link at one moment."""

    site: str
    state: LinkState
    since_ns: int
    reason: str
    last_frame_ns: int
    last_event_sent_ns: int
    last_event_received_ns: int
    latency: LatencyFigures | None
    rtt_ns: int | None
    offset_ns: int | None
    uncertainty_ns: int | None
    experiment_hash: str
    counts: LinkCounts


def status_of(link: Link) -> LinkStatus:
    """Return a snapshot of a link."""
    offset_ns, uncertainty_ns = link.offset or (None, None)
    return LinkStatus(
        site=link.peer,
        state=link.state,
        since_ns=link.state_since_ns,
        reason=link.reason,
        last_frame_ns=link.last_frame_ns,
        last_event_sent_ns=link.outbound.ring.last_event_ns,
        last_event_received_ns=link.last_event_received_ns,
        latency=link.latency,
        rtt_ns=link.rtt_ns,
        offset_ns=offset_ns,
        uncertainty_ns=uncertainty_ns,
        experiment_hash="" if link.hello is None else link.hello.experiment_hash,
        counts=link.counts,
    )
