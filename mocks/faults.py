"""What shall go wrong, and exactly when: a plan of faults that any mock can follow.

A plan is a JSON list of objects, or a JSON object that asks for a random plan:

    [{"kind": "drop_bytes", "on": "reply", "at": 3, "n_bytes": 2},
     {"kind": "stall", "on": "time", "at": 1.5, "duration_s": 0.4}]
    {"seed": 7, "n_faults": 5, "within": 200, "on": "reply", "kinds": ["drop", "garbage"]}
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

KINDS = (
    "delay", "stall", "drop", "drop_bytes", "garbage", "replace", "duplicate",
    "reset", "disconnect",
)  # fmt: skip
KINDS_ON_TIME = ("stall", "garbage", "reset", "disconnect")
TRIGGERS = ("reply", "request", "time")
_MAX_DURATION_S = 3600.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble and the moment it strikes.

    `on` "reply" or "request": from the `at`-th piece on (the first is 1) that the mock sends or
    receives, for `count` pieces. What a piece is, each mock says: a line, a datagram, one write.
    `on` "time": once, `at` seconds after the mock began to serve; not for every kind.

    - delay: this piece comes `duration_s` later; others go on.
    - stall: the instrument does nothing at all for `duration_s`.
    - drop: the piece is lost. drop_bytes: `n_bytes` from `offset` on are.
    - garbage: the bytes `data_hex` come before the piece. replace: they come instead of it.
    - duplicate: the piece comes twice.
    - reset: the instrument restarts and forgets what it was doing.
    - disconnect: the connection is gone for `duration_s`.
    """

    kind: str
    on: str = "reply"
    at: float = 1.0
    count: int = 1
    duration_s: float = 0.5
    n_bytes: int = 1
    offset: int = 0
    data_hex: str = "ff0a00"

    def __post_init__(self) -> None:
        if self.on not in TRIGGERS:
            raise ValueError(f"fault on {self.on!r} is unknown; known are {', '.join(TRIGGERS)}")
        kinds = KINDS_ON_TIME if self.on == "time" else KINDS
        if self.kind not in kinds:
            raise ValueError(f"fault kind {self.kind!r} on {self.on}: use one of {kinds}")
        lowest = 0.0 if self.on == "time" else 1.0
        if not (lowest <= self.at < float("inf")):
            raise ValueError(f"fault {self.kind}: at is {self.at}; it must be {lowest:g} or more")
        if not (0.0 <= self.duration_s <= _MAX_DURATION_S):
            raise ValueError(
                f"fault {self.kind}: duration_s {self.duration_s} is outside 0..{_MAX_DURATION_S:g}"
            )
        if not (self.count >= 1 and self.n_bytes >= 1 and self.offset >= 0):
            raise ValueError(f"fault {self.kind}: count, n_bytes >= 1 and offset >= 0 are needed")
        bytes.fromhex(self.data_hex)  # raises ValueError

    def strikes(self, n: int) -> bool:
        """Say whether the `n`-th piece is hit."""
        return self.at <= n < self.at + self.count

    def spoil(self, piece: bytes) -> bytes:
        """Return what is left of a piece; kinds that change no bytes return it as it is."""
        match self.kind:
            case "drop":
                return b""
            case "drop_bytes":
                return piece[: self.offset] + piece[self.offset + self.n_bytes :]
            case "garbage":
                return bytes.fromhex(self.data_hex) + piece
            case "replace":
                return bytes.fromhex(self.data_hex)
            case "duplicate":
                return piece + piece
        return piece


@dataclass(slots=True)
class FaultPlan:
    """The faults still to come and those that struck. Each mock owns one; one thread uses it."""

    faults: tuple[Fault, ...] = ()
    struck: list[Fault] = field(default_factory=list)
    _n_pieces: dict[str, int] = field(default_factory=dict)
    _timed: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._timed = sorted((f for f in self.faults if f.on == "time"), key=lambda f: f.at)

    def next_piece(self, on: str) -> tuple[Fault, ...]:
        """Count one more "reply" or "request" and return the faults that strike it."""
        n = self._n_pieces.get(on, 0) + 1
        self._n_pieces[on] = n
        due = tuple(f for f in self.faults if f.on == on and f.strikes(n))
        self.struck += due
        return due

    def next_time_s(self) -> float | None:
        """Return when the next timed fault is due, in seconds of serving; None if none is."""
        return self._timed[0].at if self._timed else None

    def take_due(self, elapsed_s: float) -> tuple[Fault, ...]:
        """Return the timed faults due by now, each once."""
        due = tuple(f for f in self._timed if f.at <= elapsed_s)
        self._timed = self._timed[len(due) :]
        self.struck += due
        return due


def spoil(piece: bytes, faults: Iterable[Fault]) -> bytes:
    """Return what is left of a piece after all faults, in the order of the plan."""
    for fault in faults:
        piece = fault.spoil(piece)
    return piece


def longest_s(faults: Iterable[Fault], kind: str) -> float:
    """Return the longest duration among the faults of a kind; 0 if there is none."""
    return max((f.duration_s for f in faults if f.kind == kind), default=0.0)


def plan_from(text: str) -> FaultPlan:
    """Return the plan written in JSON; raises ValueError that names what is wrong."""
    try:
        wanted = json.loads(text) if text.strip() else []
        if isinstance(wanted, dict):
            return random_plan(**cast("dict[str, Any]", wanted))
        return FaultPlan(tuple(Fault(**entry) for entry in wanted))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"fault plan {text!r}: {error}") from error


def random_plan(
    seed: int,
    n_faults: int,
    within: int,
    on: str = "reply",
    kinds: tuple[str, ...] = ("drop", "drop_bytes", "garbage", "delay"),
    duration_s: float = 0.2,
) -> FaultPlan:
    """Return a plan that is always the same for the same arguments.

    The faults strike different pieces among the first `within`; raises ValueError if there are
    not so many.
    """
    if not (0 <= n_faults <= within):
        raise ValueError(f"{n_faults} faults do not fit into {within} pieces")
    rng = np.random.default_rng(seed)
    places = np.sort(rng.choice(within, n_faults, replace=False)) + 1
    return FaultPlan(
        tuple(Fault(str(rng.choice(kinds)), on, float(at), duration_s=duration_s) for at in places)
    )
