"""Permits whose delivery nobody has reported yet, and the audit row of a report. Pure."""

from app.safety.audit import AuditKind, AuditRow, DeliveryOutcome
from app.safety.inputs import DeliveryReported
from drivers.mea.protocol import Pattern

MAX_UNREPORTED = 1000
"""Permits whose delivery nobody has reported; older ones are given up and counted."""
_DONE = (DeliveryOutcome.DELIVERED, DeliveryOutcome.DRY_RUN)


class Deliveries:
    """What became of permits. One caller at a time."""

    def __init__(self) -> None:
        self.n_given_up = 0
        self._unreported: dict[int, tuple[AuditRow, Pattern | None]] = {}

    @property
    def n_unreported(self) -> int:
        """Get how many permits wait for a word on their delivery."""
        return len(self._unreported)

    def expect(self, row: AuditRow, upload: Pattern | None = None) -> None:
        """Wait for a word on a permit; `upload` is judged by once that has been delivered."""
        self._unreported[row.number] = (row, upload)
        if len(self._unreported) > MAX_UNREPORTED:
            del self._unreported[next(iter(self._unreported))]
            self.n_given_up += 1

    def reported(self, event: DeliveryReported) -> tuple[AuditRow | None, Pattern | None]:
        """Return the row of the permit (None: it was not waited for) and what was uploaded."""
        row, upload = self._unreported.pop(event.number, (None, None))
        return row, upload if event.outcome in _DONE else None


def delivery_row(
    event: DeliveryReported, request: AuditRow | None, now_ns: int, limits_version: str
) -> AuditRow:
    """Return the row of a report, not linked yet; no `request`: nobody waited for it."""
    return AuditRow(
        kind=AuditKind.DELIVERY,
        number=event.number,
        time_ns=now_ns,
        instrument=request.instrument if request else "",
        action=request.action if request else "",
        cause=request.cause if request else "",
        synapse=request.synapse if request else None,
        verdict=event.outcome,
        reason="" if request else "unknown permit",
        sentence=event.detail,
        limits_version=limits_version,
        previous="",
        chain="",
    )
