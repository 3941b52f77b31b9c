"""How traces are shown: window, scale, signal, arrangement."""

import dataclasses
import math
from dataclasses import dataclass

WINDOWS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
SCALES_UV = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)
"""From zero to the upper edge."""
N_LANES = (1, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What an operator chose. A new one for every change."""

    window_s: float = 2.0
    scale_uv: float = 100.0
    is_scale_per_channel: bool = False
    """Each channel's own scale times `scale_uv / 100`."""
    is_filtered: bool = True
    is_grid: bool = True
    n_lanes: int = 16
    first_lane: int = 0

    def with_window(self, n_steps: int) -> "TraceSettings":
        """Return a longer (positive) or shorter window; at the ends nothing changes."""
        return dataclasses.replace(self, window_s=step(WINDOWS_S, self.window_s, n_steps))

    def with_scale(self, n_steps: int) -> "TraceSettings":
        """Return a wider (positive) or narrower scale; at the ends nothing changes."""
        return dataclasses.replace(self, scale_uv=step(SCALES_UV, self.scale_uv, n_steps))

    def with_page(self, n_pages: int, n_channels: int, n_lanes: int) -> "TraceSettings":
        """Return a later (positive) or an earlier page, where `n_lanes` fit on one."""
        last = max(0, math.ceil(n_channels / n_lanes) - 1) * n_lanes
        first = self.first_lane + n_pages * n_lanes
        return dataclasses.replace(self, first_lane=min(max(0, first), last))


def step(values: tuple[float, ...], value: float, n_steps: int) -> float:
    """Return the value `n_steps` further in the list than the one nearest to `value`."""
    nearest = min(range(len(values)), key=lambda i: abs(math.log(values[i] / value)))
    return values[min(max(0, nearest + n_steps), len(values) - 1)]


def round_up_125(value: float) -> float:
    """Return the next of ..., 1, 2, 5, 10, ... that is at least `value`; 1 for nothing at all."""
    if not value > 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(value))
    return next(m * decade for m in (1, 2, 5, 10) if value <= m * decade * (1 + 1e-9))
