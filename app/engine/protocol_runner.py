"""The thread that drives a chip neuron through an experiment's phases."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app.config.experiment import Phase, Protocol
from app.core.clock import ClockNs
from app.core.spikes import Provenance
from app.core.worker import OnFailure, Worker
from app.safety.actuator_worker import ActuatorJob
from app.safety.requests import Cause, CauseKind
from drivers.permit import DriveNeuron

LONGEST_WAIT_S = 0.1
LATEST_DRIVE_NS = 50_000_000
"""A drive that comes later than this after its time is left out and counted: a stretch of the
protocol compressed into a burst would be another protocol."""


class ProtocolState(enum.StrEnum):
    """How far a protocol has come."""

    IDLE = "idle"
    RUNNING = "running"
    FINISHED = "finished"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class ProtocolStatus:
    """What a console shows of the protocol."""

    state: ProtocolState = ProtocolState.IDLE
    phase: int = -1
    phase_name: str = ""
    started_ns: int = 0
    end_ns: int = 0
    n_drives: int = 0
    n_left_out: int = 0
    detail: str = ""


def drive_offsets_ns(phase: Phase) -> Sequence[int]:
    """Return the times of a phase's drives from its start: regular, the first at the start."""
    if phase.rate_hz == 0:
        return ()
    duration_ns = phase.duration_s * 1e9
    n = int(phase.duration_s * phase.rate_hz) + 1
    offsets = (round(k * 1e9 / phase.rate_hz) for k in range(n))
    return [offset for offset in offsets if offset < duration_ns]


class ProtocolRunner(Worker):
    """Runs one protocol once, then ends. `is_armed` is asked before each drive."""

    def __init__(
        self,
        protocol: Protocol,
        site: str,
        *,
        submit: Callable[[ActuatorJob], None],
        is_armed: Callable[[], bool],
        on_phase: Callable[[int, Phase, int], None],
        on_end: Callable[[ProtocolStatus], None],
        provenance: Provenance,
        clock_ns: ClockNs,
        on_failure: OnFailure,
    ) -> None:
        super().__init__("protocol", on_failure)
        self._site = site
        self._provenance = provenance
        self._protocol = protocol
        self._submit = submit
        self._is_armed = is_armed
        self._on_phase = on_phase
        self._on_end = on_end
        self._clock_ns = clock_ns
        self._plan: list[tuple[int, int]] = []
        self._position = 0
        self.status = ProtocolStatus()

    def prepare(self) -> None:
        """Lay out every drive on site time."""
        start_ns = self._clock_ns() + 200_000_000
        starts = []
        phase_start_ns = start_ns
        for index, phase in enumerate(self._protocol.phases):
            starts.append(phase_start_ns)
            self._plan += [(phase_start_ns + t, index) for t in drive_offsets_ns(phase)]
            phase_start_ns += round(phase.duration_s * 1e9)
        self.status = ProtocolStatus(
            state=ProtocolState.RUNNING,
            started_ns=start_ns,
            end_ns=phase_start_ns,
        )
        for index, (phase, at_ns) in enumerate(zip(self._protocol.phases, starts, strict=True)):
            self._on_phase(index, phase, at_ns)

    def step(self) -> None:
        """Wait for the next drive and hand it on, or end."""
        if not self._is_armed():
            self._end(ProtocolState.ABORTED, "the site is not armed any more")
            return
        now_ns = self._clock_ns()
        is_done = self._position >= len(self._plan)
        due_ns = self.status.end_ns if is_done else self._plan[self._position][0]
        wait_s = min(LONGEST_WAIT_S, (due_ns - now_ns) / 1e9)
        if wait_s > 0:
            self.stop_requested.wait(wait_s)
        elif is_done:
            self._end(ProtocolState.FINISHED, "")
        else:
            self._drive(due_ns, now_ns)

    def finish(self) -> None:
        """Say how it ended."""
        if self.status.state is ProtocolState.RUNNING:
            self._end(ProtocolState.ABORTED, "stopped")
        self._on_end(self.status)

    def _drive(self, due_ns: int, now_ns: int) -> None:
        phase = self._plan[self._position][1]
        self._position += 1
        status = self.status
        if now_ns - due_ns > LATEST_DRIVE_NS:
            self.status = replace(status, n_left_out=status.n_left_out + 1)
            return
        cause = Cause(CauseKind.PROTOCOL, self._site, None, self._provenance, f"phase {phase + 1}")
        self._submit(
            ActuatorJob(
                action=DriveNeuron(self._protocol.neuron, 255),
                cause=cause,
                received_ns=now_ns,
                age_bound_ns=0,
                deadline_ns=LATEST_DRIVE_NS,
            )
        )
        name = self._protocol.phases[phase].name
        self.status = replace(status, n_drives=status.n_drives + 1, phase=phase, phase_name=name)

    def _end(self, state: ProtocolState, detail: str) -> None:
        self.status = replace(self.status, state=state, detail=detail)
        self.request_stop()
