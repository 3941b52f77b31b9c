"""The dose history of a site as a table: what each electrode and device received, against what."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.config.amplifiers import IntanRhxAmplifier
from app.config.site import Site
from app.recording.history import PastDose
from app.safety.quantity import amount
from app.safety.rates import DAY_NS, HOUR_NS


@dataclass(frozen=True, slots=True)
class DoseLine:
    """One electrode or device. Hour and day are counted in slots of 10 min: they err high."""

    provenance: str
    instrument: str
    target: str
    n_hour: int
    n_day: int
    n_life: int
    charge_hour_c: float
    charge_day_c: float
    charge_life_c: float
    budget_pulses: int | None
    """Of a device; None for an electrode, or a device that the site no longer has."""


def dose_lines(doses: Iterable[PastDose], site: Site, utc_ns: int) -> list[DoseLine]:
    """Sum up a history, one line a target, in order of names."""
    budgets = {
        (smu.name, device.name): device.limits.budget_pulses
        for smu in site.smus
        for device in smu.devices
    }
    pulses: Counter[tuple[tuple[str, str, str], int]] = Counter()
    charges: dict[tuple[tuple[str, str, str], int], float] = {}
    targets: set[tuple[str, str, str]] = set()
    for dose in doses:
        target = (dose.provenance, dose.instrument, dose.target)
        targets.add(target)
        for window in _windows(utc_ns - dose.utc_ns):
            pulses[target, window] += dose.n_pulses
            charges[target, window] = charges.get((target, window), 0.0) + dose.charge_c
    return [
        DoseLine(
            provenance=provenance,
            instrument=instrument,
            target=name,
            n_hour=pulses[target, HOUR_NS],
            n_day=pulses[target, DAY_NS],
            n_life=pulses[target, _LIFE],
            charge_hour_c=charges.get((target, HOUR_NS), 0.0),
            charge_day_c=charges.get((target, DAY_NS), 0.0),
            charge_life_c=charges.get((target, _LIFE), 0.0),
            budget_pulses=budgets.get((instrument, name)),
        )
        for target in sorted(targets)
        for provenance, instrument, name in [target]
    ]


def said(line: DoseLine, site: Site) -> str:
    """Return one line in words."""
    where = f"{line.instrument} {line.target}" + ("" if line.provenance == "live" else " (mock)")
    if line.budget_pulses is not None:
        part = line.n_life / line.budget_pulses
        return (
            f"{where}: {line.n_life:,} of {line.budget_pulses:,} pulses of its life ({part:.1%}), "
            f"{line.n_day:,} in the last day, {line.n_hour:,} in the last hour"
        )
    limits = next(
        (
            a.limits
            for a in site.amplifiers
            if a.name == line.instrument and isinstance(a, IntanRhxAmplifier)
        ),
        None,
    )
    of_hour = "" if limits is None else f" of {limits.max_triggers_per_hour:,}"
    of_day = "" if limits is None else f" of {limits.max_triggers_per_day:,}"
    return (
        f"{where}: last hour {line.n_hour:,}{of_hour} triggers, {amount(line.charge_hour_c, 'C')}; "
        f"last day {line.n_day:,}{of_day}, {amount(line.charge_day_c, 'C')}; "
        f"all in all {line.n_life:,}, {amount(line.charge_life_c, 'C')}"
    )


_LIFE = -1


def _windows(age_ns: int) -> Iterator[int]:
    yield _LIFE
    for window_ns in (HOUR_NS, DAY_NS):
        if age_ns < window_ns:
            yield window_ns
