"""The messages of the Open Ephys GUI in code: bytes to values and back, no I/O.

Sources: Falcon Output plugin (one FlatBuffers table ContinuousData per message; FlatBuffers
internals, "Format"), Event Broadcaster plugin 0.3.0 (two frames: u16 little-endian type, JSON),
Open Ephys HTTP server (/api/status).
"""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentProtocolError

STATUS_PATH = "/api/status"
IDLE, ACQUIRE, RECORD = "IDLE", "ACQUIRE", "RECORD"
MODES = (IDLE, ACQUIRE, RECORD)

TTL_EVENT, SPIKE_EVENT = 0, 1
MAX_STREAM_NAME_BYTES = 4096
MAX_SAMPLE_NUMBER = 2**62
_UNREADABLE = (struct.error, ValueError, LookupError, TypeError, OverflowError, RecursionError)

# Places of the fields in the table ContinuousData, in the order of its schema.
_SAMPLES, _STREAM, _N_CHANNELS, _N_SAMPLES, _SAMPLE_NUMBER, _MESSAGE_ID, _RATE = 0, 2, 3, 4, 5, 7, 8


@dataclass(frozen=True, slots=True, eq=False)
class ContinuousData:
    """One message of the Falcon Output: a block of one stream."""

    samples: npt.NDArray[np.float32]
    """`(n_channels, n_samples)`; microvolts on electrode channels."""
    stream: str
    sample_number: int
    """Of the first sample, since acquisition start."""
    message_id: int
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class GuiSpike:
    """A spike that the GUI's own detector found."""

    stream: str
    electrode: str
    sample_number: int
    amplitudes_uv: tuple[float, ...]
    """One per channel of the electrode; the depth of the trough, positive."""


class _Table:
    """A FlatBuffers table: fields by their place in the schema; absent ones have their default."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = self._uint32(0)
        vtable = self._at - struct.unpack_from("<i", data, self._at)[0]
        if not (0 <= vtable <= len(data) - 4):
            raise ValueError(f"vtable at byte {vtable}")
        n_bytes = struct.unpack_from("<H", data, vtable)[0]
        self._offsets = struct.unpack_from(f"<{max(0, n_bytes - 4) // 2}H", data, vtable + 4)

    def scalar(self, field: int, kind: str) -> int:
        """Return an integer field; 0 where it is absent."""
        at = self._field(field)
        return int(struct.unpack_from(kind, self._data, at)[0]) if at else 0

    def vector(self, field: int) -> tuple[int, int]:
        """Return (first byte, number of elements) of a vector or string; (0, 0) if absent."""
        at = self._field(field)
        if not at:
            return 0, 0
        start = at + self._uint32(at)
        return start + 4, self._uint32(start)

    def _field(self, field: int) -> int:
        offset = self._offsets[field] if field < len(self._offsets) else 0
        return self._at + offset if offset else 0

    def _uint32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self._data, at)[0])


def decode_continuous(message: bytes) -> ContinuousData:
    """Return what a message of the Falcon Output says; the samples are a view of its bytes.

    Raises
    ------
    InstrumentProtocolError
        The bytes are no such message, or the counts in it contradict each other.
    """
    try:
        table = _Table(message)
        n_channels, n_samples = table.scalar(_N_CHANNELS, "<I"), table.scalar(_N_SAMPLES, "<I")
        at, n_values = table.vector(_SAMPLES)
        if n_values != n_channels * n_samples:
            raise ValueError(f"{n_values} samples for {n_channels} channels of {n_samples}")
        samples = np.frombuffer(message, "<f4", n_values, at).reshape(n_channels, n_samples)
        name_at, n_name = table.vector(_STREAM)
        if n_name > min(MAX_STREAM_NAME_BYTES, len(message) - name_at):
            raise ValueError(f"name of {n_name} bytes")
        sample_number = table.scalar(_SAMPLE_NUMBER, "<Q")
        if sample_number > MAX_SAMPLE_NUMBER:
            raise ValueError(f"sample number {sample_number}")
        return ContinuousData(
            samples=samples,
            stream=message[name_at : name_at + n_name].decode("utf-8"),
            sample_number=sample_number,
            message_id=table.scalar(_MESSAGE_ID, "<Q"),
            sample_rate_hz=table.scalar(_RATE, "<I"),
        )
    except _UNREADABLE as exc:
        raise InstrumentProtocolError(
            f"Falcon Output: {len(message)} bytes are no ContinuousData: {exc}"
        ) from exc


def to_counts(
    samples: npt.NDArray[np.float32], microvolts_per_count: float
) -> npt.NDArray[np.int16]:
    """Return int16 counts, `(n_samples, n_channels)`, from microvolts, `(n_channels, n_samples)`.

    Exact for an amplifier of this step. What is beyond int16, or no number, becomes the end of the
    range, where a detector sees a saturated amplifier.
    """
    counts = samples * np.float32(1 / microvolts_per_count)
    np.rint(counts, out=counts)
    if not np.abs(counts, out=np.empty_like(counts)).max(initial=0) <= 32767:
        np.nan_to_num(counts, copy=False, nan=32767, posinf=32767, neginf=-32768)
        np.clip(counts, -32768, 32767, out=counts)
    return np.ascontiguousarray(counts.astype(np.int16).T)


def decode_event(frames: Sequence[bytes]) -> GuiSpike | None:
    """Return the spike of an Event Broadcaster message; None for a TTL event.

    Raises
    ------
    InstrumentProtocolError
        It is neither.
    """
    try:
        kind_bytes, text = frames
        (kind,) = struct.unpack("<H", kind_bytes)
        if kind == TTL_EVENT:
            return None
        if kind != SPIKE_EVENT:
            raise ValueError(f"event type {kind}")
        told: dict[str, Any] = json.loads(text)
        n_channels = int(told["num_channels"])
        amplitudes = tuple(float(told[f"amp{c}"]) for c in range(1, n_channels + 1))
        if not all(map(math.isfinite, amplitudes)):
            raise ValueError(f"amplitudes {amplitudes}")
        return GuiSpike(
            stream=str(told["stream"]),
            electrode=str(told["electrode"]),
            sample_number=int(told["sample_number"]),
            amplitudes_uv=amplitudes,
        )
    except (*_UNREADABLE, AttributeError) as exc:
        sizes = [len(frame) for frame in frames]
        raise InstrumentProtocolError(
            f"Event Broadcaster: frames of {sizes} bytes are no event: {exc}"
        ) from exc


def mode_request(mode: str) -> bytes:
    """Return the body that asks the GUI for a mode."""
    return json.dumps({"mode": mode}).encode("ascii")


def decode_mode(body: bytes) -> str:
    """Return the mode in an answer of the HTTP server. Raises `InstrumentProtocolError`."""
    try:
        mode = json.loads(body)["mode"]
    except _UNREADABLE as exc:
        raise InstrumentProtocolError(
            f"Open Ephys HTTP server: {body[:80]!r} names no mode"
        ) from exc
    if mode not in MODES:
        raise InstrumentProtocolError(
            f"Open Ephys HTTP server: mode {mode!r}, expected one of {', '.join(MODES)}"
        )
    return str(mode)
