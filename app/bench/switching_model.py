"""The switching law that a device's measured pulse response is fitted to.

The bounded quadratic law of the data-driven TiOx model (Messaris et al., 2017) with a threshold:
dR/dt = A (exp((|V| - vt)/v0) - 1) (R - r)^2 towards the bound r, for |V| > vt, per polarity. Its
exact solution for a rectangular pulse is used. A simulated device takes the same constants.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """One polarity."""

    rate_per_ohm_s: float
    threshold_v: float
    slope_v: float
    bound_ohm: float

    def after_ohm(self, before_ohm: Floats, amplitude_v: Floats, width_s: Floats) -> Floats:
        """Return the resistances after pulses of this polarity, all `(n_pulses,)`."""
        overdrive_v = np.abs(amplitude_v) - self.threshold_v
        distance_ohm = self.bound_ohm - before_ohm
        is_rising = amplitude_v > 0
        signed = np.where(is_rising, distance_ohm, -distance_ohm)
        acts = (overdrive_v > 0) & (signed > 0)
        exponent = np.clip(np.where(acts, overdrive_v, 0.0) / self.slope_v, 0.0, 300.0)
        speed = self.rate_per_ohm_s * np.expm1(exponent)
        left = 1.0 / (1.0 / np.where(acts, signed, 1.0) + speed * width_s)
        moved = np.where(is_rising, self.bound_ohm - left, self.bound_ohm + left)
        return np.where(acts, moved, before_ohm)


class SwitchingModel(msgspec.Struct, frozen=True, kw_only=True):
    """Both polarities; resistances are those at `reference_v`. Positive pulses raise."""

    schema_version: int = 1
    reference_v: float
    positive: Branch
    negative: Branch

    def after_ohm(self, before_ohm: Floats, amplitude_v: Floats, width_s: Floats) -> Floats:
        """Return the resistances after pulses, `(n_pulses,)`."""
        return np.where(
            amplitude_v > 0,
            self.positive.after_ohm(before_ohm, amplitude_v, width_s),
            self.negative.after_ohm(before_ohm, amplitude_v, width_s),
        )

    def save(self, path: Path) -> None:
        """Write the constants as JSON, for a mock to load."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


@dataclass(frozen=True, slots=True)
class Responses:
    """Measured pulse responses, `(n_pulses,)` each."""

    before_ohm: Floats
    amplitude_v: Floats
    width_s: Floats
    after_ohm: Floats

    def __len__(self) -> int:
        """Return how many pulses there are."""
        return len(self.before_ohm)

    def where(self, mask: npt.NDArray[np.bool_]) -> "Responses":
        """Return some of them."""
        return Responses(
            self.before_ohm[mask], self.amplitude_v[mask], self.width_s[mask], self.after_ohm[mask]
        )


def rms_error(model: SwitchingModel, responses: Responses) -> float:
    """Return the root mean square of the relative error of the predicted resistances."""
    predicted = model.after_ohm(responses.before_ohm, responses.amplitude_v, responses.width_s)
    return float(np.sqrt(np.mean((predicted / responses.after_ohm - 1.0) ** 2)))
