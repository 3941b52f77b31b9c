"""Bytes of the Open Ephys GUI's outputs, as its plugins make them. No sockets, no time.

Sources: Falcon Output (FlatBuffers table ContinuousData; FlatBuffers internals, "Format"), Event
Broadcaster 0.3.0 (u16 little-endian type, then JSON).
"""

import json
import struct

import numpy as np
from numpy.typing import NDArray

_VTABLE_BYTES = 22  # two sizes and nine fields
_TABLE = struct.Struct("<iIIIIIIQdQ")
"""The vtable's offset, three references, three counts, number, time, id: 52 bytes."""
_TABLE_AT = 28
_FIELDS = (4, 8, 12, 16, 20, 28, 36, 44, 24)
"""Places in the table of: samples, event_codes, stream, n_channels, n_samples, sample_num,
timestamp, message_id, sample_rate."""


def continuous_data(
    samples_uv: NDArray[np.float32],
    stream: str,
    sample_number: int,
    message_id: int,
    sample_rate_hz: int,
    timestamp_s: float = 0.0,
) -> bytes:
    """Return one message of the Falcon Output; `samples_uv` is `(n_channels, n_samples)`."""
    n_channels, n_samples = samples_uv.shape
    codes = np.zeros(n_samples, "<u2").tobytes()
    name = stream.encode("utf-8")
    parts = (_vector(n_samples, codes), _vector(len(name), name + b"\0"))
    codes_at = _TABLE_AT + _TABLE.size
    name_at = codes_at + len(parts[0])
    samples_at = name_at + len(parts[1])
    table = _TABLE.pack(
        _TABLE_AT - 4,  # to the vtable, which begins at byte 4
        samples_at - (_TABLE_AT + 4),
        codes_at - (_TABLE_AT + 8),
        name_at - (_TABLE_AT + 12),
        n_channels,
        n_samples,
        sample_rate_hz,
        sample_number,
        timestamp_s,
        message_id,
    )
    vtable = struct.pack("<11H", _VTABLE_BYTES, _TABLE.size, *_FIELDS) + b"\0\0"
    head = struct.pack("<I", _TABLE_AT) + vtable
    values = np.ascontiguousarray(samples_uv, "<f4").tobytes()
    return b"".join((head, table, *parts, struct.pack("<I", n_channels * n_samples), values))


def spike_event(
    stream: str, electrode: str, sample_number: int, sample_rate_hz: int, amplitude_uv: float
) -> list[bytes]:
    """Return the frames of one spike on an electrode of one channel."""
    told = {
        "event_type": "spike",
        "stream": stream,
        "source_node": 102,
        "electrode": electrode,
        "num_channels": 1,
        "sample_rate": sample_rate_hz,
        "sample_number": sample_number,
        "sorted_id": 0,
        "amp1": amplitude_uv,
    }
    return [struct.pack("<H", 1), json.dumps(told).encode("ascii")]


def ttl_event(stream: str, line: int, state: bool, sample_number: int) -> list[bytes]:
    """Return the frames of one TTL event."""
    told = {
        "event_type": "ttl",
        "stream": stream,
        "source_node": 100,
        "sample_rate": 0,
        "channel_name": "TTL",
        "sample_number": sample_number,
        "line": line,
        "state": state,
    }
    return [struct.pack("<H", 0), json.dumps(told).encode("ascii")]


def _vector(n_elements: int, data: bytes) -> bytes:
    return struct.pack("<I", n_elements) + data + bytes(-len(data) % 4)
