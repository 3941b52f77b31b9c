"""A desk for procedures over a simulated unit, its worker and a real Gate. No tests in here."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from bench_rig import LIMITS, READ_V, CrossbarSmu
from chain_rig import until

from app.bench.array_view import ArrayView
from app.bench.desk import Desk
from app.bench.run import Ground, Unit
from app.config.site import ArcOneSmu, Device
from app.console.happenings import ProcedureEnded, ProcedurePoints
from app.core.measured import Point
from app.core.spikes import Provenance
from app.engine.ledger import Ledger
from app.recording.commit_ticket import CommitTicket
from app.safety.gate import Gate
from app.safety.profiles import DeviceArrayProfile
from app.synapse.device_worker import DeviceWorker
from drivers.smu.protocol import DeviceAddress

WHO = "Ada"


class _MonotonicClock:
    """The clock of the machine; what simulated devices add to it takes no time."""

    @property
    def now_ns(self) -> int:
        return time.monotonic_ns()

    @now_ns.setter
    def now_ns(self, _value: int) -> None:
        pass


class MemoryRows:
    """An event log that keeps rows and commits at once."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def append(self, entry: Any, on_committed: Any = None, number: int = 0) -> None:
        self.rows.append(entry)

    def append_many(self, entries: Any, on_committed: Any = None, number: int = 0) -> None:
        self.rows += entries

    def append_durably(self, *entries: Any) -> CommitTicket:
        self.rows += entries
        ticket = CommitTicket()
        ticket.settle(is_committed=True)
        return ticket


class DeskRig:
    """Device "a" at (1, 1), "b" at (1, 2) of a 16 x 16 array; armed by an operator."""

    def __init__(self, folder: Path, synapses: Any = None, **limits: Any) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.smu = CrossbarSmu(_MonotonicClock())
        in_force = msgspec.structs.replace(LIMITS, max_forming_v=4.0, **limits)
        devices = tuple(
            Device(name=name, wordline=1, bitline=b, limits=in_force)
            for name, b in (("a", 1), ("b", 2))
        )
        self.config = ArcOneSmu(
            name="smu1", port="none", n_wordlines=16, n_bitlines=16, read_voltage_v=READ_V,
            devices=devices,
        )  # fmt: skip
        profile = DeviceArrayProfile(
            name="smu1",
            provenance=Provenance.MOCK,
            devices={DeviceAddress(1, d.bitline): (d.name, d.limits) for d in devices},
            read_voltage_v=READ_V,
        )
        self.rows = MemoryRows()
        self.ledger = Ledger(self.rows, "lab", time.monotonic_ns)
        self.gate = Gate(
            "lab",
            {"smu1": profile},
            (),
            clock_ns=time.monotonic_ns,
            on_audit=self.ledger.audit,
            on_input=lambda kind, body, now_ns: None,
        )
        self.gate.boot_done(time.monotonic_ns())
        self.failures: list[str] = []
        self.readings: list[tuple[int, float]] = []
        self.pulses: list[Any] = []
        self.worker = DeviceWorker(
            self.smu,
            synapses or {},
            gate=self.gate,
            await_audit=self.ledger.await_audit,
            on_reading=lambda s, reading, why: self.readings.append((s, reading.resistance_ohm)),
            on_pulse=self.pulses.append,
            provenance=Provenance.MOCK,
            max_pulse_lag_ns=5 * 10**9,
            idle_read_interval_ns=10**15,
            min_change=0.003,
            clock_ns=time.monotonic_ns,
            on_failure=self._failed,
        )
        self.happened: list[Any] = []
        self.array_path = folder / "lab.devices.json"
        self.desk = self.new_desk()

    def new_desk(self) -> Desk:
        """A desk as an engine's start makes it, on what the array's file says."""
        ground = Ground(
            site="lab",
            gate=self.gate,
            ledger=self.ledger,
            array=ArrayView(self.array_path),
            min_change=0.003,
            publish=self.happened.append,
            disarm=lambda who, why: self.gate.disarm(who, why, time.monotonic_ns()),
            clock_ns=time.monotonic_ns,
            on_failure=self._failed,
        )
        unit = Unit(self.smu, self.config, self.worker, Provenance.MOCK)
        return Desk({"smu1": unit}, ground, self.folder)

    def arm(self) -> None:
        now_ns = time.monotonic_ns()
        refusal = self.gate.arm(
            WHO, "test", now_ns, now_ns + 10**11, by_program=False, is_operator=True
        )
        assert refusal is None

    def start(self, procedure: str, **given: Any) -> dict[str, Any]:
        given = {name.replace("_", "-"): value for name, value in given.items()}
        asked = {"procedure": procedure, **given}
        return self.desk.start(WHO, "test", asked, is_operator=True)

    def ended(self, number: int) -> ProcedureEnded:
        """Wait for a procedure's end, not for its figures."""

        def found() -> list[ProcedureEnded]:
            return [
                h for h in self.happened if isinstance(h, ProcedureEnded) and h.number == number
            ]

        until(lambda: bool(found()) and not self.desk.status(), f"end of procedure {number}")
        return found()[0]

    def run(self, procedure: str, **given: Any) -> ProcedureEnded:
        return self.ended(self.start(procedure, **given)["number"])

    def points(self, number: int) -> list[Point]:
        told = [h for h in self.happened if isinstance(h, ProcedurePoints) and h.number == number]
        assert [h.first for h in told] == [
            sum(len(g.points) for g in told[:i]) for i in range(len(told))
        ]
        return [point for h in told for point in h.points]

    def notes(self) -> list[str]:
        return [row.text for row in self.rows.rows if type(row).__name__ == "NoteRow"]

    def _failed(self, name: str, exc: BaseException) -> None:
        self.failures.append(f"{name}: {exc}")


@contextmanager
def desk_open(folder: Path, synapses: Any = None, **limits: Any) -> Iterator[DeskRig]:
    """A rig whose worker runs; ended in order, without a failure."""
    rig = DeskRig(folder, synapses, **limits)
    rig.arm()
    rig.worker.start()
    try:
        yield rig
    finally:
        rig.worker.request_stop()
        assert rig.worker.join(10.0)
        for worker in rig.desk.workers():
            worker.request_stop()
            assert worker.join(10.0)
        rig.desk.close()
    assert not rig.failures
