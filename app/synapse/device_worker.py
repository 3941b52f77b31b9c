"""The thread that owns a source-measure unit: pulses at the device's pace, verified, and reads.

Every pulse is asked of the Gate, audited before it is sent, read back and judged. A device that
does not move or moves the wrong way is read again, and frozen for that direction if it is true.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from app.config.experiment import Synapse
from app.config.site import Device
from app.core.clock import ClockNs
from app.core.inbox import Inbox, Overflow
from app.core.spikes import Provenance
from app.core.worker import OnFailure, Worker
from app.safety.audit import DeliveryOutcome
from app.safety.gate import Gate
from app.safety.requests import Cause, CauseKind, Refusal, Request
from app.synapse.loan import Loan
from app.synapse.network import PulseWanted
from app.synapse.verify import PulseVerdict, judge_pulse
from drivers.errors import InstrumentError, TransportError
from drivers.permit import Permit, PulseDevice
from drivers.smu.protocol import DeviceAddress, PulseOutcome, Reading, SourceMeasureUnit

log = logging.getLogger(__name__)

INBOX_CAPACITY = 10_000


@dataclass(frozen=True, slots=True)
class SynapseDevice:
    """A synapse and the device that is its weight."""

    synapse: Synapse
    device: Device

    @property
    def address(self) -> DeviceAddress:
        """Get the device's crosspoint."""
        return DeviceAddress(self.device.wordline, self.device.bitline)

    def pulse_for(self, polarity: int) -> PulseDevice:
        """Return the pulse that the experiment chose for LTP (+1) or LTD (-1)."""
        pulse = self.synapse.pulse
        is_ltp = polarity > 0
        return PulseDevice(
            wordline=self.device.wordline,
            bitline=self.device.bitline,
            amplitude_v=pulse.ltp_amplitude_v if is_ltp else pulse.ltd_amplitude_v,
            width_s=pulse.ltp_width_s if is_ltp else pulse.ltd_width_s,
        )


@dataclass(frozen=True, slots=True)
class PulseRecord:
    """Everything about one wanted pulse, for the record and the consoles."""

    wanted: PulseWanted
    device: str
    action: PulseDevice
    before_ohm: float | None
    after_ohm: float | None
    verdict: str
    """A `PulseVerdict`, "refused", "late" or "not sent"."""
    detail: str
    time_ns: int
    """When the pulse was sent, or when it was decided that it is not."""
    number: int | None = None
    """The Gate's number of the request, where one was made."""


