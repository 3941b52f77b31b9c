"""Which electrodes are well, and how an impedance check is written down. Pure."""

import csv
import io
from collections.abc import Sequence
from statistics import median

from app.config.amplifiers import ImpedanceLimits
from app.safety.quantity import amount
from drivers.mea.protocol import ElectrodeImpedance, ImpedanceCheck

MAX_NAMED = 12
"""More bad electrodes are counted, not listed."""


def fault_of(electrode: ElectrodeImpedance, limits: ImpedanceLimits) -> str:
    """Return what is wrong with an electrode in a word; empty: nothing."""
    if not (electrode.magnitude_ohm >= limits.min_ohm):
        return "shorted"
    return "" if electrode.magnitude_ohm <= limits.max_ohm else "open"


def in_a_sentence(check: ImpedanceCheck, limits: ImpedanceLimits) -> str:
    """Return the check for the log: how many, how much, and each electrode that is bad."""
    middle = median(e.magnitude_ohm for e in check.electrodes)
    said = (
        f"impedance of {len(check.electrodes)} electrodes at {check.frequency_hz:g} Hz: median "
        f"{amount(middle, 'ohm')}"
    )
    bad = bad_ones(check, limits)
    allowed = f"{amount(limits.min_ohm, 'ohm')} to {amount(limits.max_ohm, 'ohm')}"
    if not bad:
        return f"{said}, all within {allowed}"
    named = ", ".join(
        f"{e.channel} {fault_of(e, limits)} ({amount(e.magnitude_ohm, 'ohm')})"
        for e in bad[:MAX_NAMED]
    )
    more = f" and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
    return f"{said}; {len(bad)} outside {allowed}: {named}{more}"


def bad_ones(check: ImpedanceCheck, limits: ImpedanceLimits) -> Sequence[ElectrodeImpedance]:
    """Return the electrodes with which something is wrong."""
    return [e for e in check.electrodes if fault_of(e, limits)]


def as_csv(check: ImpedanceCheck, limits: ImpedanceLimits) -> str:
    """Return the check as a table, one electrode a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["channel", "frequency_hz", "magnitude_ohm", "phase_deg", "fault"])
    for e in check.electrodes:
        row = (e.channel, check.frequency_hz, e.magnitude_ohm, e.phase_deg, fault_of(e, limits))
        writer.writerow(row)
    return text.getvalue()
