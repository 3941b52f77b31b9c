"""What one permit gives to one electrode or device, as the record and later sessions count it."""

import msgspec


class Dose(msgspec.Struct, frozen=True):
    """A permitted trigger counts as delivered, whatever becomes of it: errs high."""

    instrument: str
    target: str
    """Channel of an amplifier, or a device's name."""
    n_pulses: int
    """Triggers of an electrode, pulses on a device."""
    charge_c: float
    """First phases' charge; 0 on a device."""
