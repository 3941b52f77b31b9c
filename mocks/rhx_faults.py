"""What can go wrong with RHX on request: a plan of faults, in the stream's own time.

A plan is a JSON list of objects with `kind`, and where they apply `at_s`, `run`, `port`,
`n_samples`, `duration_s`, `data`. For example
`[{"kind": "timestamp_gap", "at_s": 1.5, "n_samples": 300}]`.
"""

import json
from dataclasses import dataclass, fields
from typing import Any

KINDS = ("timestamp_gap", "stall", "drop", "wrong_magic", "late_upload", "garbage")
PORTS = ("command", "waveform", "spike")


@dataclass(frozen=True, slots=True)
class RhxFault:
    """One fault. It strikes before the first block at or after `at_s` of stream in run `run`.

    - timestamp_gap: `n_samples` are lost; timestamps jump.
    - stall: nothing is generated for `duration_s`, then RHX catches up.
    - drop: the connection on `port` is closed.
    - wrong_magic: the next block, or spikes, on `port` begin with a wrong number.
    - late_upload: this and each later upload takes `duration_s` longer; `at_s` is not looked at.
    - garbage: `data` (latin-1) is sent on the command port.
    """

    kind: str
    at_s: float = 0.0
    run: int = 1
    port: str = "waveform"
    n_samples: int = 128
    duration_s: float = 1.0
    data: str = "\xff\x00Retrun"


def fault_from(entry: dict[str, Any]) -> RhxFault:
    """Return a fault from its JSON object; raises ValueError on anything unknown."""
    known = {field.name for field in fields(RhxFault)}
    if unknown := set(entry) - known:
        raise ValueError(f"fault {entry}: unknown {sorted(unknown)}; known are {sorted(known)}")
    fault = RhxFault(**entry)
    if fault.kind not in KINDS:
        raise ValueError(f"fault kind {fault.kind!r} is unknown; known are {', '.join(KINDS)}")
    if fault.port not in PORTS:
        raise ValueError(f"fault port {fault.port!r} is unknown; known are {', '.join(PORTS)}")
    if not (fault.at_s >= 0 and fault.duration_s >= 0 and fault.n_samples >= 0):
        raise ValueError(f"fault {entry}: times and numbers of samples must not be negative")
    return fault


def faults_from(text: str) -> tuple[RhxFault, ...]:
    """Return the faults of a plan; raises ValueError if it is not a JSON list of faults."""
    entries = json.loads(text)
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ValueError(f"fault plan must be a JSON list of objects, not {text!r}")
    try:
        return tuple(fault_from(entry) for entry in entries)
    except TypeError as error:
        raise ValueError(f"fault plan {text!r}: {error}") from error


class FaultPlan:
    """Hands out each fault once, when its time has come."""

    def __init__(self, faults: tuple[RhxFault, ...]) -> None:
        self._waiting = list(faults)

    def take_due(self, run: int, stream_s: float) -> list[RhxFault]:
        """Return the faults due at this moment of a run."""
        due = [f for f in self._waiting if (f.run, f.at_s) <= (run, stream_s)]
        self._waiting = [f for f in self._waiting if f not in due]
        return due
