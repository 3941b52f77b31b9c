"""What an operator asks for when moving a threshold."""

from dataclasses import dataclass

TOLERANCE = 0.01
"""A reported threshold this close to what was asked for is the same."""


@dataclass(frozen=True, slots=True)
class ThresholdRequest:
    """A new detection threshold: a magnitude in microvolts, or a multiple of the noise.

    Exactly one of `threshold_uv` and `n_sigma` is given.
    """

    channel: int | None
    """None: every channel."""
    threshold_uv: float | None = None
    n_sigma: float | None = None

    def __post_init__(self) -> None:
        """Refuse what says nothing, or two things."""
        given = [v for v in (self.threshold_uv, self.n_sigma) if v is not None]
        if len(given) != 1 or not given[0] > 0:
            raise ValueError(
                f"threshold of {self.threshold_uv} µV and {self.n_sigma} sigma: "
                "give one of them, above zero"
            )

    def magnitude_uv(self, sigma_uv: float) -> float:
        """Return what it comes to on a channel with that noise."""
        if self.threshold_uv is not None:
            return self.threshold_uv
        return (self.n_sigma or 0.0) * sigma_uv

    def is_met(self, threshold_uv: float, sigma_uv: float) -> bool:
        """Say whether a threshold that an engine reports is what was asked for."""
        wanted_uv = self.magnitude_uv(sigma_uv)
        return abs(threshold_uv - wanted_uv) <= TOLERANCE * wanted_uv

    def text(self, name: str) -> str:
        """Say in words what is asked for; `name` is the channel's."""
        who = "all electrodes" if self.channel is None else name
        if self.n_sigma is not None:
            return f"{who}: −{self.n_sigma:g} σ"
        return f"{who}: −{self.threshold_uv:.1f} µV"


def request_at(
    y_uv: float, channel: int | None, sigma_uv: float, *, in_sigma: bool
) -> ThresholdRequest | None:
    """Return what a line dragged to `y_uv` asks for; None where it cannot be a threshold.

    A multiple of the noise is rounded to a tenth, microvolts to half of one: finer is not meant by
    a hand on a mouse.
    """
    if in_sigma:
        n_sigma = round(-y_uv / sigma_uv, 1) if sigma_uv > 0 else 0.0
        return ThresholdRequest(channel, n_sigma=n_sigma) if n_sigma > 0 else None
    threshold_uv = round(-y_uv * 2) / 2
    return ThresholdRequest(channel, threshold_uv=threshold_uv) if threshold_uv > 0 else None
