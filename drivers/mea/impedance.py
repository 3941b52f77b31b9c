"""What an impedance check tells, and which amplifiers have one."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from drivers.permit import Permit


@dataclass(frozen=True, slots=True)
class ElectrodeImpedance:
    """One electrode's impedance, as the amplifier states it."""

    channel: str
    magnitude_ohm: float
    phase_deg: float


@dataclass(frozen=True, slots=True)
class ImpedanceCheck:
    """One measurement of all channels that are read; what was not told is not in it."""

    frequency_hz: float
    """At which it was really measured."""
    electrodes: tuple[ElectrodeImpedance, ...]


@runtime_checkable
class MeasuresImpedance(Protocol):
    """An amplifier that can measure its electrodes, while stopped."""

    def prepare_impedance(self, frequency_hz: float) -> float:
        """Make ready to measure at a frequency; return at which it would be. No current flows.

        Raises
        ------
        SafetyLimitError
            Not possible here, or not at this frequency.
        InstrumentError
            The amplifier does not answer as it should.
        """

    def measure_impedance(self, permit: Permit) -> ImpedanceCheck:
        """Measure every electrode at the frequency made ready; it cannot be interrupted.

        Raises
        ------
        SafetyLimitError
            Not made ready, or no valid permit; no current flowed.
        InstrumentError
            Whether all was measured is not known.
        """
