"""A device's constants from a file: a laboratory's own device as its mock.

JSON as `spikebridge bench SITE.toml fit` writes it: `reference_v`, and for each polarity
`rate_per_ohm_s`,
`threshold_v`, `slope_v`, `bound_ohm`.
"""

import json
import math
from pathlib import Path
from typing import Any

from mocks.memristor import MemristorModel, SwitchingBranch

_FIELDS = ("rate_per_ohm_s", "threshold_v", "slope_v", "bound_ohm")


def model_from(path: Path) -> MemristorModel:
    """Return the model in a file. Raises ValueError that names what is wrong."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        positive, negative = (_branch(content[word]) for word in ("positive", "negative"))
        reference_v = float(content["reference_v"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"device model {path}: {error!r}") from error
    if not (0 < reference_v <= 12 and negative.bound_ohm < positive.bound_ohm):
        raise ValueError(f"device model {path}: reference_v or bounds make no device")
    return MemristorModel(positive, negative, reference_v=reference_v)


def _branch(content: dict[str, Any]) -> SwitchingBranch:
    values = [float(content[name]) for name in _FIELDS]
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError(f"{_FIELDS} must be positive numbers, not {values}")
    return SwitchingBranch(*values)
