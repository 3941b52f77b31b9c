"""The arming state machine: who may let things move, since when, and what ends it."""

import enum
from collections.abc import Iterable, Mapping

from app.core.spikes import Provenance
from app.safety.ceilings import MAX_ARMING_NS
from app.safety.inputs import (
    AcknowledgeTrip,
    Arm,
    Block,
    BootDone,
    Disarm,
    EmergencyStop,
    LeaseChange,
    LimitsUntil,
    StateInput,
    Tick,
    Trip,
)
from app.safety.leases import Lease, LeaseNeed
from app.safety.quantity import amount
from app.safety.requests import Refusal, RefusalReason


class GateState(enum.StrEnum):
    """What the site is ready for."""

    BOOT = "boot"
    """Outputs are being read and switched off."""
    DISARMED = "disarmed"
    """Records and reads; moves nothing."""
    ARMED = "armed"
    """A named person, or a program on mocks, lets things move within the limits."""
    TRIPPED = "tripped"
    """Latched: only a person leads out of it, and only to DISARMED."""


class Arming:
    """BOOT -> DISARMED <-> ARMED -> TRIPPED -> DISARMED. Pure, not thread-safe.

    ```
    BOOT --boot done--> DISARMED --arm--> ARMED --disarm--> DISARMED
    any --trip, emergency stop--> TRIPPED --acknowledge--> DISARMED
    ARMED --needed lease stale, arming expired--> TRIPPED
    ```
    Nothing but `Arm` leads to ARMED, and `Arm` only from DISARMED.
    """

    def __init__(
        self, site: str, leases: Iterable[Lease], provenances: Mapping[str, Provenance]
    ) -> None:
        self.site = site
        self.state = GateState.BOOT
        self.since_ns = 0
        self.who = ""
        self.reason = "start"
        self.expires_ns: int | None = None
        self.stop_epoch = 0
        self.n_trips = 0
        self.is_by_program = False
        self.limits_until_ns: int | None = None
        self.leases = {lease.name: lease for lease in leases}
        self.fresh: set[str] = set()
        self.blocks: dict[str, str] = {}
        self._provenances = dict(provenances)
        self._is_booted = False

    def apply(self, event: StateInput, now_ns: int) -> Refusal | None:
        """Take one input; return why it changed nothing, if somebody asked for a change."""
        match event:
            case Arm():
                return self._arm(event, now_ns)
            case BootDone():
                return self._boot_done(now_ns)
            case AcknowledgeTrip():
                return self._acknowledge(event, now_ns)
            case Disarm():
                if self.state is GateState.ARMED:
                    self._enter(GateState.DISARMED, event.who, event.reason, now_ns)
            case Trip() | EmergencyStop():
                self._stop(event, now_ns)
            case LeaseChange():
                self._lease_change(event, now_ns)
            case Block():
                self._block(event)
            case _:
                self._time_input(event, now_ns)
        return None

    def _time_input(self, event: LimitsUntil | Tick, now_ns: int) -> None:
        if isinstance(event, LimitsUntil):
            self.limits_until_ns = event.until_ns
        else:
            self.expire(now_ns)

    def is_overdue(self, now_ns: int) -> bool:
        """Say whether the arming has outlived its end."""
        if self.state is not GateState.ARMED or self.expires_ns is None:
            return False
        return not (now_ns < self.expires_ns)

    def expire(self, now_ns: int) -> bool:
        """Trip if the arming is overdue; return whether it was."""
        if not self.is_overdue(now_ns):
            return False
        self._trip("", "the arming expired", now_ns)
        return True

    def is_needed(self, lease: Lease) -> bool:
        """Say whether the present arming lives on this lease."""
        if lease.need is LeaseNeed.ARMED_BY_PERSON:
            return not self.is_by_program
        return lease.need is LeaseNeed.ARMED

    def refuse_request(self, now_ns: int) -> Refusal | None:
        """Return why nothing may move now, or None; an overdue arming trips here."""
        if self.expire(now_ns):
            return self._refuse(
                RefusalReason.ARM_EXPIRED, "the arming has expired", "requests before its end"
            )
        if self.state is GateState.ARMED:
            return None
        reason = {
            GateState.BOOT: RefusalReason.BOOT,
            GateState.DISARMED: RefusalReason.DISARMED,
            GateState.TRIPPED: RefusalReason.TRIPPED,
        }[self.state]
        return self._refuse(reason, f"state {self.state} ({self.reason})", "requests while armed")

    def _boot_done(self, now_ns: int) -> Refusal | None:
        if self._is_booted:
            return self._wrong_state("boot can be done only once")
        self._is_booted = True
        if self.state is GateState.BOOT:
            self._enter(GateState.DISARMED, "", "boot done", now_ns)
        return None

    def _arm(self, event: Arm, now_ns: int) -> Refusal | None:
        refusal = self._refuse_arm(event, now_ns)
        if refusal is None:
            self._enter(GateState.ARMED, event.who, event.reason, now_ns)
            self.expires_ns = event.expires_ns
            self.is_by_program = event.by_program
        return refusal

    def _refuse_arm(self, event: Arm, now_ns: int) -> Refusal | None:
        if self.state is not GateState.DISARMED:
            return self._wrong_state("arming is possible from disarmed only")
        return (
            self._refuse_person(event)
            or self._refuse_actuators(event)
            or self._refuse_expiry(event, now_ns)
            or self._refuse_blocks()
            or self._refuse_leases(event)
        )

    def _refuse_person(self, event: Arm) -> Refusal | None:
        if not (event.who.strip() and event.reason.strip()):
            return self._refuse(
                RefusalReason.NO_NAME, "arming without a name or a reason", "with both"
            )
        if not (event.is_operator or event.by_program):
            return self._refuse(
                RefusalReason.NOT_ENTITLED,
                f"{event.who} is no operator of this site",
                "the operators in site.toml",
            )
        return None

    def _refuse_actuators(self, event: Arm) -> Refusal | None:
        playing = sorted(n for n, p in self._provenances.items() if p is Provenance.PLAYBACK)
        if len(playing) == len(self._provenances):
            found = f"{', '.join(playing)}: playback cannot stimulate" if playing else "none at all"
            return self._refuse(
                RefusalReason.NO_ACTUATOR,
                f"no instrument that could move anything ({found})",
                "with a real or a mock one",
            )
        live = sorted(n for n, p in self._provenances.items() if p is Provenance.LIVE)
        if event.by_program and live:
            return self._refuse(
                RefusalReason.NOT_ENTITLED,
                f"a program asks to arm live instruments ({', '.join(live)})",
                "a program on mocks alone; a person must arm this site",
            )
        return None

    def _refuse_expiry(self, event: Arm, now_ns: int) -> Refusal | None:
        if event.expires_ns is None:
            return self._refuse(RefusalReason.EXPIRY, "an arming without an end", "one with an end")
        longest_ns = MAX_ARMING_NS
        why = ""
        if self.limits_until_ns is not None and self.limits_until_ns - now_ns < longest_ns:
            longest_ns = self.limits_until_ns - now_ns
            why = ", when the limits override expires"
        length_ns = event.expires_ns - now_ns
        if 0 < length_ns <= longest_ns:
            return None
        return self._refuse(
            RefusalReason.EXPIRY,
            f"an arming for {amount(length_ns / 1e9, 's')}",
            f"more than 0 and up to {longest_ns / 3600e9:.4g} h{why}",
        )

    def _refuse_blocks(self) -> Refusal | None:
        if not self.blocks:
            return None
        return self._refuse(
            RefusalReason.BLOCKED, "; ".join(self.blocks.values()), "when this is settled"
        )

    def _refuse_leases(self, event: Arm) -> Refusal | None:
        for lease in self.leases.values():
            is_for_all = lease.need is LeaseNeed.ARMED
            is_for_person = lease.need is LeaseNeed.ARMED_BY_PERSON and not event.by_program
            if (is_for_all or is_for_person) and lease.name not in self.fresh:
                return self._refuse(
                    RefusalReason.LEASE_STALE,
                    f"{lease.name} is stale",
                    f"renewed within the last {amount(lease.limit_ns / 1e9, 's')}",
                )
        return None

    def _acknowledge(self, event: AcknowledgeTrip, now_ns: int) -> Refusal | None:
        if self.state is not GateState.TRIPPED:
            return self._wrong_state("there is no trip to acknowledge")
        if not event.who.strip():
            return self._refuse(RefusalReason.NO_NAME, "nobody acknowledges", "a named person")
        if not self._is_booted:
            return self._wrong_state("outputs have not been switched off yet, boot first")
        self._enter(GateState.DISARMED, event.who, "trip acknowledged", now_ns)
        return None

    def _stop(self, event: Trip | EmergencyStop, now_ns: int) -> None:
        if isinstance(event, EmergencyStop):
            self.stop_epoch += 1
            self._trip(event.who, "emergency stop", now_ns)
        else:
            self._trip("", event.reason, now_ns)

    def _lease_change(self, event: LeaseChange, now_ns: int) -> None:
        if event.is_fresh:
            self.fresh.add(event.name)
            return
        self.fresh.discard(event.name)
        if self.state is GateState.ARMED and self.is_needed(self.leases[event.name]):
            self._trip("", f"{event.name}: {event.why}", now_ns)

    def _block(self, event: Block) -> None:
        if event.sentence is None:
            self.blocks.pop(event.name, None)
        else:
            self.blocks[event.name] = event.sentence

    def _trip(self, who: str, reason: str, now_ns: int) -> None:
        self.n_trips += 1
        if self.state is not GateState.TRIPPED:
            self._enter(GateState.TRIPPED, who, reason, now_ns)

    def _enter(self, state: GateState, who: str, reason: str, now_ns: int) -> None:
        self.state, self.since_ns, self.who, self.reason = state, now_ns, who, reason
        self.expires_ns = None
        self.is_by_program = False

    def _wrong_state(self, why: str) -> Refusal:
        return Refusal(
            RefusalReason.WRONG_STATE,
            f"site {self.site}: {why}, state is {self.state} ({self.reason})",
        )

    def _refuse(self, reason: RefusalReason, found: str, allowed: str) -> Refusal:
        return Refusal(reason, f"site {self.site}: {found}, allowed {allowed}; {_REMEDY[reason]}")


_REMEDY = {
    RefusalReason.BOOT: "wait until the outputs are off, then let an operator arm",
    RefusalReason.DISARMED: "an operator must arm",
    RefusalReason.TRIPPED: "a person must acknowledge the trip and arm again",
    RefusalReason.ARM_EXPIRED: "a person must acknowledge the trip and arm again",
    RefusalReason.NO_NAME: "say who and why",
    RefusalReason.NOT_ENTITLED: "ask an operator of this site",
    RefusalReason.NO_ACTUATOR: "configure an instrument",
    RefusalReason.EXPIRY: "give another end",
    RefusalReason.BLOCKED: "settle it and arm again",
    RefusalReason.LEASE_STALE: "see that it runs and arm again",
}
