"""The thread that owns an actuator's command port: ask the Gate, await the audit row, deliver.

This and `app.synapse.device_worker` are the only places that call a driver's delivery.
"""

import logging
import threading
from collections.abc import Callable

import msgspec

from app.core.clock import ClockNs
from app.core.inbox import Inbox, Overflow
from app.core.worker import OnFailure, Worker
from app.safety.audit import DeliveryOutcome
from app.safety.gate import Gate
from app.safety.requests import Cause, Request
from drivers.errors import InstrumentError, SafetyLimitError
from drivers.permit import Action, Permit

log = logging.getLogger(__name__)

INBOX_CAPACITY = 1000
"""Far above any limit on waiting requests, so that a request is refused by name, not dropped."""


class ActuatorJob(msgspec.Struct, frozen=True):
    """Something that wants to act, with the age of its cause when it was put in the queue."""

    action: Action
    cause: Cause
    received_ns: int
    age_bound_ns: int | None
    """Upper bound of the cause's age at `received_ns`; None: not known, so never fresh."""
    deadline_ns: int | None
    """Oldest age at which it may still act; None: a person or the protocol asked."""
    caused_ns: int | None = None
    """Firing time of the causing spike, on the clock of its own site; for the latency record."""


class Delivery(msgspec.Struct, frozen=True):
    """What became of a permitted request."""

    number: int
    job: ActuatorJob
    sent_ns: int | None
    """Host time at which the bytes left; None if they did not."""
    outcome: DeliveryOutcome
    detail: str = ""


class ActuatorWorker(Worker):
    """Serves one stimulator or neuron chip. Any thread may call `submit`.

    `deliver` is the driver's method that takes a permit; `reopen` makes it take permits again
    after `make_safe`; `delivered_as` is what a delivery counts as, something else in a dry run.
    `await_audit` blocks until the request's audit row is committed and says
    whether it is.
    """

    def __init__(
        self,
        instrument: str,
        *,
        deliver: Callable[[Permit], int],
        reopen: Callable[[], None],
        gate: Gate,
        await_audit: Callable[[int], bool],
        on_delivery: Callable[[Delivery], None],
        clock_ns: ClockNs,
        on_failure: OnFailure,
        delivered_as: DeliveryOutcome = DeliveryOutcome.DELIVERED,
    ) -> None:
        super().__init__(f"actuator {instrument}", on_failure)
        self.instrument = instrument
        self._deliver = deliver
        self._reopen = reopen
        self._wants_reopen = threading.Event()
        self._gate = gate
        self._await_audit = await_audit
        self._on_delivery = on_delivery
        self._clock_ns = clock_ns
        self._delivered_as = delivered_as
        self._inbox: Inbox[ActuatorJob] = Inbox(self.name, INBOX_CAPACITY, Overflow.DROP_OLDEST)

    @property
    def n_dropped(self) -> int:
        """Get how many jobs were given up unasked because a thousand waited."""
        return self._inbox.n_dropped

    @property
    def n_waiting(self) -> int:
        """Get how many jobs wait to be asked for."""
        return len(self._inbox)

    def submit(self, job: ActuatorJob) -> None:
        """Queue a job without waiting."""
        self._inbox.put(job)

    def request_reopen(self) -> None:
        """Ask this worker to open the instrument again, after it was made safe."""
        self._wants_reopen.set()

    def step(self) -> None:
        """Serve what waits, oldest first."""
        if self._wants_reopen.is_set():
            self._wants_reopen.clear()
            self._reopen()
        jobs = self._inbox.take_all(timeout_s=0.1)
        for index, job in enumerate(jobs):
            if self.stop_requested.is_set():
                return
            self._serve(job, n_waiting=len(jobs) - index - 1)

    def _serve(self, job: ActuatorJob, n_waiting: int) -> None:
        now_ns = self._clock_ns()
        age_ns = None if job.age_bound_ns is None else job.age_bound_ns + now_ns - job.received_ns
        request = Request(
            instrument=self.instrument,
            action=job.action,
            cause=job.cause,
            made_ns=now_ns,
            age_bound_ns=age_ns,
            deadline_ns=job.deadline_ns,
        )
        verdict = self._gate.request(request, now_ns, queue_length=n_waiting)
        if isinstance(verdict, Permit):
            delivery = self._deliver_one(verdict, job)
            self._gate.record_delivery(
                delivery.number, delivery.outcome, delivery.detail, self._clock_ns()
            )
            self._on_delivery(delivery)

    def _deliver_one(self, permit: Permit, job: ActuatorJob) -> Delivery:
        not_delivered = DeliveryOutcome.NOT_DELIVERED
        if not self._await_audit(permit.number):
            return Delivery(permit.number, job, None, not_delivered, "audit row not written")
        try:
            sent_ns = self._deliver(permit)
        except SafetyLimitError as exc:
            return Delivery(permit.number, job, None, not_delivered, str(exc))
        except InstrumentError as exc:
            # Part of the command may have left: nothing proves that it did not act.
            log.exception("%s: delivery failed", self.instrument)
            self._gate.trip(f"{self.instrument}: delivery failed: {exc}", self._clock_ns())
            return Delivery(permit.number, job, None, DeliveryOutcome.UNCONFIRMED, str(exc))
        return Delivery(permit.number, job, sent_ns, self._delivered_as)
