"""The Gate: the only place where a permit is made."""

import math
import threading
from collections.abc import Callable, Iterable, Mapping

from app.core.clock import ClockNs
from app.safety.audit import DeliveryOutcome
from app.safety.decider import Decider
from app.safety.decision import Decision
from app.safety.device_inputs import (
    record_forming,
    record_freeze,
    record_reading,
    record_unfreeze,
)
from app.safety.electrode import femto
from app.safety.gate_seams import OnAudit, OnDose, OnInput, OnTrip, StopLatch
from app.safety.inputs import (
    AcknowledgeTrip,
    Arm,
    Block,
    BootDone,
    DeliveryReported,
    Disarm,
    EmergencyStop,
    GateInput,
    LeaseChange,
    LimitsUntil,
    PastDose,
    Tick,
    Trip,
    record_request,
    text,
    to_record,
    whole,
)
from app.safety.leases import Lease, LeaseWatch
from app.safety.profiles import ActuatorProfile
from app.safety.quantity import amount
from app.safety.requests import Refusal, RefusalReason, Request, Verdict
from app.safety.snapshot import GateSnapshot, take_snapshot
from app.safety.state import GateState
from app.safety.upkeep import record_upkeep
from drivers.permit import PERMIT_LIFE_NS, Permit, Upkeep
from drivers.smu.protocol import DeviceAddress


