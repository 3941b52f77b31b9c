"""What a console shows of the Gate."""

from dataclasses import dataclass

from app.safety.decider import Decider
from app.safety.state import GateState
from drivers.smu.protocol import DeviceAddress


@dataclass(frozen=True, slots=True)
class LeaseView:
    """One lease; `is_needed` by the present arming."""

    name: str
    limit_ns: int
    is_fresh: bool
    is_needed: bool


@dataclass(frozen=True, slots=True)
class FrozenDevice:
    """A direction of a device that takes no further pulse until a person says so."""

    instrument: str
    device: str
    direction: int
    """+1 raises the resistance, -1 lowers it."""
    reason: str


@dataclass(frozen=True, slots=True)
class SpentPulses:
    """Pulses permitted in a device's life, over all sessions, and how many may be."""

    instrument: str
    device: str
    address: DeviceAddress
    n_pulses: int
    budget_pulses: int


@dataclass(frozen=True, slots=True)
class GateSnapshot:
    """The Gate at one moment."""

    state: GateState
    since_ns: int
    who: str
    reason: str
    expires_ns: int | None
    is_by_program: bool
    stop_epoch: int
    n_trips: int
    n_requests: int
    n_permits: int
    n_refusals: tuple[tuple[str, int], ...]
    """(reason, count), in order of the reasons' words."""
    last_refusal: str | None
    n_unreported: int
    """Permits whose delivery was not reported yet."""
    n_given_up: int
    """Permits whose delivery nobody reported for so long that they are no longer waited for."""
    leases: tuple[LeaseView, ...]
    blocks: tuple[tuple[str, str], ...]
    frozen_devices: tuple[FrozenDevice, ...]
    spent: tuple[SpentPulses, ...]
    limits_version: str
    audit_head: str
    """`chain` of the newest audit row."""


def take_snapshot(decider: Decider) -> GateSnapshot:
    """Copy what is to be shown; the caller holds the Gate's lock."""
    arming = decider.arming
    return GateSnapshot(
        state=arming.state,
        since_ns=arming.since_ns,
        who=arming.who,
        reason=arming.reason,
        expires_ns=arming.expires_ns,
        is_by_program=arming.is_by_program,
        stop_epoch=arming.stop_epoch,
        n_trips=arming.n_trips,
        n_requests=decider.n_requests,
        n_permits=decider.n_permits,
        n_refusals=tuple(sorted((r.value, n) for r, n in decider.n_refusals.items())),
        last_refusal=decider.last_refusal,
        n_unreported=decider.deliveries.n_unreported,
        n_given_up=decider.deliveries.n_given_up,
        leases=_leases(decider),
        blocks=tuple(sorted(arming.blocks.items())),
        frozen_devices=_frozen(decider),
        spent=_spent(decider),
        limits_version=decider.limits_version,
        audit_head=decider.chain.head,
    )


def _leases(decider: Decider) -> tuple[LeaseView, ...]:
    arming = decider.arming
    return tuple(
        LeaseView(
            name=lease.name,
            limit_ns=lease.limit_ns,
            is_fresh=lease.name in arming.fresh,
            is_needed=arming.state is GateState.ARMED and arming.is_needed(lease),
        )
        for lease in arming.leases.values()
    )


def _frozen(decider: Decider) -> tuple[FrozenDevice, ...]:
    return tuple(
        FrozenDevice(instrument, name, direction, reason)
        for instrument, array in decider.arrays.items()
        for name, direction, reason in array.frozen()
    )


def _spent(decider: Decider) -> tuple[SpentPulses, ...]:
    return tuple(
        SpentPulses(instrument, name, address, n_spent, array.budget(address))
        for instrument, array in decider.arrays.items()
        for name, address, n_spent in array.spent()
    )
