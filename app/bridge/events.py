"""What a link tells its engine. All frozen; `site` is the peer's name."""

import enum
from dataclasses import dataclass

import msgspec

from app.bridge.bodies import Hello
from app.core.spikes import PspRecords, SpikeBatch


class LinkState(enum.StrEnum):
    """How far a link can be relied on."""

    DOWN = "down"
    GREETING = "greeting"
    """Connected and authenticated; the HELLOs are under way."""
    UP = "up"
    SUSPECT = "suspect"
    """Silent for a moment: nothing that comes over it may stimulate until it speaks again."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The link's state is another one now."""

    site: str
    state: LinkState
    reason: str


@dataclass(frozen=True, slots=True)
class PeerKnown:
    """The peer has said who it is; `is_new_session`: it began anew since we last heard of it."""

    site: str
    hello: Hello
    is_new_session: bool


class SpikesReceived(msgspec.Struct, frozen=True, eq=False):
    """A batch of spikes, each exactly once and in order of seq within its session."""

    site: str
    session: str
    seq: int
    batch: SpikeBatch
    is_resend: bool
    age_bound_ns: int | None
    """Upper bound of the age of the batch when it was received; None: not known."""
    received_ns: int


class PspsReceived(msgspec.Struct, frozen=True, eq=False):
    """A batch of PSPs; as `SpikesReceived`."""

    site: str
    session: str
    seq: int
    records: PspRecords
    is_resend: bool
    age_bound_ns: int | None
    received_ns: int


@dataclass(frozen=True, slots=True)
class GapDeclared:
    """These frames of the peer's session will never come."""

    site: str
    session: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class PeerGate:
    """The peer's Gate changed state, or an emergency stop was pressed there."""

    site: str
    arm_state: int
    stop_mark: int
    is_new_stop: bool
    """Its stop mark changed, or it was tripped with one when the link came up."""


@dataclass(frozen=True, slots=True)
class OffsetKnown:
    """The peer's clock minus ours, to within `uncertainty_ns`."""

    site: str
    offset_ns: int
    uncertainty_ns: int
    rtt_ns: int


LinkEvent = (
    StateChanged | PeerKnown | SpikesReceived | PspsReceived | GapDeclared | PeerGate | OffsetKnown
)
