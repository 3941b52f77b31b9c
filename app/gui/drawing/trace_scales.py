"""How many microvolts reach from the middle of each channel's cell to its edge."""

import numpy as np
import numpy.typing as npt

from app.gui.drawing.trace_settings import SCALES_UV, TraceSettings, round_up_125, step

COMMON_UV = 100.0
"""With scales of their own, channels are drawn larger or smaller by `scale_uv` over this."""


class TraceScales:
    """A scale of its own for each channel; which of them count is in the settings."""

    def __init__(self, n_channels: int) -> None:
        self._own_uv = np.full(n_channels, COMMON_UV)

    def uv(self, settings: TraceSettings) -> npt.NDArray[np.float64]:
        """Return the scale of every channel, `(n_channels,)`."""
        if settings.is_scale_per_channel:
            return self._own_uv * (settings.scale_uv / COMMON_UV)
        return np.full(len(self._own_uv), settings.scale_uv)

    def fit(self, peaks_uv: npt.NDArray[np.float64]) -> None:
        """Give each channel the next round scale that holds its peak."""
        self._own_uv = np.array([round_up_125(float(peak)) for peak in peaks_uv])

    def step_one(self, channel: int, n_steps: int, settings: TraceSettings) -> None:
        """Widen (positive) or narrow the scale of one channel; the others stay as they look."""
        self._own_uv = self.uv(settings)
        self._own_uv[channel] = step(SCALES_UV, float(self._own_uv[channel]), n_steps)
