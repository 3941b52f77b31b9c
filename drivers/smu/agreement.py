"""Readings that decide something are taken until two in a row agree."""

from collections.abc import Callable

from drivers.errors import InstrumentError, InstrumentProtocolError
from drivers.smu.protocol import Reading

MAX_READS = 4


class NoAgreementError(InstrumentProtocolError):
    """No two readings in a row agree."""


def read_until_agreed(name: str, read: Callable[[], Reading], max_disagreement: float) -> Reading:
    """Read until two in a row differ by at most `max_disagreement`, relative; return the later.

    Raises as `read` does, and `NoAgreementError` after four.
    """
    readings = [read()]
    while len(readings) < MAX_READS:
        readings.append(read())
        one_ohm, other_ohm = (reading.resistance_ohm for reading in readings[-2:])
        if abs(one_ohm - other_ohm) <= max_disagreement * min(one_ohm, other_ohm):
            return readings[-1]
    values = ", ".join(f"{reading.resistance_ohm:g}" for reading in readings)
    raise NoAgreementError(
        f"{name}: {readings[0].device} reads {values} ohm, allowed are two in a row within "
        f"{max_disagreement:.1%}; check its contacts"
    )


def read_after(read: Callable[[], Reading]) -> tuple[Reading | None, str]:
    """Read after a pulse that happened; return what came, or nothing and why."""
    try:
        return read(), ""
    except InstrumentError as exc:
        return None, f"the pulse happened, the reading after it failed: {exc}"
