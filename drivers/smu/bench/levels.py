"""What a measurement means: whether it was made at the level that was asked, and its resistance."""

from drivers.errors import InstrumentProtocolError
from drivers.smu.bench.dialect import Measured

LEVEL_TOLERANCE = 0.02
LEVEL_TOLERANCE_V = 5e-3
"""What an instrument measures of its own level may differ by so much from what was asked."""
MAX_RESISTANCE_OHM = 1e9


def is_at_level(measured: Measured, asked_v: float) -> bool:
    """Say whether a measurement was made at the level that was asked."""
    off_v = abs(measured.voltage_v - asked_v)
    if off_v <= LEVEL_TOLERANCE * abs(asked_v) + LEVEL_TOLERANCE_V:
        return True
    # At the compliance the instrument lowers the voltage: that is what it is for.
    return measured.is_limited and 0 <= measured.voltage_v / asked_v <= 1


def resistance_ohm(name: str, measured: Measured) -> float:
    """Return the resistance that was measured, or raise `InstrumentProtocolError` if it is none."""
    ratio = measured.voltage_v / measured.current_a if measured.current_a else float("inf")
    if not (0 < ratio <= MAX_RESISTANCE_OHM):
        raise InstrumentProtocolError(
            f"{name}: {measured.current_a:g} A at {measured.voltage_v:g} V is no "
            f"resistance up to {MAX_RESISTANCE_OHM:g} ohm; check contacts and polarity"
        )
    return ratio
