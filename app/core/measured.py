"""What a procedure measures: one row for each reading, pulse and step, in the order of time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement on one device.

    `tag` is that of the ArC ONE's session files: `S` a reading, `F` one of reading all, `P` a
    pulse, `CT` a current-voltage curve, `RET` retention, `EN` endurance, `FF` forming, `MAP` a
    pulse response, `CTS` programming to a target.
    """

    time_ns: int
    wordline: int
    bitline: int
    device: str
    tag: str
    resistance_ohm: float | None
    """After the pulse, where there was one; None: no believable reading."""
    read_voltage_v: float
    amplitude_v: float
    """Of the pulse; of a reading, the read voltage."""
    width_s: float
    """0 for a reading."""
    before_ohm: float | None = None
    pulse_v: float | None = None
    """The voltage in the pulse, where the instrument measures it."""
    current_a: float | None = None
    """In the pulse, where the instrument measures it."""
    is_limited: bool | None = None
    """At the compliance."""
    verdict: str = ""
    detail: str = ""
