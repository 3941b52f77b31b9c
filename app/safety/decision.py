"""What deciding upon an input leads to, and what the decider asks about one instrument."""

from typing import Protocol

import msgspec

from app.safety.audit import AuditRow
from app.safety.dose import Dose
from app.safety.requests import Refusal
from drivers.permit import Action


class ActuatorJudge(Protocol):
    """What the Gate asks about one instrument."""

    @property
    def refuses_simulated(self) -> bool:
        """Say whether causes that are not real are refused."""

    def describe(self, action: Action) -> str:
        """Return what would happen, in words."""

    def refuse_target(self, action: Action) -> Refusal | None:
        """Return why this instrument cannot do such an action at all, or None."""

    def refuse(
        self, action: Action, *, is_spike_caused: bool, queue_length: int, now_ns: int
    ) -> Refusal | None:
        """Return why it may not be done now, or None; asked for known targets only."""

    def count(self, action: Action, *, is_spike_caused: bool, now_ns: int) -> tuple[Dose, ...]:
        """Count what was permitted; return what it gives to whom."""

    def count_past(self, target: str, time_ns: int, n_pulses: int, charge_fc: int) -> None:
        """Count what earlier sessions gave to a target."""


class Permitted(msgspec.Struct, frozen=True):
    """What a permit may be made of."""

    number: int
    instrument: str
    action: Action
    until_ns: int
    """End of the arming under which it was permitted."""


class Decision(msgspec.Struct, frozen=True):
    """What one input led to."""

    refusal: Refusal | None = None
    permitted: Permitted | None = None
    row: AuditRow | None = None
    """To be written before anybody acts on the decision."""
    doses: tuple[Dose, ...] = ()
    """What the permit gives to electrodes or devices."""
