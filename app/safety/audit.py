"""The audit: a row for every request before it is answered, chained so that no row can change."""

import enum
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from app.safety.requests import Refusal

GENESIS = "0" * 64
"""What the first row of a session names as its predecessor."""


class AuditKind(enum.StrEnum):
    """What a row reports."""

    REQUEST = "request"
    DELIVERY = "delivery"


class DeliveryOutcome(enum.StrEnum):
    """What became of a permit."""

    DELIVERED = "delivered"
    UNCONFIRMED = "unconfirmed"
    """It may have happened; nothing came back that proves it."""
    NOT_DELIVERED = "not delivered"
    DRY_RUN = "dry run"
    """A recorder took it in an instrument's place; nothing moved."""


class AuditRow(msgspec.Struct, frozen=True):
    """One row. A delivery's has the number of the request that it answers."""

    kind: AuditKind
    number: int
    """Of the request, from 1 in the order of decision."""
    time_ns: int
    instrument: str
    action: str
    """Waveform, charge and charge density; voltage and width; neuron and weight."""
    cause: str
    synapse: int | None
    verdict: str
    """`permit`, `refusal` or a `DeliveryOutcome`."""
    reason: str
    """Of a refusal, in one word; else empty."""
    sentence: str
    limits_version: str
    """SHA-256 of the limits in force."""
    previous: str
    """`chain` of the row before."""
    chain: str
    """SHA-256 over everything above: JSON in UTF-8, keys in order of name, no spaces."""


def request_row(
    *,
    number: int,
    time_ns: int,
    instrument: str,
    action: str,
    cause: str,
    refusal: Refusal | None,
    limits_version: str,
    synapse: int | None = None,
) -> AuditRow:
    """Return the row of a request, not linked yet; no `refusal`: it was permitted."""
    return AuditRow(
        kind=AuditKind.REQUEST,
        number=number,
        time_ns=time_ns,
        instrument=instrument,
        action=action,
        cause=cause,
        synapse=synapse,
        verdict="permit" if refusal is None else "refusal",
        reason="" if refusal is None else refusal.reason,
        sentence="" if refusal is None else refusal.sentence,
        limits_version=limits_version,
        previous="",
        chain="",
    )


@dataclass(frozen=True, slots=True)
class ChainFault:
    """The first row that is not as it was written."""

    index: int
    number: int
    sentence: str


class AuditChain:
    """Links rows, one after the other."""

    def __init__(self, previous: str = GENESIS) -> None:
        self.head = previous

    def link(self, row: AuditRow) -> AuditRow:
        """Return the row with its place in the chain filled in."""
        chain = _digest(row, self.head)
        linked = msgspec.structs.replace(row, previous=self.head, chain=chain)
        self.head = chain
        return linked


def verify_chain(rows: Iterable[AuditRow], previous: str = GENESIS) -> ChainFault | None:
    """Return the first broken row, or None if each row is as written and none is missing between.

    Rows cut off at the end do not show here: compare the last `chain` with one kept elsewhere.
    """
    for index, row in enumerate(rows):
        if row.previous != previous:
            why = "does not follow the row before it: one is missing, added or out of order"
        elif row.chain != _digest(row, previous):
            why = "was changed after it was written"
        else:
            previous = row.chain
            continue
        return ChainFault(index, row.number, f"audit row {index}, request {row.number}: {why}")
    return None


def first_difference(recorded: Sequence[AuditRow], replayed: Sequence[AuditRow]) -> str | None:
    """Return where a replay first decides differently, in a sentence, or None if it never does."""
    for index, (then, now) in enumerate(zip(recorded, replayed, strict=False)):
        for name, value in msgspec.structs.asdict(then).items():
            if getattr(now, name) != value:
                return (
                    f"audit row {index}, request {then.number}: {name} was {value!r}, "
                    f"is {getattr(now, name)!r}"
                )
    if len(recorded) != len(replayed):
        return f"{len(recorded)} audit rows were recorded, {len(replayed)} came from the replay"
    return None


_canonical = msgspec.json.Encoder(order="sorted").encode


def _digest(row: AuditRow, previous: str) -> str:
    content = msgspec.structs.asdict(row)
    del content["chain"]
    content["previous"] = previous
    return hashlib.sha256(_canonical(content)).hexdigest()
