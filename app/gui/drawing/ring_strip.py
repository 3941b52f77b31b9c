"""How an image whose x is a ring is to be unrolled."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Strip:
    """A vertical strip of the image whose x is a ring: its oldest pixel lies at `x + phase`."""

    x: int
    width: int
    phase: int
