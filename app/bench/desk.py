"""The bench's desk inside an engine: takes orders for procedures, and knows what became of them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from app.bench.adoption import adopt, take_over
from app.bench.array_view import DeviceRecord
from app.bench.child import Child
from app.bench.errors import BenchError
from app.bench.forms import BY_NAME, AskedError, Form
from app.bench.procedures import Task
from app.bench.run import Ground, Order, ProcedureRun, Unit
from app.console.happenings import ProcedureEnded
from app.console.messages import CommandRefusedError
from app.core.worker import Worker
from drivers.smu.protocol import DeviceAddress

FORMING_S = 600.0
PAGE = 120
"""Devices in one answer: more would not fit into a frame."""
NAMES = ("unit", "procedure", "devices", "temperature-c")
"""What an order says besides the procedure's own fields."""


class Desk:
    """Takes orders from the console thread. One procedure at a time for each unit."""

    def __init__(self, units: Mapping[str, Unit], ground: Ground, session_folder: Path) -> None:
        self._units = dict(units)
        self._ground = ground
        self._folder = session_folder / "bench"
        self._n_orders = 0
        self._runs: dict[str, ProcedureRun] = {}
        self._children: list[Child] = []
        for name, unit in units.items():
            now_ns = ground.clock_ns()
            adopt(ground.array, ground.gate, name, unit.smu.devices, now_ns)

    def is_pulsing(self, procedure: str) -> bool:
        """Say whether a procedure moves devices. Raises `CommandRefusedError` for an unknown."""
        return _form(procedure).is_pulsing

    def start(
        self, who: str, reason: str, given: Mapping[str, object], *, is_operator: bool
    ) -> dict[str, Any]:
        """Begin a procedure. Raises `CommandRefusedError`."""
        form = _form(str(given.get("procedure")))
        unit = self._unit(given.get("unit"))
        task = Task(
            procedure=form.name,
            devices=self._devices(form, unit, given.get("devices")),
            values=_values(form, given),
            who=who,
        )
        number = self._n_orders + 1
        order = Order(
            number=number,
            task=task,
            unit=unit,
            folder=self._folder / f"{number:03d}-{form.name}",
            is_pulsing=form.is_pulsing,
            arm_forming=lambda name: self._arm_forming(
                unit, name, who, reason, is_operator=is_operator
            ),
            temperature_c=_temperature(given.get("temperature-c")),
        )
        run = ProcedureRun(order, self._ground, self._ended)
        if not unit.worker.lend_to(run):
            raise CommandRefusedError(
                f"{unit.smu.name}: a procedure runs already; abort it or wait for its end"
            )
        self._n_orders = number
        self._runs[unit.smu.name] = run
        self._ground.ledger.note(who, f"{run.name} began ({reason}): {task.words}")
        return {"number": order.number, "folder": str(order.folder)}

    def abort(self, who: str) -> int:
        """Ask every running procedure to end; return how many there were."""
        running = self._running()
        for run in running:
            run.request_stop()
            self._ground.ledger.note(who, f"aborts {run.name}")
        return len(running)

    def facts(self, unit: str, device: str) -> dict[str, Any]:
        """Return what a device's limits allow and what its unit can do.

        Raises `CommandRefusedError`.
        """
        found = self._unit(unit)
        (name,) = self._devices(BY_NAME["pulse"], found, device)
        (limits,) = (d.limits for d in found.smu.devices if d.name == name)
        return {"limits": limits, "capabilities": found.driver.capabilities}

    def fit(self, number: int, who: str) -> dict[str, Any]:
        """Begin to fit the switching model to what a procedure of this session measured.

        Raises `CommandRefusedError`.
        """
        found = list(self._folder.glob(f"{number:03d}-*/bench-*.csv"))
        if not found:
            raise CommandRefusedError(f"fit: no procedure {number} of this session has data")
        folder = found[0].parent
        model = folder / "device-model.json"
        arguments = ["app.cli", "bench", "-", "fit", str(found[0]), "--model", str(model)]

        def fitted(code: int, text: str) -> None:
            self._ground.ledger.note("bench", f"fit to procedure {number}: {text[-300:]}")
            self._ground.publish(
                ProcedureEnded(
                    time_ns=self._ground.clock_ns(),
                    number=number,
                    procedure="fit",
                    devices=(),
                    is_well=code == 0,
                    lines=(text[-1000:],),
                    n_points=0,
                    folder=str(folder),
                    files=tuple(sorted(f.name for f in folder.iterdir())),
                )
            )

        self._ground.ledger.note(who, f"fits the switching model to procedure {number}")
        self._begin(Child(f"fit to procedure {number}", arguments, fitted, self._ground.on_failure))
        return {"folder": str(folder)}

    def page(self, after: int) -> dict[str, Any]:
        """Return devices as the array view knows them, from number `after` on, and how many."""
        self._take_over()
        records = list(self._ground.array)
        now = dt.datetime.now(dt.UTC)
        return {
            "n_devices": len(records),
            "after": after,
            "devices": [_shown(record, now) for record in records[after : after + PAGE]],
        }

    def status(self) -> list[dict[str, Any]]:
        """Return what runs, and how far it is."""
        return [
            {
                "number": run.order.number,
                "procedure": run.order.task.procedure,
                "unit": run.order.unit.smu.name,
                "devices": run.order.task.devices,
                "asked": run.order.task.values,
                "who": run.order.task.who,
                "done": run.progress.done,
                "total": run.progress.total,
                "text": run.progress.text,
                "n_points": run.n_points,
            }
            for run in self._running()
        ]

    def workers(self) -> Sequence[Worker]:
        """Return the children that draw."""
        return [child for child in self._children if child.is_alive]

    def close(self) -> None:
        """Keep what is known of the devices."""
        self._take_over()
        self._ground.array.save()

    def _running(self) -> list[ProcedureRun]:
        return [run for name, run in self._runs.items() if self._units[name].worker.is_lent_to(run)]

    def _take_over(self) -> None:
        for name, unit in self._units.items():
            take_over(self._ground.array, self._ground.gate, name, unit.smu.devices)

    # --- the end of one, on its own thread ----------------------------------------------------

    def _ended(self, ended: ProcedureEnded) -> None:
        ground = self._ground
        said = "; ".join(ended.lines)
        ground.ledger.note("bench", f"procedure {ended.number} {ended.procedure} ended: {said}")
        self.close()
        ground.publish(ended)
        if not ended.files:
            return

        def drawn(code: int, text: str) -> None:
            if code:
                ground.ledger.note("bench", f"procedure {ended.number}: no figure: {text[-300:]}")
                return
            files = tuple(sorted(f.name for f in Path(ended.folder).iterdir()))
            ground.publish(msgspec.structs.replace(ended, time_ns=ground.clock_ns(), files=files))

        name = f"figures of procedure {ended.number}"
        self._begin(Child(name, ["app.bench.drawing", ended.folder], drawn, ground.on_failure))

    def _begin(self, child: Child) -> None:
        self._children = [*(c for c in self._children if c.is_alive), child]
        child.start()

    # --- what an order says -------------------------------------------------------------------

    def _unit(self, given: object) -> Unit:
        if given is None and len(self._units) == 1:
            return next(iter(self._units.values()))
        if given not in self._units:
            known = ", ".join(self._units)
            raise CommandRefusedError(f"unit: {given!r} is no source-measure unit here ({known})")
        return self._units[str(given)]

    def _devices(self, form: Form, unit: Unit, given: object) -> tuple[str, ...]:
        """Return the named devices, one a line in the text that was given."""
        names = tuple(str(given).split("\n")) if given else ()
        known = [device.name for device in unit.smu.devices]
        for name in names:
            if name not in known:
                raise CommandRefusedError(
                    f"{unit.smu.name}: no device {name!r} in the site file, it has "
                    f"{', '.join(known)}"
                )
        if not form.takes_many and len(names) != 1:
            raise CommandRefusedError(f"{form.name}: name one device, not {len(names)}")
        return names

    def _arm_forming(
        self, unit: Unit, name: str, who: str, reason: str, *, is_operator: bool
    ) -> None:
        device = next(d for d in unit.smu.devices if d.name == name)
        gate, now_ns = self._ground.gate, self._ground.clock_ns()
        site_until_ns = gate.snapshot().expires_ns or now_ns
        refusal = gate.arm_forming(
            who,
            reason,
            unit.smu.name,
            DeviceAddress(device.wordline, device.bitline),
            now_ns,
            min(site_until_ns, now_ns + round(FORMING_S * 1e9)),
            is_operator=is_operator,
        )
        if refusal is not None:
            raise BenchError(f"forming of {name} is not armed: {refusal.sentence}")


