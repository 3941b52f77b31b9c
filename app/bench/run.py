"""One procedure inside an engine: on an instrument that its worker lends, under the engine's Gate.

Everything that it may do to a device is the `Bench`'s and the Gate's to decide, as on the command
line; what it measures goes to the consoles as it comes and into a folder of its own.
"""

import contextlib
import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path

import msgspec

from app.bench.abort import Abort, PatientCalls
from app.bench.array_view import ArrayView
from app.bench.bench import Bench, BenchSeams
from app.bench.errors import BenchError
from app.bench.keeping import facts_of, line_of, write_facts, write_results
from app.bench.procedures import Place, Result, Task, carry_out
from app.bench.progress import Progress
from app.config.site import Smu
from app.console.happenings import Happening, ProcedureEnded, ProcedurePoints
from app.core.clock import ClockNs
from app.core.measured import Point
from app.core.spikes import Provenance
from app.core.worker import OnFailure, Worker
from app.engine.ledger import Ledger
from app.recording.session import BENCH_POINTS_NAME
from app.safety.gate import Gate
from app.synapse.device_worker import DeviceWorker
from drivers.errors import InstrumentError
from drivers.smu.protocol import Reading, SourceMeasureUnit

MAX_TOLD = 40
TELL_INTERVAL_S = 0.1
"""Consoles hear of points this often, or when there are `MAX_TOLD`."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A source-measure unit, and the worker that owns it."""

    driver: SourceMeasureUnit
    smu: Smu
    worker: DeviceWorker
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every procedure of an engine stands on."""

    site: str
    gate: Gate
    ledger: Ledger
    array: ArrayView
    min_change: float
    publish: Callable[[Happening], None]
    disarm: Callable[[str, str], None]
    """Disarms the site: who, why. What an abort does to pulses that are under way."""
    clock_ns: ClockNs
    on_failure: OnFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody asked for."""

    number: int
    task: Task
    unit: Unit
    folder: Path
    is_pulsing: bool
    arm_forming: Callable[[str], None]
    temperature_c: float | None


@dataclass(slots=True)
class _Telling:
    """Points on their way to the consoles, some at a time."""

    ground: Ground
    number: int
    n_told: int = 0
    waiting: list[Point] = field(default_factory=list)
    told_s: float = 0.0

    def take(self, point: Point) -> None:
        """Take a point; tell what waits if it is many or has waited long."""
        self.waiting.append(point)
        self.look()

    def look(self, *, is_end: bool = False) -> None:
        """Tell what waits if it is time."""
        now_s = time.monotonic()
        is_due = len(self.waiting) >= MAX_TOLD or now_s - self.told_s >= TELL_INTERVAL_S
        if self.waiting and (is_due or is_end):
            points, self.waiting, self.told_s = tuple(self.waiting), [], now_s
            now_ns = self.ground.clock_ns()
            self.ground.publish(
                ProcedurePoints(
                    time_ns=now_ns, number=self.number, first=self.n_told, points=points
                )
            )
            self.n_told += len(points)


