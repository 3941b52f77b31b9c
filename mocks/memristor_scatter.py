"""How the devices of one array differ from each other, and the few that do not work at all.

Sizes: our choice for an array of TiOx devices, in the order of what is published for them.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from mocks.memristor import MemristorModel, SwitchingBranch

STUCK_OPEN_OHM = 20e6
STUCK_SHORT_OHM = 200.0


@dataclass(frozen=True, slots=True)
class Scatter:
    """The spread from device to device; 0 is none.

    - resistance_sigma, rate_sigma: of the logarithms of the first resistance and of the speed.
    - threshold_sigma_v: of both thresholds, which shift together.
    - open_share, short_share: parts of the devices that are stuck.
    """

    resistance_sigma: float = 0.0
    rate_sigma: float = 0.0
    threshold_sigma_v: float = 0.0
    open_share: float = 0.0
    short_share: float = 0.0


NO_SCATTER = Scatter()
SCATTER = Scatter(0.35, 0.4, 0.06, 0.02, 0.01)


def scattered(
    model: MemristorModel, typical_ohm: float, scatter: Scatter, rng: np.random.Generator
) -> tuple[MemristorModel, float]:
    """Return the constants and the first resistance of one device of the array.

    Takes the same number of draws from `rng` whatever comes of it.
    """
    resistance, rate, threshold = rng.standard_normal(3)
    fate = rng.random()
    speed = math.exp(scatter.rate_sigma * rate)
    shift_v = float(scatter.threshold_sigma_v * threshold)
    if fate < scatter.open_share:
        return _with_speed(model, 0.0, 0.0), STUCK_OPEN_OHM
    if fate < scatter.open_share + scatter.short_share:
        return _with_speed(model, 0.0, 0.0), STUCK_SHORT_OHM
    first_ohm = typical_ohm * math.exp(scatter.resistance_sigma * resistance)
    return _with_speed(model, speed, shift_v), first_ohm


def _with_speed(model: MemristorModel, speed: float, shift_v: float) -> MemristorModel:
    def changed(branch: SwitchingBranch) -> SwitchingBranch:
        return replace(
            branch,
            rate_per_ohm_s=branch.rate_per_ohm_s * speed,
            threshold_v=branch.threshold_v + shift_v,
        )

    return replace(model, positive=changed(model.positive), negative=changed(model.negative))
