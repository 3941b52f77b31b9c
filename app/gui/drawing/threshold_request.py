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

    def text(self, name: str, sign: str) -> str:
        """Say in words what is asked for; `name` is the channel's, `sign` the polarity's."""
        who = "all electrodes" if self.channel is None else name
        if self.n_sigma is not None:
            return f"{who}: {sign}{self.n_sigma:g} σ"
        return f"{who}: {sign}{self.threshold_uv:.1f} µV"


def request_of(
    dropped_uv: float, channel: int | None, sigma_uv: float, *, in_sigma: bool
) -> ThresholdRequest | None:
    """Return what a line asks for that was let go at a threshold; None if the noise is not known.

    A multiple of the noise is rounded to a tenth, microvolts to half of one: finer is not meant by
    a hand on a mouse.
    """
    if not in_sigma:
        return ThresholdRequest(channel, threshold_uv=max(0.5, round(dropped_uv * 2) / 2))
    if not sigma_uv > 0:
        return None
    return ThresholdRequest(channel, n_sigma=max(0.1, round(dropped_uv / sigma_uv, 1)))