class ProcedureRun(Worker):
    """Its one step is the whole procedure. `request_stop` aborts it, within 200 ms.

    `progress` may be looked at from any thread. `on_end` is called from this one, last.
    """

    def __init__(self, order: Order, ground: Ground, on_end: Callable[[ProcedureEnded], None]):
        super().__init__(f"procedure {order.number} {order.task.procedure}", ground.on_failure)
        self.order = order
        self.progress = Progress(0, 1, "waiting for the instrument")
        self._ground = ground
        self._on_end = on_end
        self._abort = Abort()
        self._telling = _Telling(ground, order.number)
        self._ended = ProcedureEnded(
            time_ns=0, number=order.number, procedure=order.task.procedure,
            devices=order.task.devices, is_well=False, lines=("did not begin",), n_points=0,
            folder=str(order.folder), files=(),
        )  # fmt: skip

    @property
    def n_points(self) -> int:
        """Get how many points it has measured. Any thread."""
        return self._telling.n_told + len(self._telling.waiting)

    def request_stop(self) -> None:
        """Abort the procedure."""
        self._abort.ask()
        super().request_stop()

    def step(self) -> None:
        """Carry out the procedure."""
        try:
            self._run_it()
        except OSError as exc:  # a full disk ends the procedure, not the engine
            self._end(None, f"ended: what is measured cannot be kept: {exc}", [])
        super().request_stop()

    def finish(self) -> None:
        """Tell how it ended."""
        self._on_end(self._ended)

    def _run_it(self) -> None:
        order = self.order
        calls = PatientCalls(order.unit.driver, self._abort, self._revoke)
        order.folder.mkdir(parents=True)
        with (
            contextlib.closing(_Released(calls, order.unit.worker)),
            (order.folder / BENCH_POINTS_NAME).open("w", encoding="utf-8", buffering=1) as file,
        ):
            bench = self._bench(calls, file)
            facts = facts_of(
                bench, order.task, temperature_c=order.temperature_c, began=dt.datetime.now(dt.UTC)
            )
            write_facts(order.folder, facts)
            result, why = self._carry_out(bench)
            if self._abort.is_asked():
                self._revoke()
            files = write_results(order.folder, facts, bench.points, result, why)
        self._end(result, why, files)

    def _end(self, result: Result | None, why: str, files: list[str]) -> None:
        self._telling.look(is_end=True)
        self._ended = msgspec.structs.replace(
            self._ended,
            time_ns=self._ground.clock_ns(),
            is_well=result is not None and result.is_well,
            lines=tuple([why] if result is None else result.lines),
            n_points=self.n_points,
            files=tuple(files),
        )

    def _carry_out(self, bench: Bench) -> tuple[Result | None, str]:
        smu = self.order.unit.smu
        place = Place(bench, (smu.n_wordlines, smu.n_bitlines), self.order.arm_forming)
        try:
            return carry_out(place, self.order.task), ""
        except (BenchError, InstrumentError) as exc:
            return None, f"ended: {exc}"

    def _bench(self, calls: PatientCalls, file: TextIOWrapper) -> Bench:
        ground, unit = self._ground, self.order.unit

        def keep(point: Point) -> None:
            file.write(line_of(point))
            self._telling.take(point)

        def read(reading: Reading, why: str) -> None:
            limited = ", at compliance" if reading.is_limited else ""
            if not unit.worker.take_reading(reading, f"bench {why}{limited}"):
                ground.ledger.reading(unit.smu.name, reading, f"bench {why}{limited}")

        return Bench(
            unit.driver,
            {device.name: device for device in unit.smu.devices},
            ground.gate,
            ground.array,
            BenchSeams(
                await_audit=ground.ledger.await_audit,
                on_reading=read,
                on_point=keep,
                on_progress=self._note_progress,
                on_frozen=lambda device, why: ground.ledger.note("bench", f"{device} {why}"),
            ),
            site=ground.site,
            provenance=unit.provenance,
            read_voltage_v=unit.smu.read_voltage_v,
            min_change=ground.min_change,
            clock_ns=ground.clock_ns,
            abort=self._abort,
            call=calls,
        )

    def _note_progress(self, progress: Progress) -> None:
        self.progress = progress
        self._telling.look()

    def _revoke(self) -> None:
        """Make permits useless: a pulse that is being set up is not made."""
        if self.order.is_pulsing:
            self._ground.disarm(self.order.task.who, f"{self.name} aborted")


@dataclass(frozen=True, slots=True)
class _Released:
    """Gives the instrument back; opened again by its owner if it had to be made safe."""

    calls: PatientCalls
    worker: DeviceWorker

    def close(self) -> None:
        """Make no further call."""
        if self.calls.release():
            self.worker.request_reopen()
