"""Decide a recorded session again."""

from collections.abc import Iterable, Mapping

from app.safety.audit import AuditRow
from app.safety.decider import Decider
from app.safety.inputs import from_record
from app.safety.leases import Lease
from app.safety.profiles import ActuatorProfile


def replay(
    inputs: Iterable[tuple[str, Mapping[str, object], int]],
    site: str,
    actuators: Mapping[str, ActuatorProfile],
    leases: Iterable[Lease],
) -> list[AuditRow]:
    """Return the audit rows, and so the verdicts, to which recorded inputs lead.

    `inputs` are (kind, body, time in ns) as `on_input` got them; the rest is what the Gate was
    made with. Makes no permit. Raises `msgspec.ValidationError` for an input that is none.
    """
    decider = Decider(site, actuators, leases)
    decisions = (decider.apply(from_record(kind, body), now_ns) for kind, body, now_ns in inputs)
    return [decision.row for decision in decisions if decision.row is not None]
