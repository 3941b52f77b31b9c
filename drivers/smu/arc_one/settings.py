"""What one ArC ONE is set to, and what its driver never exceeds whoever asks."""

import math
from dataclasses import dataclass

from drivers.errors import SafetyLimitError
from drivers.smu.arc_one.wire import (
    MAX_COMPLIANCE_A,
    MAX_LINE,
    MAX_PULSE_WIDTH_S,
    MAX_VOLTAGE_V,
    MIN_COMPLIANCE_A,
    MIN_PULSE_WIDTH_S,
    ReadMode,
    SessionMode,
    SneakPath,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcOneSettings:
    """Settings and hard limits. Raises `SafetyLimitError` for what the board cannot do.

    The limits here are the driver's own, below the Gate's: the largest of any device behind the
    board. The board itself takes +-12 V and 90 ns to 10 s.
    """

    read_voltage_v: float = 0.2
    n_read_cycles: int = 50
    n_wordlines: int = 32
    n_bitlines: int = 32
    read_mode: ReadMode = ReadMode.TIA_4_POINT
    session_mode: SessionMode = SessionMode.LOCAL
    """Only LOCAL: what the board returns in the others is not known well enough."""
    sneak_path: SneakPath = SneakPath.THIRD
    line_pacing_s: float = 1e-3
    """After each line: the board's input buffer is small, below 0.5 ms it loses lines."""
    reset_wait_s: float = 1.0
    reply_deadline_s: float = 1.0
    """For one reading; a pulse adds its width, an array 20 ms a device."""
    init_deadline_s: float = 2.0
    max_disagreement: float = 0.02
    """Largest relative difference of two readings that agree."""
    is_asking_firmware: bool = False
    """Ask the firmware version at `open`; old firmware lets us wait 2 s for nothing."""
    max_read_voltage_v: float = 0.5
    max_pulse_v: float = 1.5
    compliance_a: float | None = None
    """For measured pulses, which the board makes as curves of one step; other pulses have none."""
    max_forming_v: float = 0.0
    """0: this rig forms nothing."""
    min_pulse_width_s: float = 100e-9
    max_pulse_width_s: float = 10e-3

    def __post_init__(self) -> None:
        for name, value, low, high in self._ranges():
            if not (low <= value <= high):
                raise SafetyLimitError(
                    f"ArC ONE: {name} {value!r}, allowed {low:g} to {high:g}; correct the setting"
                )
        if not abs(self.read_voltage_v) > 0:
            raise SafetyLimitError("ArC ONE: read_voltage_v 0 V measures nothing; raise it")
        if self.read_mode is ReadMode.CLASSIC and not self.read_voltage_v == 0.5:
            raise SafetyLimitError(
                f"ArC ONE: read_voltage_v {self.read_voltage_v:g} V, read mode CLASSIC allows only "
                "0.5 V; use TIA_4_POINT"
            )
        if self.session_mode is not SessionMode.LOCAL:
            raise SafetyLimitError(
                f"ArC ONE: session mode {self.session_mode.name}, allowed LOCAL; put the device "
                "in the board's socket"
            )

    def _ranges(self) -> tuple[tuple[str, float, float, float], ...]:
        return (
            ("max_read_voltage_v", self.max_read_voltage_v, 0.0, MAX_VOLTAGE_V),
            ("max_forming_v", self.max_forming_v, 0.0, MAX_VOLTAGE_V),
            ("max_pulse_v", self.max_pulse_v, 0.0, MAX_VOLTAGE_V),
            ("max_pulse_width_s", self.max_pulse_width_s, MIN_PULSE_WIDTH_S, MAX_PULSE_WIDTH_S),
            ("min_pulse_width_s", self.min_pulse_width_s, MIN_PULSE_WIDTH_S, MAX_PULSE_WIDTH_S),
            (
                "read_voltage_v",
                self.read_voltage_v,
                -self.max_read_voltage_v,
                self.max_read_voltage_v,
            ),
            (
                "compliance_a",
                MIN_COMPLIANCE_A if self.compliance_a is None else self.compliance_a,
                MIN_COMPLIANCE_A,
                MAX_COMPLIANCE_A,
            ),
            ("n_read_cycles", self.n_read_cycles, 1, 1000),
            ("n_wordlines", self.n_wordlines, 1, MAX_LINE),
            ("n_bitlines", self.n_bitlines, 1, MAX_LINE),
            ("line_pacing_s", self.line_pacing_s, 0.0, 0.1),
            ("reset_wait_s", self.reset_wait_s, 0.0, 60.0),
            ("reply_deadline_s", self.reply_deadline_s, math.ulp(0.0), 60.0),
            ("init_deadline_s", self.init_deadline_s, math.ulp(0.0), 60.0),
            ("max_disagreement", self.max_disagreement, 0.0, 1.0),
        )
