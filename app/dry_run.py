"""A rig whose actuators are recorders: everything is asked, judged, audited, and nothing moves.

The Gate is the same and cannot tell. Samples, spikes and readings are the real instruments'.
"""

import time
from collections.abc import Sequence

from app.instruments import Rig
from drivers.errors import SafetyLimitError
from drivers.mea.protocol import MeaAmplifier, Pattern, SampleBlock, StreamFormat
from drivers.neuron.protocol import ChipSpike, NeuronChip
from drivers.permit import Action, Permit, PulseDevice
from drivers.safe_state import SafeReport
from drivers.smu.protocol import (
    Capabilities,
    DeviceAddress,
    PulseOutcome,
    Reading,
    SourceMeasureUnit,
)

SENTENCE = "dry run: recorded, nothing was sent"


class _Recorder:
    """Spends permits as a driver does, and keeps their actions instead of sending them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.actions: list[Action] = []

    def take(self, permit: Permit) -> int:
        """Spend a permit; return the host time in ns. Raises as a driver does."""
        self.actions.append(permit.spend(self.name))
        return time.monotonic_ns()


class DryAmplifier(_Recorder):
    """A `MeaAmplifier` that uploads no pattern and presses no key."""

    def __init__(self, amplifier: MeaAmplifier) -> None:
        super().__init__(amplifier.name)
        self._amplifier = amplifier

    @property
    def stream_format(self) -> StreamFormat:
        """Get the format of the blocks."""
        return self._amplifier.stream_format

    def open(self) -> None:
        """Open the amplifier."""
        self._amplifier.open()

    def prepare(self, patterns: Sequence[Pattern]) -> None:
        """Upload no pattern, so that the amplifier has none to trigger."""
        del patterns
        self._amplifier.prepare(())

    def start(self) -> None:
        """Start acquisition."""
        self._amplifier.start()

    def read_block(self, timeout_s: float) -> SampleBlock | None:
        """Return the amplifier's next block."""
        return self._amplifier.read_block(timeout_s)

    def stimulate(self, permit: Permit) -> int:
        """Record the permitted pattern."""
        return self.take(permit)

    def stop(self) -> None:
        """Stop acquisition."""
        self._amplifier.stop()

    def make_safe(self) -> SafeReport:
        """Make the amplifier safe."""
        return self._amplifier.make_safe()

    def close(self) -> None:
        """Close the amplifier."""
        self._amplifier.close()


class DrySmu(_Recorder):
    """A `SourceMeasureUnit` that reads and never pulses."""

    def __init__(self, smu: SourceMeasureUnit) -> None:
        super().__init__(smu.name)
        self._smu = smu

    @property
    def capabilities(self) -> Capabilities:
        """Get what the instrument can do."""
        return self._smu.capabilities

    def open(self) -> None:
        """Open the instrument."""
        self._smu.open()

    def read(self, device: DeviceAddress) -> Reading:
        """Measure one device."""
        return self._smu.read(device)

    def read_agreed(self, device: DeviceAddress) -> Reading:
        """Measure one device until two readings agree."""
        return self._smu.read_agreed(device)

    def pulse(self, permit: Permit) -> PulseOutcome:
        """Record the permitted pulse; the outcome has no reading."""
        action = permit.action
        if not isinstance(action, PulseDevice):
            raise SafetyLimitError(f"{self.name}: {action!r} is no pulse; ask another instrument")
        sent_ns = self.take(permit)
        return PulseOutcome(DeviceAddress(action.wordline, action.bitline), sent_ns, None, SENTENCE)

    def make_safe(self) -> SafeReport:
        """Make the instrument safe."""
        return self._smu.make_safe()

    def close(self) -> None:
        """Close the instrument."""
        self._smu.close()


class DryChip(_Recorder):
    """A `NeuronChip` whose spikes come in and that is never driven."""

    def __init__(self, chip: NeuronChip) -> None:
        super().__init__(chip.name)
        self._chip = chip

    def open(self) -> None:
        """Open the way to the chip."""
        self._chip.open()

    def read_spikes(self, timeout_s: float) -> Sequence[ChipSpike]:
        """Return what arrived."""
        return self._chip.read_spikes(timeout_s)

    def drive(self, permit: Permit) -> int:
        """Record the permitted event."""
        return self.take(permit)

    def make_safe(self) -> SafeReport:
        """Make the chip safe."""
        return self._chip.make_safe()

    def close(self) -> None:
        """Close the way to the chip."""
        self._chip.close()


def as_recorders(rig: Rig) -> Rig:
    """Return the rig with every actuator replaced by a recorder."""
    return Rig(
        amplifiers={name: DryAmplifier(a) for name, a in rig.amplifiers.items()},
        smus={name: DrySmu(smu) for name, smu in rig.smus.items()},
        chips={name: DryChip(chip) for name, chip in rig.chips.items()},
    )