class DeviceWorker(Worker):
    """Serves the devices of one source-measure unit. Any thread may call `submit`.

    `on_reading(synapse, reading, why)` and `on_pulse(record)` are called from this thread.
    """

    def __init__(
        self,
        smu: SourceMeasureUnit,
        devices: Mapping[int, SynapseDevice],
        *,
        gate: Gate,
        await_audit: Callable[[int], bool],
        on_reading: Callable[[int, Reading, str], None],
        on_pulse: Callable[[PulseRecord], None],
        provenance: Provenance,
        max_pulse_lag_ns: int,
        idle_read_interval_ns: int,
        min_change: float,
        clock_ns: ClockNs,
        on_failure: OnFailure,
        unconfirmed_as: DeliveryOutcome = DeliveryOutcome.UNCONFIRMED,
    ) -> None:
        super().__init__(f"devices {smu.name}", on_failure)
        self._smu = smu
        self._devices = dict(devices)
        self._gate = gate
        self._await_audit = await_audit
        self._on_reading = on_reading
        self._on_pulse = on_pulse
        self._provenance = provenance
        self._max_pulse_lag_ns = max_pulse_lag_ns
        self._idle_read_interval_ns = idle_read_interval_ns
        self._min_change = min_change
        self._clock_ns = clock_ns
        self._unconfirmed_as = unconfirmed_as
        self._inbox: Inbox[PulseWanted] = Inbox(self.name, INBOX_CAPACITY, Overflow.FAIL)
        self._queue: deque[PulseWanted] = deque()
        self._last: dict[int, Reading] = {}
        self._wants_reopen = threading.Event()
        self._loan = Loan()

    @property
    def n_waiting(self) -> int:
        """Get how many wanted pulses wait for the instrument."""
        return len(self._inbox) + len(self._queue)

    def submit(self, wanted: PulseWanted) -> None:
        """Queue a wanted pulse without waiting. Raises `InboxOverflowError` at ten thousand."""
        self._inbox.put(wanted)

    def lend_to(self, borrower: Worker) -> bool:
        """Lend the instrument to a worker, which is started here; False: it is lent already.

        While it works nobody else uses the instrument, and pulses that rules want are recorded as
        not sent. Any thread.
        """
        return self._loan.offer(borrower)

    def is_lent_to(self, borrower: Worker) -> bool:
        """Say whether this worker has the instrument or is promised it. Any thread."""
        return self._loan.borrower is borrower

    def take_reading(self, reading: Reading, why: str) -> bool:
        """Take a reading that a borrower made; say whether a synapse stands on that device."""
        synapses = [s for s, d in self._devices.items() if d.address == reading.device]
        for synapse in synapses:
            self._last[synapse] = reading
            self._on_reading(synapse, reading, why)
        return bool(synapses)

    def request_reopen(self) -> None:
        """Ask this worker to open the instrument again, after it was made safe."""
        self._wants_reopen.set()

    def prepare(self) -> None:
        """Read every device once: a synapse without a reading transmits nothing."""
        for synapse in self._devices:
            self._read(synapse, "start", is_deciding=True)

    def step(self) -> None:
        """Serve the next wanted pulse, or read the device that nothing has read for longest."""
        if self._loan.is_lent:
            self._wait_for_the_borrower()
            return
        if self._wants_reopen.is_set():
            self._wants_reopen.clear()
            self._smu.open()
        self._queue.extend(self._inbox.take_all(timeout_s=0.0 if self._queue else 0.05))
        if self._queue:
            self._serve(self._queue.popleft())
        else:
            self._read_the_stalest()

    def finish(self) -> None:
        """Leave the instrument with its outputs off."""
        self._loan.call_in()
        report = self._smu.make_safe()
        log.info("%s: %s (%s)", report.instrument, report.state.value, report.detail)

    def _wait_for_the_borrower(self) -> None:
        self._queue.extend(self._inbox.take_all(timeout_s=0.05))
        while self._queue:
            record = self._record(self._queue.popleft())
            self._on_pulse(replace(record, detail=f"{self._loan.name} uses the instrument"))
        if self._loan.look():
            return
        for synapse in self._devices:  # who knows what was done to it
            self._read(synapse, "back from the bench", is_deciding=True)

    def _record(self, wanted: PulseWanted) -> PulseRecord:
        device, before = self._devices[wanted.synapse], self._last.get(wanted.synapse)
        return PulseRecord(
            wanted=wanted,
            device=device.device.name,
            action=device.pulse_for(wanted.polarity),
            before_ohm=None if before is None else before.resistance_ohm,
            after_ohm=None,
            verdict="not sent",
            detail="",
            time_ns=self._clock_ns(),
        )

    def _serve(self, wanted: PulseWanted) -> None:
        device, record = self._devices[wanted.synapse], self._record(wanted)
        lag_ns = record.time_ns - wanted.event_ns
        if not lag_ns <= self._max_pulse_lag_ns:
            detail = (
                f"{lag_ns / 1e9:.1f} s after its event, at most {self._max_pulse_lag_ns / 1e9:g}"
            )
            self._on_pulse(replace(record, verdict="late", detail=detail))
            return
        self._on_pulse(self._ask_and_pulse(record, device))

    def _ask_and_pulse(self, record: PulseRecord, device: SynapseDevice) -> PulseRecord:
        cause = Cause(
            kind=CauseKind.RULE,
            site=device.synapse.site,
            synapse=device.synapse.id,
            provenance=self._provenance,
            detail=f"event at {record.wanted.event_ns} ns, decision {record.wanted.n_decision}",
        )
        request = Request(
            instrument=self._smu.name,
            action=record.action,
            cause=cause,
            made_ns=record.time_ns,
            age_bound_ns=None,
            deadline_ns=None,
        )
        verdict = self._gate.request(request, record.time_ns, queue_length=len(self._queue))
        if isinstance(verdict, Refusal):
            return replace(record, verdict="refused", detail=verdict.sentence)
        record = replace(record, number=verdict.number)
        if not self._await_audit(verdict.number):
            return self._not_sent(record, verdict, "audit row not written")
        return self._pulse(record, verdict)

    def _pulse(self, record: PulseRecord, permit: Permit) -> PulseRecord:
        try:
            outcome = self._smu.pulse(permit)
        except TransportError as exc:
            self._tell_undelivered(permit, f"instrument gone: {exc}")
            raise
        except InstrumentError as exc:
            return self._not_sent(record, permit, str(exc))
        sent = DeliveryOutcome.DELIVERED if outcome.is_confirmed else self._unconfirmed_as
        self._gate.record_delivery(permit.number, sent, outcome.detail, self._clock_ns())
        return self._judge(replace(record, time_ns=outcome.sent_ns), outcome)

    def _not_sent(self, record: PulseRecord, permit: Permit, detail: str) -> PulseRecord:
        self._tell_undelivered(permit, detail)
        # The permit voided the last reading; without a new one the next pulse would be refused.
        self._read(record.wanted.synapse, "not sent", is_deciding=True)
        return replace(record, detail=detail)

    def _tell_undelivered(self, permit: Permit, detail: str) -> None:
        not_delivered = DeliveryOutcome.NOT_DELIVERED
        self._gate.record_delivery(permit.number, not_delivered, detail, self._clock_ns())

    def _judge(self, record: PulseRecord, outcome: PulseOutcome) -> PulseRecord:
        synapse = record.wanted.synapse
        rises = self._rises(record)
        after = outcome.after
        verdict = self._verdict(record, after, rises)
        if verdict is not PulseVerdict.MOVED:
            after = self._read(synapse, f"verify: {verdict}", is_deciding=True)
            if outcome.is_confirmed:
                verdict = self._verdict(record, after, rises)
        elif after is not None:
            self._note(synapse, after, "after pulse")
        detail = outcome.detail
        if verdict in (PulseVerdict.UNMOVED, PulseVerdict.WRONG_WAY):
            detail = f"{record.device} {verdict} by {record.action.amplitude_v:+g} V"
            self._gate.freeze(
                self._smu.name,
                self._devices[synapse].address,
                1 if rises else -1,
                detail,
                self._clock_ns(),
            )
        after_ohm = None if after is None else after.resistance_ohm
        return replace(record, after_ohm=after_ohm, verdict=str(verdict), detail=detail)

    def _verdict(self, record: PulseRecord, after: Reading | None, rises: bool) -> PulseVerdict:
        after_ohm = None if after is None else after.resistance_ohm
        return judge_pulse(record.before_ohm, after_ohm, rises, self._min_change)

    def _rises(self, record: PulseRecord) -> bool:
        limits = self._devices[record.wanted.synapse].device.limits
        return (record.action.amplitude_v > 0) == limits.is_positive_raising

    def _read_the_stalest(self) -> None:
        if not self._devices:
            return
        synapse = min(self._devices, key=self._last_read_ns)
        if self._clock_ns() - self._last_read_ns(synapse) >= self._idle_read_interval_ns:
            self._read(synapse, "idle", is_deciding=False)

    def _last_read_ns(self, synapse: int) -> int:
        last = self._last.get(synapse)
        return -self._idle_read_interval_ns if last is None else last.time_ns

    def _read(self, synapse: int, why: str, *, is_deciding: bool) -> Reading | None:
        address = self._devices[synapse].address
        try:
            reading = self._smu.read_agreed(address) if is_deciding else self._smu.read(address)
        except TransportError:
            raise  # the instrument is gone: the engine must hear of it
        except InstrumentError as exc:
            log.warning("%s: reading %s failed: %s", self._smu.name, address, exc)
            return None
        self._note(synapse, reading, why)
        return reading

    def _note(self, synapse: int, reading: Reading, why: str) -> None:
        self._last[synapse] = reading
        self._gate.note_reading(
            self._smu.name, reading.device, reading.resistance_ohm, reading.time_ns
        )
        self._on_reading(synapse, reading, f"{why}, at compliance" if reading.is_limited else why)
