"""What one permit gives to one electrode or device, as the record and later sessions count it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dose:
    """A permitted trigger counts as delivered, whatever becomes of it: errs high."""

    instrument: str
    target: str
    """Channel of an amplifier, or a device's name."""
    n_pulses: int
    """Triggers of an electrode, pulses on a device."""
    charge_c: float
    """First phases' charge; 0 on a device."""
