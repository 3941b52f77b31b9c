"""What one bench source-measure unit is set to, and what its driver never exceeds."""

import math
from dataclasses import dataclass

from drivers.errors import SafetyLimitError
from drivers.smu.protocol import Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """Settings and hard limits; the limits are the driver's own, below the Gate's."""

    read_voltage_v: float = 0.2
    compliance_a: float = 1e-4
    """Set before the output goes on, read back and compared."""
    nplc: float = 0.1
    """Integration of a reading, in cycles of the mains."""
    settle_s: float = 1e-3
    """From a new level to its measurement."""
    is_four_wire: bool = False
    is_rear: bool = False
    """The device hangs on the rear terminals."""
    max_disagreement: float = 0.02
    """Largest relative difference of two readings that agree."""
    reply_deadline_s: float = 1.0
    max_read_voltage_v: float = 0.5
    max_pulse_v: float = 1.5
    max_forming_v: float = 0.0
    """For pulses that form a new device; 0: none. The source range covers it."""
    min_pulse_width_s: float = 100e-6
    max_pulse_width_s: float = 10e-3

    @property
    def source_range_v(self) -> float:
        """Get what the fixed source range must cover."""
        return max(self.max_pulse_v, self.max_forming_v)

    def check(self, name: str, can: Capabilities) -> None:
        """Raise `SafetyLimitError` for what the instrument cannot do."""
        for what, value, low, high in self._ranges(can):
            if not (low <= value <= high):
                raise SafetyLimitError(
                    f"{name}: {what} {value!r}, allowed {low:g} to {high:g} on a {can.model}; "
                    "correct the setting"
                )
        if not abs(self.read_voltage_v) > 0:
            raise SafetyLimitError(f"{name}: read_voltage_v 0 V measures nothing; raise it")

    def _ranges(self, can: Capabilities) -> tuple[tuple[str, float, float, float], ...]:
        least_v = -self.max_read_voltage_v
        return (
            ("max_read_voltage_v", self.max_read_voltage_v, 0.0, can.max_pulse_v),
            ("max_pulse_v", self.max_pulse_v, 0.0, can.max_pulse_v),
            ("max_forming_v", self.max_forming_v, 0.0, can.max_pulse_v),
            ("max_pulse_width_s", self.max_pulse_width_s, can.min_width_s, can.max_width_s),
            ("min_pulse_width_s", self.min_pulse_width_s, 0.0, self.max_pulse_width_s),
            ("read_voltage_v", self.read_voltage_v, least_v, self.max_read_voltage_v),
            (
                "compliance_a",
                self.compliance_a,
                can.min_compliance_a or 0.0,
                can.max_compliance_a or 0.0,
            ),
            ("nplc", self.nplc, 0.01, 10.0),
            ("settle_s", self.settle_s, 0.0, 1.0),
            ("max_disagreement", self.max_disagreement, 0.0, 1.0),
            ("reply_deadline_s", self.reply_deadline_s, math.ulp(0.0), 60.0),
        )
