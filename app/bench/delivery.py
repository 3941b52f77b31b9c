"""The way of one pulse: paced, asked of the Gate, audited, sent, reported."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from app.bench.abort import Caller, directly
from app.bench.errors import AbandonedError, AbortedError, BenchError, RefusedError
from app.config.site import Device
from app.core.clock import ClockNs
from app.core.spikes import Provenance
from app.safety.audit import DeliveryOutcome
from app.safety.gate import Gate
from app.safety.requests import Cause, CauseKind, Refusal, RefusalReason, Request
from drivers.errors import InstrumentError, SafetyLimitError, TransportError
from drivers.permit import Permit, PulseDevice
from drivers.smu.protocol import (
    DeviceAddress,
    MeasuresOnDemand,
    PulseOutcome,
    TracesStaircases,
)
from drivers.smu.protocol import SourceMeasureUnit as Smu

MAX_TRIES = 10
"""A permit that grew too old while its audit row was written is asked for again: a busy disk."""
PACE_MARGIN_NS = 1_000_000
SECOND_NS = 1_000_000_000
_PACE = (RefusalReason.RATE, RefusalReason.INTERVAL)


@dataclass(frozen=True, slots=True)
class Staircase:
    """How a pulse is delivered in steps: so many to its amplitude, and back."""

    n_steps: int
    halts: bool
    """Turns back where the compliance is reached."""


@dataclass(slots=True)
class Delivery:
    """Delivers pulses of a bench. One thread.

    `read` reads a device by name: the Gate wants a new reading before it permits another pulse.
    `wait` waits so many seconds and raises `AbortedError` when somebody asks for the end.
    """

    smu: Smu
    gate: Gate
    await_audit: Callable[[int], bool]
    read: Callable[[str], float]
    wait: Callable[[float], None]
    site: str
    provenance: Provenance
    clock_ns: ClockNs
    call: Caller = directly
    _asked_ns: dict[str, deque[int]] = field(default_factory=dict)

    def deliver(
        self,
        device: Device,
        action: PulseDevice,
        *,
        is_measured: bool,
        staircase: Staircase | None = None,
    ) -> PulseOutcome:
        """Return what became of one pulse, or of a staircase in its bounds; it was sent once.

        A pulse that an abort did not wait for is unconfirmed.

        Raises
        ------
        AbortedError
            Somebody asked for the end before the pulse.
        RefusedError
            The Gate says no.
        BenchError
            The driver refuses, or no permit could be used in time.
        TransportError
            The instrument is gone and no pulse happened.
        """
        why = ""
        for _ in range(MAX_TRIES):
            permit = self._ask(device, action)
            sent_ns = self.clock_ns()
            try:
                outcome = self._send(permit, staircase, is_measured=is_measured)
            except AbandonedError as exc:
                detail = f"the pulse may have happened: {exc}"
                self._report(permit, DeliveryOutcome.UNCONFIRMED, detail)
                address = DeviceAddress(device.wordline, device.bitline)
                return PulseOutcome(address, sent_ns, None, detail)
            except AbortedError as exc:
                self._report(permit, DeliveryOutcome.NOT_DELIVERED, str(exc))
                raise
            except InstrumentError as exc:
                self._report(permit, DeliveryOutcome.NOT_DELIVERED, str(exc))
                if isinstance(exc, TransportError):
                    raise
                if _is_final(exc):
                    raise BenchError(str(exc)) from exc
                why = str(exc)  # no pulse happened, another may be asked for
                self.read(device.name)
                continue
            is_confirmed = outcome.is_confirmed
            sent = DeliveryOutcome.DELIVERED if is_confirmed else DeliveryOutcome.UNCONFIRMED
            self._report(permit, sent, outcome.detail)
            return outcome
        raise BenchError(f"{device.name}: no pulse in {MAX_TRIES} tries: {why}")

    def _send(
        self, permit: Permit, staircase: Staircase | None, *, is_measured: bool
    ) -> PulseOutcome:
        if not self.await_audit(permit.number):
            raise InstrumentError("its audit row was not on the disk in time")
        smu = self.smu
        if staircase is not None:
            if not isinstance(smu, TracesStaircases):
                raise SafetyLimitError(f"{smu.name}: makes no staircase; ask for pulses")
            n_steps, halts = staircase.n_steps, staircase.halts
            return self.call(lambda: smu.staircase(permit, n_steps, halts=halts))
        if is_measured and isinstance(smu, MeasuresOnDemand):
            return self.call(lambda: smu.pulse_measured(permit))
        return self.call(lambda: smu.pulse(permit))

    def _ask(self, device: Device, action: PulseDevice) -> Permit:
        """Return a permit; pulses that somebody else asked for lately are waited out."""
        self._keep_pace(device)
        patient_until_ns = self.clock_ns() + SECOND_NS + SECOND_NS // 4
        while True:
            self.wait(0.0)  # an abort in the last call has disarmed, and would be told as a refusal
            verdict = self._request(action)
            if not isinstance(verdict, Refusal):
                self._asked_ns[device.name].append(self.clock_ns())
                return verdict
            if verdict.reason not in _PACE or self.clock_ns() > patient_until_ns:
                raise RefusedError(verdict)
            self.wait(0.1)

    def _request(self, action: PulseDevice) -> Permit | Refusal:
        now_ns = self.clock_ns()
        cause = Cause(
            kind=CauseKind.OPERATOR,
            site=self.site,
            synapse=None,
            provenance=self.provenance,
            detail="bench",
        )
        request = Request(
            instrument=self.smu.name,
            action=action,
            cause=cause,
            made_ns=now_ns,
            age_bound_ns=None,
            deadline_ns=None,
        )
        return self.gate.request(request, now_ns)

    def _keep_pace(self, device: Device) -> None:
        """Wait until the device's own limits let a pulse through: asking would be refused."""
        limits, asked_ns = device.limits, self._asked_ns.setdefault(device.name, deque())
        while True:
            now_ns = self.clock_ns()
            while asked_ns and now_ns - asked_ns[0] > SECOND_NS + PACE_MARGIN_NS:
                asked_ns.popleft()
            due_ns = now_ns
            if asked_ns:
                due_ns = asked_ns[-1] + round(limits.min_interval_s * 1e9) + PACE_MARGIN_NS
            if len(asked_ns) >= limits.max_per_second:
                due_ns = max(due_ns, asked_ns[0] + SECOND_NS + PACE_MARGIN_NS)
            if due_ns <= now_ns:
                return
            self.wait((due_ns - now_ns) / 1e9)

    def _report(self, permit: Permit, outcome: DeliveryOutcome, detail: str) -> None:
        self.gate.record_delivery(permit.number, outcome, detail, self.clock_ns())


def _is_final(exc: InstrumentError) -> bool:
    """Say whether asking again would give the same answer: a limit, not a permit grown old."""
    return isinstance(exc, SafetyLimitError) and "permit" not in str(exc)
