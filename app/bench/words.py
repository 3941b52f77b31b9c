"""What the bench found, as a person reads it."""

from collections.abc import Sequence

import numpy as np


def ohm(value: float | None) -> str:
    """Return a resistance."""
    return "unknown" if value is None else f"{value:.1f} ohm"


def ohms(values: Sequence[float]) -> str:
    """Return readings of one device: their mean and how they spread."""
    if not values:
        return "no believable reading"
    spread = f" +- {float(np.std(values)):.1f}" if len(values) > 1 else ""
    return f"{float(np.mean(values)):.1f}{spread} ohm"


def age(age_s: float | None) -> str:
    """Return how long ago something was."""
    if age_s is None:
        return "never"
    for unit_s, word in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if age_s >= 2 * unit_s:
            return f"{age_s / unit_s:.1f} {word} ago"
    return f"{age_s:.0f} s ago"
