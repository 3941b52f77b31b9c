"""How far a procedure is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a procedure is, for a person."""

    done: int
    total: int
    text: str
