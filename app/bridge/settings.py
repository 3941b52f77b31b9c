"""What a link is told when it is made, and what it counts."""

from dataclasses import dataclass

import msgspec

from app.bridge.bodies import StreamInfo

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Times and sizes of every link; the defaults are the protocol's."""

    heartbeat_ns: int = 50 * MS
    suspect_ns: int = 400 * MS
    down_ns: int = 2000 * MS
    hello_ns: int = 3000 * MS
    ack_ns: int = 50 * MS
    ring_age_ns: int = 60_000 * MS
    ring_bytes: int = 16 * 2**20
    late_after_ns: int = 400 * MS
    """A frame that waited longer than this before it was written goes out as RESEND."""
    offset_ns: int = 1000 * MS
    """How often a changed offset is told."""


@dataclass(frozen=True, slots=True)
class LocalSite:
    """What we say of ourselves in HELLO."""

    site: str
    session: str
    experiment_hash: str
    clock: str
    streams: tuple[StreamInfo, ...]


class LinkCounts(msgspec.Struct, frozen=True):
    """What a link has counted since the engine's start."""

    n_events_sent: int = 0
    """Events put in frames for this peer, delivered or not yet."""
    n_events_received: int = 0
    n_frames_sent: int = 0
    n_frames_received: int = 0
    n_resent: int = 0
    """Our frames that went out again, or late."""
    n_resent_received: int = 0
    """The peer's frames that came marked so."""
    n_duplicates: int = 0
    n_frames_lost: int = 0
    """Frames of the peer that were declared missing."""
    n_events_lost: int = 0
    """Our events that fell off the ring before the peer acknowledged them."""
    n_unacknowledged: int = 0
    n_reconnects: int = 0
