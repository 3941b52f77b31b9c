"""Fit the switching law to measured pulse responses: least squares, from many beginnings.

The errors are those of the logarithm of the resistance after each pulse. Levenberg-Marquardt with
numerical derivatives on four constants for each polarity; the threshold makes the surface flat
where no pulse acts, so it is begun at several places.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from app.bench.errors import BenchError
from app.bench.switching_model import Branch, Floats, Responses, SwitchingModel, rms_error

MIN_PULSES = 8
"""For each polarity; four constants need more than four pulses."""
MIN_MOVED = 4
MOVED = 0.005
"""Relative change from which on a pulse says something of the law."""
_N_FIRST_STEPS = 5
_N_FINALISTS = 4
"""Every beginning goes a few steps; the best of them go on to the end."""
_N_STEPS = 80
_THRESHOLDS = (0.3, 0.5, 0.65, 0.8, 0.92)
_SLOPES_V = (0.08, 0.2, 0.45)
_BOUNDS = (1.15, 1.6, 2.5)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The law's constants, and how well they describe the pulses they come from."""

    model: SwitchingModel
    rms: float
    n_pulses: int


def fit(responses: Responses, reference_v: float) -> Fitted:
    """Return the constants that describe the responses best.

    Raises
    ------
    BenchError
        Too few pulses of one polarity, or too few of them moved the device.
    """
    is_usable = (responses.before_ohm > 0) & (responses.after_ohm > 0) & (responses.width_s > 0)
    usable = responses.where(is_usable)
    model = SwitchingModel(
        reference_v=reference_v,
        positive=_fit_branch(usable.where(usable.amplitude_v > 0), "positive"),
        negative=_fit_branch(usable.where(usable.amplitude_v < 0), "negative"),
    )
    return Fitted(model, rms_error(model, usable), len(usable))


def _fit_branch(pulses: Responses, word: str) -> Branch:
    n_moved = int(np.sum(np.abs(pulses.after_ohm / pulses.before_ohm - 1.0) > MOVED))
    if not (len(pulses) >= MIN_PULSES and n_moved >= MIN_MOVED):
        raise BenchError(
            f"fit: {len(pulses)} {word} pulses, {n_moved} of which moved the device; needed are "
            f"{MIN_PULSES} and {MIN_MOVED}: measure a map with more amplitudes or widths"
        )
    tried = [_descend(begin, pulses, _N_FIRST_STEPS) for begin in _beginnings(pulses)]
    tried.sort(key=lambda found: found[0])
    ended = [_descend(vector, pulses, _N_STEPS) for _, vector in tried[:_N_FINALISTS]]
    cost, vector = min(ended, key=lambda found: found[0], default=(math.inf, np.zeros(4)))
    if not math.isfinite(cost):
        raise BenchError(f"fit: the {word} pulses lead to no constants")
    return _branch(vector, pulses)


def _beginnings(pulses: Responses) -> list[Floats]:
    """Return vectors (ln A, vt, ln v0, ln of the distance from the extreme resistance to r)."""
    largest_v = float(np.max(np.abs(pulses.amplitude_v)))
    extreme = _extreme(pulses)
    begins = []
    for part, slope_v, factor in product(_THRESHOLDS, _SLOPES_V, _BOUNDS):
        beyond = extreme * ((factor - 1.0) if _rises(pulses) else (1.0 - 1.0 / factor))
        vector = np.array([0.0, part * largest_v, math.log(slope_v), math.log(beyond)])
        rate = _rate_for(vector, pulses)
        if rate is not None:
            vector[0] = math.log(rate)
            begins.append(vector)
    return begins


def _rate_for(vector: Floats, pulses: Responses) -> float | None:
    """Return the rate that suits the median of the pulses that act, all else given."""
    branch = _branch(vector, pulses)
    acts = np.abs(pulses.amplitude_v) > branch.threshold_v
    sign = 1.0 if _rises(pulses) else -1.0
    before, after = (sign * (branch.bound_ohm - r) for r in (pulses.before_ohm, pulses.after_ohm))
    acts &= (before > after) & (after > 0)
    if not acts.any():
        return None
    drive = np.expm1((np.abs(pulses.amplitude_v[acts]) - branch.threshold_v) / branch.slope_v)
    rates = (1 / after[acts] - 1 / before[acts]) / (drive * pulses.width_s[acts])
    return float(np.median(rates))


def _descend(vector: Floats, pulses: Responses, n_steps: int) -> tuple[float, Floats]:
    """Go downhill from a beginning; return (sum of squares, vector)."""
    damping = 1e-2
    residuals = _residuals(vector, pulses)
    cost = float(residuals @ residuals)
    for _ in range(n_steps):
        jacobian = _jacobian(vector, residuals, pulses)
        normal = jacobian.T @ jacobian
        step = np.linalg.lstsq(
            normal + damping * np.diag(np.diag(normal) + 1e-12), -jacobian.T @ residuals, rcond=None
        )[0]
        trial = vector + np.clip(step, -1.0, 1.0)
        new_residuals = _residuals(trial, pulses)
        new_cost = float(new_residuals @ new_residuals)
        if new_cost < cost:
            is_done = cost - new_cost < 1e-9 * cost
            vector, residuals, cost, damping = trial, new_residuals, new_cost, damping / 4
            if is_done:
                break
        else:
            damping *= 4
            if damping > 1e8:
                break
    return cost, vector


def _jacobian(vector: Floats, residuals: Floats, pulses: Responses) -> Floats:
    columns = []
    for i in range(len(vector)):
        moved = vector.copy()
        moved[i] += 1e-5
        columns.append((_residuals(moved, pulses) - residuals) / 1e-5)
    return np.stack(columns, axis=1)


def _residuals(vector: Floats, pulses: Responses) -> Floats:
    predicted = _branch(vector, pulses).after_ohm(
        pulses.before_ohm, pulses.amplitude_v, pulses.width_s
    )
    ratio = np.maximum(predicted, 1.0) / pulses.after_ohm
    return np.log(ratio)


def _branch(vector: Floats, pulses: Responses) -> Branch:
    log_rate, threshold_v, log_slope, log_beyond = (float(x) for x in vector)
    beyond_ohm = math.exp(min(log_beyond, 50.0))
    sign = 1.0 if _rises(pulses) else -1.0
    return Branch(
        rate_per_ohm_s=math.exp(min(log_rate, 300.0)),
        threshold_v=threshold_v,
        slope_v=math.exp(min(log_slope, 50.0)),
        bound_ohm=_extreme(pulses) + sign * beyond_ohm,
    )


def _rises(pulses: Responses) -> bool:
    return bool(pulses.amplitude_v[0] > 0)


def _extreme(pulses: Responses) -> float:
    """Return the resistance nearest to the bound that was seen."""
    seen = np.concatenate([pulses.before_ohm, pulses.after_ohm])
    return float(seen.max() if _rises(pulses) else seen.min())
