"""What a driver demands before it moves anything.

A driver has no method that moves an output and takes plain numbers: each takes a `Permit`, which
only the Gate (`app.safety`) makes. The permit carries the action itself, so what was permitted and
what is delivered cannot differ.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.errors import SafetyLimitError

if TYPE_CHECKING:
    from drivers.mea.protocol import Pattern

PERMIT_LIFE_NS = 20_000_000
"""A permit is valid for 20 ms: longer, and what was true when it was given may not be."""


@dataclass(frozen=True, slots=True)
class Stimulate:
    """Trigger one prepared stimulation pattern of an amplifier, by its number."""

    pattern_id: int


@dataclass(frozen=True, slots=True)
class PulseDevice:
    """Apply one voltage pulse to one memristor. Lines count from 1."""

    wordline: int
    bitline: int
    amplitude_v: float
    width_s: float
    is_forming: bool = False
    """The pulse that makes a new device switch: larger, and only under an arm of its own."""


@dataclass(frozen=True, slots=True)
class DriveNeuron:
    """Send one weighted event to a neuron of a chip. `weight_code` is 0 to 255."""

    neuron: int
    weight_code: int


@dataclass(frozen=True, slots=True)
class UploadPattern:
    """Prepare another waveform under the number and on the electrodes of a prepared pattern."""

    pattern: "Pattern"


@dataclass(frozen=True, slots=True)
class MeasureImpedance:
    """Pass a small alternating current through every electrode in turn, and tell its impedance."""

    frequency_hz: float


Upkeep = UploadPattern | MeasureImpedance
"""What is done to a stopped amplifier, and only while nothing may move."""

Action = Stimulate | PulseDevice | DriveNeuron | Upkeep


class Permit:
    """Leave to do one action, once, on one instrument, now.

    `is_tripped` is looked at again at delivery: a permit given just before a trip is still young.
    """

    __slots__ = (
        "_clock_ns",
        "_is_tripped",
        "_lock",
        "_spent",
        "action",
        "expires_ns",
        "instrument",
        "number",
    )

    def __init__(
        self,
        *,
        instrument: str,
        action: Action,
        number: int,
        expires_ns: int,
        is_tripped: Callable[[], bool],
        clock_ns: Callable[[], int],
    ) -> None:
        self.instrument = instrument
        self.action = action
        self.number = number
        self.expires_ns = expires_ns
        self._is_tripped = is_tripped
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._spent = False

    def spend(self, instrument: str) -> Action:
        """Hand out the action, once; the driver calls this right before the first byte.

        Raises
        ------
        SafetyLimitError
            The permit is another instrument's, was spent, has expired, or the Gate has tripped.
            It is spent in each of these cases: a permit never gets a second try.
        """
        with self._lock:
            was_spent, self._spent = self._spent, True
        if was_spent:
            raise SafetyLimitError(f"{instrument}: permit {self.number} was already spent")
        if instrument != self.instrument:
            raise SafetyLimitError(
                f"{instrument}: permit {self.number} is for {self.instrument}, not for this one"
            )
        if self._is_tripped():
            raise SafetyLimitError(f"{instrument}: permit {self.number} refused, the Gate tripped")
        late_ns = self._clock_ns() - self.expires_ns
        if not late_ns <= 0:
            raise SafetyLimitError(
                f"{instrument}: permit {self.number} expired {late_ns / 1e6:.1f} ms ago"
            )
        return self.action

    def refuse_if_tripped(self, instrument: str) -> None:
        """Raise `SafetyLimitError` if the Gate has tripped since this permit was spent.

        For a delivery that takes several messages: asked again right before the one that moves.
        """
        if self._is_tripped():
            raise SafetyLimitError(f"{instrument}: permit {self.number} refused, the Gate tripped")
