"""What the Gate is asked, and what it answers."""

import enum
from dataclasses import dataclass

import msgspec

from app.core.spikes import Provenance
from drivers.permit import Action, Permit


class CauseKind(enum.StrEnum):
    """What made somebody ask."""

    PSP = "psp"
    RULE = "rule"
    PROTOCOL = "protocol"
    OPERATOR = "operator"


class Cause(msgspec.Struct, frozen=True):
    """Why something shall move."""

    kind: CauseKind
    site: str
    """The site whose link brought it; our own for what began here."""
    synapse: int | None
    provenance: Provenance
    """The least real thing that had a part in it."""
    detail: str
    """Spike, rule decision or operator's name: for the audit."""


class Request(msgspec.Struct, frozen=True):
    """One wish to move something, with its reason and its age.

    Numbers are plain Python ints and floats: anything else is refused as malformed.
    """

    instrument: str
    action: Action
    cause: Cause
    made_ns: int
    """Host time at which this request was made."""
    age_bound_ns: int | None
    """Upper bound of the cause's age at `made_ns`; None: not known, so never in time."""
    deadline_ns: int | None
    """Largest age at which it may still be done (a duration). A PSP always has one."""


class RefusalReason(enum.StrEnum):
    """Why not, in a few words that counters and figures use."""

    # the Gate as a whole
    BOOT = "boot"
    DISARMED = "disarmed"
    TRIPPED = "tripped"
    ARM_EXPIRED = "arm expired"
    # the request
    PLAYBACK = "playback cannot stimulate"
    UNKNOWN_INSTRUMENT = "unknown instrument"
    UNKNOWN_TARGET = "unknown target"
    MALFORMED = "malformed"
    PROVENANCE = "provenance"
    LINK_STALE = "link stale"
    LATE = "late"
    # a pattern
    CURRENT = "current"
    CHARGE = "charge"
    CHARGE_DENSITY = "charge density"
    SHANNON = "shannon k"
    BALANCE = "balance"
    POLARITY = "polarity"
    PHASE_WIDTH = "phase width"
    N_PULSES = "pulses"
    N_ELECTRODES = "electrodes at once"
    DURATION = "duration"
    # how often
    INTERVAL = "interval"
    RATE = "rate"
    REMOTE_RATE = "remote rate"
    CULTURE_RATE = "culture rate"
    DUTY = "duty"
    RESIDUAL = "residual charge"
    HOUR_DOSE = "hour dose"
    DAY_DOSE = "day dose"
    QUEUE = "queue"
    # a device
    AMPLITUDE = "amplitude"
    WIDTH = "width"
    UNREAD = "not read"
    WINDOW = "window"
    FROZEN = "frozen"
    BUDGET = "budget"
    FORMING = "forming"
    # arming
    WRONG_STATE = "wrong state"
    NOT_ENTITLED = "not entitled"
    NO_ACTUATOR = "no actuator"
    NO_NAME = "no name or reason"
    EXPIRY = "expiry"
    BLOCKED = "blocked"
    LEASE_STALE = "lease stale"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no, for counters and for people."""

    reason: RefusalReason
    sentence: str
    """Who, which value with unit, what was allowed, what to do."""


Verdict = Permit | Refusal


def is_spike_caused(cause: Cause, own_site: str) -> bool:
    """Say whether the limits for remote causes count: a spike or another site is behind it."""
    return cause.kind in (CauseKind.PSP, CauseKind.RULE) or cause.site != own_site
