"""Look whether a session's audit is as it was written, and nothing moved without a row in it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.recording.reader import SessionReader
from app.recording.rows import AuditRecordRow, DeliveryRow, DevicePulseRow
from app.safety.audit import GENESIS, AuditKind, AuditRow, DeliveryOutcome, verify_chain

NOT_SENT = frozenset({"refused", "late", "not sent"})
"""Verdicts on wanted pulses of which no byte left."""


@dataclass(slots=True)
class AuditReport:
    """What the audit of one session says."""

    n_rows: int = 0
    n_permits: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """By reason."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """Of permits, by what became of them."""
    limits_versions: list[str] = field(default_factory=list)
    head: str = ""
    """`chain` of the last row: kept elsewhere, it proves that none was cut off at the end."""
    faults: list[str] = field(default_factory=list)
    """Sentences; an empty list: nothing is wrong."""

    @property
    def n_unreported(self) -> int:
        """Get how many permits nobody reported on, because the engine died."""
        return self.n_permits - self.outcomes.total()


def audit(session: SessionReader, head: str | None = None) -> AuditReport:
    """Check a session's audit chain, and hold what was sent against what was permitted.

    `head` is a chain value noted earlier, from `spikebridge audit` or a status: it must occur.
    """
    report = AuditReport()
    permits: set[int] = set()
    seen_head = head in (None, GENESIS)
    rows = session.rows(AuditRecordRow)
    fault = verify_chain(AuditRow(AuditKind(row.kind), *row[1:]) for row in rows if _is_known(row))
    if fault is not None:
        report.faults.append(fault.sentence)
    for row in rows:
        seen_head = seen_head or row.chain == head
        _count(row, report, permits)
    if not seen_head:
        report.faults.append(f"no row has the chain value {head}: rows are missing at the end")
    report.faults += _sent_without_permit(session, permits)
    return report


def _is_known(row: AuditRecordRow) -> bool:
    return row.kind in set(AuditKind)


def _count(row: AuditRecordRow, report: AuditReport, permits: set[int]) -> None:
    report.n_rows += 1
    report.head = row.chain
    if row.limits_version not in report.limits_versions:
        report.limits_versions.append(row.limits_version)
    if row.kind == AuditKind.DELIVERY:
        report.outcomes[row.verdict] += 1
        if row.number not in permits:
            report.faults.append(f"request {row.number}: reported as {row.verdict}, not permitted")
    elif row.kind != AuditKind.REQUEST:
        report.faults.append(f"row {report.n_rows}: kind {row.kind!r} is not known")
    elif row.verdict == "permit":
        permits.add(row.number)
        report.n_permits += 1
    else:
        report.refusals[row.reason] += 1


def _sent_without_permit(session: SessionReader, permits: set[int]) -> Iterator[str]:
    for delivery in session.rows(DeliveryRow):
        was_sent = delivery.outcome != DeliveryOutcome.NOT_DELIVERED
        if was_sent and delivery.request_number not in permits:
            yield f"delivery of request {delivery.request_number}: was sent, not permitted"
    for pulse in session.rows(DevicePulseRow):
        if pulse.verdict not in NOT_SENT and pulse.request_number not in permits:
            yield f"pulse on {pulse.device} at {pulse.time_ns} ns: was sent, not permitted"
