"""What happens in an engine, one at a time: what a log and the synapses' histories are made of."""

from typing import Literal

import msgspec

from app.core.measured import Point


class _Happening(msgspec.Struct, frozen=True, kw_only=True, tag_field="what"):
    time_ns: int
    """Site time."""


class LogLine(_Happening, frozen=True, kw_only=True, tag="log"):
    """Something that a person may want to read, now or in the morning."""

    level: Literal["info", "warning", "error"]
    source: str
    """Such as "gate", "link padova", "recording", an instrument's or an operator's name."""
    text: str


class DeviceRead(_Happening, frozen=True, kw_only=True, tag="read"):
    """A device's resistance was read."""

    instrument: str
    wordline: int
    bitline: int
    resistance_ohm: float


class DevicePulse(_Happening, frozen=True, kw_only=True, tag="pulse"):
    """What became of a pulse that a rule wanted."""

    synapse: int
    instrument: str
    wordline: int
    bitline: int
    direction: Literal["LTP", "LTD"]
    before_ohm: float | None
    after_ohm: float | None
    verdict: str
    """Such as "moved", "unconfirmed", "refused", "late"."""
    detail: str


class Hole(_Happening, frozen=True, kw_only=True, tag="hole"):
    """A stretch of a synapse's event time that nobody knows; its rule holds."""

    synapse: int
    from_ns: int
    to_ns: int
    reason: str


class ProcedurePoints(_Happening, frozen=True, kw_only=True, tag="procedure points"):
    """What a procedure of the bench has measured since the last of these."""

    number: int
    """Of the procedure, from 1 in each session."""
    first: int
    """How many of its points came before; a console that looked late knows what it lacks."""
    points: tuple[Point, ...]


class ProcedureEnded(_Happening, frozen=True, kw_only=True, tag="procedure ended"):
    """A procedure of the bench has come to its end, or its figures have been drawn."""

    number: int
    procedure: str
    devices: tuple[str, ...]
    is_well: bool
    lines: tuple[str, ...]
    """What came of it, in sentences."""
    n_points: int
    folder: str
    files: tuple[str, ...]


Happening = LogLine | DeviceRead | DevicePulse | Hole | ProcedurePoints | ProcedureEnded
"""Body of an EVENT frame: a JSON list of these."""
