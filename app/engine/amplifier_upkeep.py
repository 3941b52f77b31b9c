"""What is done to an amplifier while it is stopped: another waveform, an impedance check.

A thread of its own, since it takes as long as the instrument does; the acquisition waits meanwhile
and starts again afterwards, so that the samples between are a gap. This is a place that delivers:
it asks the Gate, waits for the audit row, and reports what became of it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app.core.acquisition import Acquisition
from app.core.clock import ClockNs
from app.core.inbox import Inbox, Overflow
from app.core.worker import OnFailure, Worker
from app.safety.audit import DeliveryOutcome
from app.safety.gate import Gate
from app.safety.requests import Refusal
from drivers.errors import InstrumentError, SafetyLimitError
from drivers.mea.protocol import ImpedanceCheck, MeaAmplifier, MeasuresImpedance, Pattern
from drivers.permit import MeasureImpedance, Permit, Upkeep, UploadPattern

log = logging.getLogger(__name__)

HOLD_LIMIT_S = 2.0
BLOCK = "amplifier upkeep"


@dataclass(frozen=True, slots=True)
class UpkeepJob:
    """What somebody asked for."""

    number: int
    deed: Upkeep
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class UpkeepStatus:
    """What became of the newest job; `state` is idle, at work, done, refused or failed."""

    job: int = 0
    state: str = "idle"
    sentence: str = ""
    time_ns: int = 0
    held: tuple[Pattern, ...] = ()
    """The patterns as the amplifier holds them."""
    n_uploads: int = 0
    """Of this session; before the first, what is held is what the engine was started with."""
    impedance: ImpedanceCheck | None = None
    measured_ns: int | None = None


class AmplifierUpkeep(Worker):
    """Serves one amplifier. `submit` and `status` from any thread.

    `keep` records an impedance check that was made for somebody, and says where and what.
    """

    def __init__(
        self,
        amplifier: MeaAmplifier,
        acquisition: Acquisition,
        patterns: Sequence[Pattern],
        *,
        gate: Gate,
        await_audit: Callable[[int], bool],
        note: Callable[[str, str], None],
        keep: Callable[[ImpedanceCheck], str],
        delivered_as: DeliveryOutcome,
        clock_ns: ClockNs,
        on_failure: OnFailure,
    ) -> None:
        super().__init__(f"upkeep {amplifier.name}", on_failure)
        self._amplifier = amplifier
        self._acquisition = acquisition
        self._gate = gate
        self._await_audit = await_audit
        self._note = note
        self._keep = keep
        self._delivered_as = delivered_as
        self._clock_ns = clock_ns
        self._inbox: Inbox[UpkeepJob] = Inbox(self.name, 1, Overflow.FAIL)
        self._n_jobs = 0
        self._status = UpkeepStatus(held=tuple(patterns))

    @property
    def status(self) -> UpkeepStatus:
        """Get what became of the newest job."""
        return self._status

    @property
    def can_measure(self) -> bool:
        """Say whether this amplifier can be asked for impedances."""
        return isinstance(self._amplifier, MeasuresImpedance)

    def submit(self, deed: Upkeep, who: str, reason: str) -> int | None:
        """Ask for something; return the job's number, or None while another is under way."""
        if self._status.state == "at work":
            return None
        self._n_jobs += 1
        self._show(state="at work", job=self._n_jobs, sentence=f"{who}: {reason}")
        self._inbox.put(UpkeepJob(self._n_jobs, deed, who, reason))
        return self._n_jobs

    def step(self) -> None:
        """Do what was asked for."""
        for job in self._inbox.take_all(timeout_s=0.1):
            state, sentence = self._with_amplifier_held(job)
            said = sentence.removeprefix(f"{self._amplifier.name}: ")
            self._note(job.who, f"{self._amplifier.name}: {said} ({job.reason})")
            self._show(state=state, sentence=sentence)

    def _with_amplifier_held(self, job: UpkeepJob) -> tuple[str, str]:
        """Stop the amplifier, do the job, start it again unless it was made safe meanwhile."""
        self._block("the amplifier is stopped for upkeep")
        is_held = self._acquisition.hold(HOLD_LIMIT_S)
        try:
            if not is_held:
                return "failed", "the acquisition did not let go of the amplifier"
            self._amplifier.stop()
            return self._do(job)
        except InstrumentError as exc:
            log.exception("%s: upkeep failed", self._amplifier.name)
            return "failed", str(exc)
        finally:
            self._acquisition.let_go()
            self._block(None)

    def _do(self, job: UpkeepJob) -> tuple[str, str]:
        if isinstance(job.deed, MeasureImpedance):  # before a permit, which lives 20 ms
            self._able().prepare_impedance(job.deed.frequency_hz)
        verdict = self._gate.request_upkeep(
            self._amplifier.name, job.deed, job.who, job.reason, self._clock_ns()
        )
        if isinstance(verdict, Refusal):
            return "refused", verdict.sentence
        if not self._await_audit(verdict.number):
            self._record(verdict, DeliveryOutcome.NOT_DELIVERED, "audit row not written")
            return "failed", "the audit row could not be written, so nothing was done"
        try:
            sentence = self._deliver(verdict, job.deed)
        except SafetyLimitError as exc:
            self._record(verdict, DeliveryOutcome.NOT_DELIVERED, str(exc))
            return "refused", self._as_before(job.deed, str(exc))
        except InstrumentError as exc:
            log.exception("%s: upkeep failed", self._amplifier.name)
            self._record(verdict, DeliveryOutcome.UNCONFIRMED, str(exc))
            return "failed", self._as_before(job.deed, str(exc))
        self._record(verdict, self._delivered_as, "")
        return "done", sentence

    def _deliver(self, permit: Permit, deed: Upkeep) -> str:
        if isinstance(deed, UploadPattern):
            held = self._status.held
            new = deed.pattern
            permit.spend(self._amplifier.name)
            after = tuple(new if p.pattern_id == new.pattern_id else p for p in held)
            self._amplifier.prepare(after)
            self._show(held=after, n_uploads=self._status.n_uploads + 1)
            return f"pattern {new.pattern_id} uploaded and read back"
        check = self._able().measure_impedance(permit)
        self._show(impedance=check, measured_ns=self._clock_ns())
        return self._keep(check)

    def _able(self) -> MeasuresImpedance:
        if not isinstance(self._amplifier, MeasuresImpedance):
            raise SafetyLimitError(f"{self._amplifier.name}: measures no impedance here")
        return self._amplifier

    def _as_before(self, deed: Upkeep, why: str) -> str:
        """After an upload that failed, prepare again what was held: half of one may be there."""
        if not isinstance(deed, UploadPattern):
            return why
        try:
            self._amplifier.prepare(self._status.held)
        except InstrumentError as exc:
            log.exception("%s: cannot prepare what it held", self._amplifier.name)
            return f"{why}; and no pattern can be triggered before the engine's next start: {exc}"
        return f"{why}; the amplifier holds what it held before"

    def _record(self, permit: Permit, outcome: DeliveryOutcome, detail: str) -> None:
        self._gate.record_delivery(permit.number, outcome, detail, self._clock_ns())

    def _block(self, sentence: str | None) -> None:
        self._gate.set_block(BLOCK, sentence, self._clock_ns())

    def _show(self, **changes: object) -> None:
        self._status = replace(self._status, time_ns=self._clock_ns(), **changes)  # type: ignore[arg-type]