class Gate:
    """Stands between every wish and every output of a site. Any thread may call anything.

    One lock; under it, each call becomes an input that is first handed to `on_input` and then
    decided by the pure `Decider`. None of the callbacks may call the Gate. If `on_input`,
    `on_dose` or `on_audit` raises, nothing is permitted, the Gate trips, and the exception goes on
    to the caller.

    A trip, an emergency stop and a disarming first set a flag that drivers look at when they
    deliver, before they wait for the lock.

    Raises
    ------
    ValueError
        A profile's limits may not be in force (see `check_profile`).
    """

    def __init__(
        self,
        site: str,
        actuators: Mapping[str, ActuatorProfile],
        leases: Iterable[Lease],
        clock_ns: ClockNs,
        on_audit: OnAudit,
        on_input: OnInput,
        on_dose: OnDose | None = None,
        on_trip: OnTrip | None = None,
    ) -> None:
        leases = tuple(leases)
        self.site = site
        self._decider = Decider(site, actuators, leases)
        self._watch = LeaseWatch(leases)
        self._clock_ns = clock_ns
        self._on_audit = on_audit
        self._on_input = on_input
        self._on_dose = on_dose
        self._on_trip = on_trip
        self._lock = threading.Lock()
        self._now_ns = 0
        self._latch = StopLatch()
        self._latch.is_stopped = True

    @property
    def is_armed(self) -> bool:
        """Say whether an arming lasts; without the lock."""
        return not self._latch.is_stopped

    def boot_done(self, now_ns: int) -> Refusal | None:
        """Report that outputs were read, logged and switched off: BOOT -> DISARMED."""
        with self._lock:
            return self._apply(BootDone(), now_ns).refusal

    def arm(
        self,
        who: str,
        reason: str,
        now_ns: int,
        expires_ns: int,
        *,
        by_program: bool,
        is_operator: bool,
    ) -> Refusal | None:
        """Arm from DISARMED until `expires_ns`; return why not, or None.

        `is_operator`: the caller has checked that `who` is one of this site's operators.
        `by_program` is possible only where every actuator is a mock.
        """
        end = whole(expires_ns)
        event = Arm(
            who=text(who),
            reason=text(reason),
            expires_ns=end if isinstance(end, int) else None,
            by_program=by_program,
            is_operator=is_operator,
        )
        with self._lock:
            self._note_lapses(now_ns)
            refusal = self._apply(event, now_ns).refusal
            if refusal is None:
                self._latch = StopLatch()
            return refusal

    def disarm(self, who: str, reason: str, now_ns: int) -> None:
        """End the arming, whoever asks; without effect where there is none."""
        self._latch.is_stopped = True
        with self._lock:
            self._apply(Disarm(who=text(who), reason=text(reason)), now_ns)

    def trip(self, reason: str, now_ns: int) -> None:
        """Stop everything and latch. An emergency stop of another site is a trip here."""
        self._latch.is_stopped = True
        with self._lock:
            self._apply(Trip(reason=text(reason)), now_ns)

    def emergency_stop(self, who: str, now_ns: int) -> None:
        """Trip, and raise the stop epoch by which other sites learn of it."""
        self._latch.is_stopped = True
        with self._lock:
            self._apply(EmergencyStop(who=text(who)), now_ns)

    def acknowledge_trip(self, who: str, now_ns: int) -> Refusal | None:
        """Leave TRIPPED for DISARMED, by a named person; return why not, or None."""
        with self._lock:
            return self._apply(AcknowledgeTrip(who=text(who)), now_ns).refusal

    def set_block(self, name: str, sentence: str | None, now_ns: int) -> None:
        """Forbid arming for the reason given, or (None) no longer; an arming goes on."""
        said = None if sentence is None else text(sentence)
        with self._lock:
            self._apply(Block(name=text(name), sentence=said), now_ns)

    def lease_renewed(self, name: str, now_ns: int) -> None:
        """Renew a lease. Raises ValueError if there is none of this name."""
        with self._lock:
            self._note_lapses(now_ns)
            if self._watch.renew(name, now_ns):
                self._apply(LeaseChange(name=name, is_fresh=True, why="renewed"), now_ns)

    def lease_lost(self, name: str, why: str, now_ns: int) -> None:
        """Make a lease stale without waiting for its limit. Raises as `lease_renewed`."""
        with self._lock:
            if self._watch.lose(name):
                self._apply(LeaseChange(name=name, is_fresh=False, why=text(why)), now_ns)

    def tick(self, now_ns: int) -> None:
        """Let time act: lapsed leases and an expired arming trip. Call it every 20 ms or so."""
        with self._lock:
            self._note_lapses(now_ns)
            if self._decider.arming.is_overdue(max(now_ns, self._now_ns)):
                self._apply(Tick(), now_ns)

    def note_reading(
        self, instrument: str, device: DeviceAddress, resistance_ohm: float, now_ns: int
    ) -> None:
        """Tell the resistance of a device; one that is no positive number voids the last one.

        Raises ValueError if there is no such device.
        """
        self._check_device(instrument, device)
        event = record_reading(instrument, device, resistance_ohm)
        with self._lock:
            self._apply(event, now_ns)

    def freeze(
        self, instrument: str, device: DeviceAddress, direction: int, reason: str, now_ns: int
    ) -> None:
        """Permit no further pulse that raises (+1) or lowers (-1) a device's resistance.

        Raises ValueError if there is no such device or direction.
        """
        self._check_device(instrument, device)
        event = record_freeze(instrument, device, direction, reason)
        with self._lock:
            self._apply(event, now_ns)

    def unfreeze(
        self, instrument: str, device: DeviceAddress, direction: int, who: str, now_ns: int
    ) -> Refusal | None:
        """Permit a frozen direction again, by a named person; return why not, or None."""
        event = record_unfreeze(instrument, device, direction, who)
        with self._lock:
            return self._apply(event, now_ns).refusal

    def arm_forming(
        self,
        who: str,
        reason: str,
        instrument: str,
        device: DeviceAddress,
        now_ns: int,
        expires_ns: int,
        *,
        is_operator: bool,
    ) -> Refusal | None:
        """Let one device be formed until `expires_ns`, while armed; return why not, or None.

        It ends with the arming, and with the next device for which it is asked.
        """
        event = record_forming(who, reason, instrument, device, expires_ns, is_operator=is_operator)
        with self._lock:
            self._note_lapses(now_ns)
            return self._apply(event, now_ns).refusal

    def note_past(
        self, instrument: str, target: str, time_ns: int, n_pulses: int, charge_c: float
    ) -> None:
        """Tell what an electrode or device received before this session; in order of time.

        `time_ns` is on this session's clock and lies before its start.

        Raises ValueError once the Gate has booted, for an unknown instrument and for an amount
        below 0.
        """
        is_known = self._decider.knows_instrument(instrument)
        is_early = self._decider.arming.state is GateState.BOOT
        if not (is_known and is_early and n_pulses >= 0 and 0 <= charge_c < math.inf):
            raise ValueError(
                f"{instrument}, {target}: {n_pulses} pulses, {charge_c:g} C of an earlier session, "
                "allowed are amounts from 0 for a known instrument before the boot is done"
            )
        event = PastDose(
            instrument=text(instrument),
            target=text(target),
            time_ns=int(time_ns),
            n_pulses=int(n_pulses),
            charge_fc=femto(charge_c),
        )
        with self._lock:
            self._apply(event, time_ns)

    def set_limits_end(self, until_ns: int, now_ns: int) -> None:
        """Permit no arming beyond `until_ns`: then the limits in force lose their signature."""
        with self._lock:
            self._apply(LimitsUntil(until_ns=min(int(until_ns), 2**62)), now_ns)

    def request(self, request: Request, now_ns: int, queue_length: int = 0) -> Verdict:
        """Decide upon one request; its audit row has been handed over when this returns.

        The permit lives 20 ms from `now_ns`, and not beyond the arming. Wait for the audit row to
        be durable before spending it. `queue_length` counts the requests that wait behind it.
        """
        event = record_request(request, queue_length)
        with self._lock:
            self._note_lapses(now_ns)
            return self._verdict(self._apply(event, now_ns), self._latch.read)

    def request_upkeep(
        self, instrument: str, deed: Upkeep, who: str, reason: str, now_ns: int
    ) -> Verdict:
        """Decide upon something that is done to a stopped amplifier, while disarmed only.

        The permit is void as soon as the state is another one. An uploaded waveform is what later
        requests are judged by once `record_delivery` says that it was delivered.
        """
        event = record_upkeep(instrument, deed, who, reason)
        with self._lock:
            return self._verdict(self._apply(event, now_ns), self._is_not_disarmed)

    def record_delivery(
        self, number: int, outcome: DeliveryOutcome, detail: str, now_ns: int
    ) -> None:
        """Add what became of permit `number` to the audit, as a row of its own."""
        event = DeliveryReported(number=number, outcome=outcome.value, detail=text(detail))
        with self._lock:
            self._apply(event, now_ns)

    def snapshot(self) -> GateSnapshot:
        """Return the present state."""
        with self._lock:
            return take_snapshot(self._decider)

    def _is_not_disarmed(self) -> bool:
        return self._decider.arming.state is not GateState.DISARMED

    def _verdict(self, decision: Decision, is_stopped: Callable[[], bool]) -> Verdict:
        permitted = decision.permitted
        if permitted is None:
            # Every request gets one or the other; should one ever get neither, it is a no.
            return decision.refusal or Refusal(RefusalReason.DISARMED, f"{self.site}: no verdict")
        return Permit(
            instrument=permitted.instrument,
            action=permitted.action,
            number=permitted.number,
            expires_ns=min(self._now_ns + PERMIT_LIFE_NS, permitted.until_ns),
            is_tripped=is_stopped,
            clock_ns=self._clock_ns,
        )

    def _note_lapses(self, now_ns: int) -> None:
        """Turn the passing of time into recorded inputs; the lock is held."""
        for lease in self._watch.lapsed(max(now_ns, self._now_ns)):
            why = f"not renewed within {amount(lease.limit_ns / 1e9, 's')}"
            self._apply(LeaseChange(name=lease.name, is_fresh=False, why=why), now_ns)

    def _apply(self, event: GateInput, now_ns: int) -> Decision:
        """Record an input, decide upon it, hand over its audit row; the lock is held.

        Threads read the clock before they get the lock: time is not let run backwards in here.
        """
        self._now_ns = max(self._now_ns, now_ns)
        was_tripped = self._decider.arming.state is GateState.TRIPPED
        is_done = False
        try:
            self._on_input(*to_record(event), self._now_ns)
            decision = self._decider.apply(event, self._now_ns)
            if decision.row is not None:
                if decision.doses and self._on_dose is not None:
                    self._on_dose(decision.row.number, self._now_ns, decision.doses)
                self._on_audit(decision.row)
            is_done = True
        finally:
            if not is_done:
                self._stop_unheard(event)
            arming = self._decider.arming
            if arming.state is not GateState.ARMED:
                self._latch.is_stopped = True
            if arming.state is GateState.TRIPPED and not was_tripped and self._on_trip is not None:
                self._on_trip(arming.reason)
        return decision

    def _stop_unheard(self, event: GateInput) -> None:
        # What cannot be recorded must not move anything; a stop holds even if nobody hears of it.
        stop = event if isinstance(event, EmergencyStop) else Trip(reason="record not writable")
        self._decider.apply(stop, self._now_ns)

    def _check_device(self, instrument: str, device: DeviceAddress) -> None:
        if not self._decider.knows_device(instrument, device):
            raise ValueError(f"{instrument}: has no device at {device.wordline}, {device.bitline}")
