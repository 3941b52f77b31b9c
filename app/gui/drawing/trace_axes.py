"""Ticks of the trace view: seconds below, channels at the left, microvolts at the right."""

from collections.abc import Sequence

from app.gui.drawing.list_axis import MIN_TEXT_PX


def lane_ticks(names: Sequence[str]) -> list[tuple[float, str]]:
    """Return each name at the middle of its lane; lanes are one unit high, from the top."""
    return [(i + 0.5, name) for i, name in enumerate(names)]


def scale_ticks(
    scales_uv: Sequence[float], lane_px: float, first_row: int = 0
) -> list[tuple[float, str]]:
    """Return microvolts of lanes from `first_row` on; low lanes show only how far they reach."""
    if lane_px < 4 * MIN_TEXT_PX:
        return [(first_row + i + 0.5, f"±{scale_uv:g}") for i, scale_uv in enumerate(scales_uv)]
    return [
        (first_row + i + fraction, _signed(scale_uv * (1 - 2 * fraction)))
        for i, scale_uv in enumerate(scales_uv)
        for fraction in (0.25, 0.5, 0.75)
    ]


def time_ticks(window_s: float, cell_px: float) -> list[tuple[float, str]]:
    """Return moments in seconds before the right edge; the axis is one unit long a cell."""
    fractions = (1.0, 0.75, 0.5, 0.25, 0.0) if cell_px >= 25 * MIN_TEXT_PX else (1.0, 0.0)
    return [(1 - f, _signed(round(-window_s * f, 6))) for f in fractions]


def _signed(value: float) -> str:
    return "0" if abs(value) < 1e-9 else f"{value:+g}".replace("-", "−")