def _form(name: str) -> Form:
    form = BY_NAME.get(name)
    if form is None or name == "unfreeze":  # an engine has a command of its own for that
        known = ", ".join(n for n in BY_NAME if n != "unfreeze")
        raise CommandRefusedError(f"procedure: {name!r} is none of {known}")
    return form


def _values(form: Form, given: Mapping[str, object]) -> dict[str, Any]:
    try:
        return form.taken({name: v for name, v in given.items() if name not in NAMES})
    except AskedError as exc:
        raise CommandRefusedError(str(exc)) from exc


def _temperature(given: object) -> float | None:
    if given is None:
        return None
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not (is_number and -273.15 <= float(str(given)) <= 1e4):
        raise CommandRefusedError(f"temperature-c: {given!r} is not between -273.15 and 10000")
    return float(str(given))


def _shown(record: DeviceRecord, now: dt.datetime) -> dict[str, Any]:
    return {
        "unit": record.instrument,
        "name": record.name,
        "wordline": record.wordline,
        "bitline": record.bitline,
        "wafer": record.wafer,
        "die": record.die,
        "state": record.state.value,
        "resistance_ohm": record.resistance_ohm,
        "read_voltage_v": record.read_voltage_v,
        "age_s": record.age_s(now),
        "n_pulses": record.n_pulses,
        "budget_pulses": record.budget_pulses,
        "n_formings": len(record.formings),
        "frozen": record.frozen,
    }
