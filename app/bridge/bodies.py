"""Bodies of the frames between sites: bytes and values, checked in both directions. No I/O."""

import math
import struct
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from app.core.frames import FrameError
from app.core.spikes import (
    FEW_RECORDS,
    PSP_RECORD,
    PSP_STRUCT,
    SPIKE_RECORD,
    SPIKE_STRUCT,
    EventKind,
    Provenance,
    PspRecords,
    SpikeRecords,
)

BATCH = struct.Struct("<HHIq")
"""stream, count, reserved, complete_until_ns; the records follow."""
HEARTBEAT = struct.Struct("<QqqBxxxI")
ACK = struct.Struct("<Q")
GAP = struct.Struct("<QQ")
MAX_RECORDS = 1024
MAX_REASON_BYTES = 500
MAX_SEQ = 2**48 - 1
"""A PSP names its cause by seq in 48 bits."""
MAX_TIME_NS = 2**62
"""146 years: whatever is added to such a time still fits the 64 bits in which it is recorded."""
_NEWEST_KIND = max(int(kind) for kind in EventKind)
_PROVENANCE_BITS = 3
_LAST_ARM_STATE = 3
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_N_PROVENANCES = len(Provenance)

_Version = Annotated[int, msgspec.Meta(ge=0, le=255)]
_StreamNumber = Annotated[int, msgspec.Meta(ge=0, le=2**16 - 1)]
_NeuronId = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_StreamName = Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
_LastSeq = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream of events that a site can send."""

    stream: _StreamNumber
    name: _StreamName
    """Name of the instrument, by which the receiver permits it."""
    provenance: Provenance
    neurons: tuple[_NeuronId, ...]


class Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who opens a link. JSON: once per connection, and readable in a capture."""

    min_version: _Version
    max_version: _Version
    site: str
    session: str
    """128 random bits in hex, new at every start."""
    experiment_hash: str
    clock: str
    """Identity of the sender's clock; equal identities mean one clock."""
    streams: tuple[StreamInfo, ...]
    last_seqs: dict[str, _LastSeq]
    """By session of the receiver of this HELLO: the newest of its frames that is on record here."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Body of HB. With the header's echo it carries the four times of an offset estimate."""

    nonce: int
    sent_ns: int
    """Sender's clock when this was made."""
    echoed_received_ns: int
    """Sender's clock when it received the nonce that the header echoes; 0: none yet."""
    arm_state: int
    """0 boot, 1 disarmed, 2 armed, 3 tripped."""
    stop_mark: int
    """The newest emergency stop that the sender knows of: a random number made where it was
    pressed and passed on unchanged, so that a stop crosses every site once; 0: none."""


def encode_hello(hello: Hello) -> bytes:
    """Return the body of HELLO."""
    return msgspec.json.encode(hello)


def decode_hello(body: bytes) -> Hello:
    """Return the HELLO in a body. Raises `FrameError`."""
    try:
        hello = msgspec.json.decode(body, type=Hello)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise FrameError(f"HELLO is not valid: {exc}") from exc
    if len(hello.session) != 32 or not set(hello.session) <= _HEX_DIGITS:
        raise FrameError(f"HELLO: session {hello.session[:40]!r} is not 128 bits in hex")
    numbers = [info.stream for info in hello.streams]
    if len(set(numbers)) != len(numbers):
        raise FrameError(f"HELLO: two streams with one number among {numbers[:40]}")
    return hello


def encode_heartbeat(beat: Heartbeat) -> bytes:
    """Return the body of HB."""
    return HEARTBEAT.pack(
        beat.nonce, beat.sent_ns, beat.echoed_received_ns, beat.arm_state, beat.stop_mark
    )


def decode_heartbeat(body: bytes) -> Heartbeat:
    """Return the heartbeat in a body. Raises `FrameError`."""
    beat = Heartbeat(*_unpack(HEARTBEAT, body, "HB"))
    if beat.nonce == 0:
        raise FrameError("HB: nonce 0 means none")
    if beat.arm_state > _LAST_ARM_STATE:
        raise FrameError(f"HB: arm state {beat.arm_state}, at most {_LAST_ARM_STATE}")
    for time_ns in (beat.sent_ns, beat.echoed_received_ns):
        if not (-MAX_TIME_NS <= time_ns <= MAX_TIME_NS):
            raise FrameError(f"HB: time {time_ns} ns, at most {MAX_TIME_NS} either way")
    return beat


def encode_ack(seq: int) -> bytes:
    """Return the body of ACK: everything up to `seq` is on record."""
    return ACK.pack(seq)


def decode_ack(body: bytes) -> int:
    """Return the acknowledged seq. Raises `FrameError`."""
    return int(_unpack(ACK, body, "ACK")[0])


def encode_gap(first_seq: int, last_seq: int) -> bytes:
    """Return the body of GAP: these numbers will never come."""
    return GAP.pack(first_seq, last_seq)


def decode_gap(body: bytes) -> tuple[int, int]:
    """Return (first, last) missing seq. Raises `FrameError`."""
    first, last = _unpack(GAP, body, "GAP")
    if not (1 <= first <= last <= MAX_SEQ):
        raise FrameError(f"GAP from {first} to {last} is none; numbers go from 1 to {MAX_SEQ}")
    return first, last


def encode_spikes(stream: int, records: SpikeRecords, complete_until_ns: int) -> bytes:
    """Return the body of SPIKES. Raises ValueError for more than `MAX_RECORDS`."""
    return _encode_batch(stream, records, SPIKE_RECORD, complete_until_ns)


def decode_spikes(body: bytes) -> tuple[int, SpikeRecords, int]:
    """Return (stream, records, complete_until_ns); the records are read-only. Raises FrameError."""
    stream, count, complete_ns = _decode_batch(body, SPIKE_STRUCT.size, "SPIKES")
    records = np.frombuffer(body, SPIKE_RECORD, count, BATCH.size)
    if count <= FEW_RECORDS:
        for at in range(BATCH.size, len(body), SPIKE_STRUCT.size):
            time_ns, _, _, amplitude_uv, _, kind, _, _ = SPIKE_STRUCT.unpack_from(body, at)
            is_timely = -MAX_TIME_NS <= time_ns <= MAX_TIME_NS
            if not is_timely or kind > _NEWEST_KIND or math.isinf(amplitude_uv):
                break
        else:
            return stream, records, complete_ns
    _judge_spikes(records)
    return stream, records, complete_ns


def _judge_spikes(records: SpikeRecords) -> None:
    if not _are_timely(records["time_ns"]):
        raise FrameError(f"SPIKES: a time beyond {MAX_TIME_NS} ns")
    if int(records["kind"].max()) > _NEWEST_KIND:
        raise FrameError("SPIKES: unknown kind of event")
    if bool(np.isinf(records["amplitude_uv"]).any()):
        raise FrameError("SPIKES: infinite amplitude")


def encode_psps(stream: int, records: PspRecords, complete_until_ns: int) -> bytes:
    """Return the body of PSPS. Raises ValueError for more than `MAX_RECORDS`."""
    return _encode_batch(stream, records, PSP_RECORD, complete_until_ns)


def decode_psps(body: bytes) -> tuple[int, PspRecords, int]:
    """Return (stream, records, complete_until_ns); the records are read-only. Raises FrameError."""
    stream, count, complete_ns = _decode_batch(body, PSP_STRUCT.size, "PSPS")
    records = np.frombuffer(body, PSP_RECORD, count, BATCH.size)
    if count <= FEW_RECORDS:
        for at in range(BATCH.size, len(body), PSP_STRUCT.size):
            pre_time_ns, _, _, _, weight, _, _, kind, flags, _ = PSP_STRUCT.unpack_from(body, at)
            is_sound = -MAX_TIME_NS <= pre_time_ns <= MAX_TIME_NS and 0 <= weight <= 1
            if not is_sound or kind > _NEWEST_KIND or flags & _PROVENANCE_BITS >= _N_PROVENANCES:
                break
        else:
            return stream, records, complete_ns
    _judge_psps(records)
    return stream, records, complete_ns


def _judge_psps(records: PspRecords) -> None:
    if not _are_timely(records["pre_time_ns"]):
        raise FrameError(f"PSPS: a time beyond {MAX_TIME_NS} ns")
    weight = records["weight"]
    if not bool(((weight >= 0) & (weight <= 1)).all()):
        raise FrameError("PSPS: weight outside 0 to 1")
    if int(records["kind"].max()) > _NEWEST_KIND:
        raise FrameError("PSPS: unknown kind of event")
    if bool(((records["flags"] & _PROVENANCE_BITS) >= _N_PROVENANCES).any()):
        raise FrameError("PSPS: unknown provenance in the flags")


def _encode_batch(
    stream: int, records: SpikeRecords, dtype: "np.dtype[np.void]", complete_until_ns: int
) -> bytes:
    n = len(records)
    if n > MAX_RECORDS:
        raise ValueError(f"{n} records in a frame, at most {MAX_RECORDS}")
    # To compare two structured types field by field takes longer than to encode a spike.
    if records.dtype is not dtype:
        records = records.astype(dtype, copy=False)
    return BATCH.pack(stream, n, 0, complete_until_ns) + records.tobytes()


def _decode_batch(body: bytes, record_bytes: int, what: str) -> tuple[int, int, int]:
    """Return (stream, count, complete_until_ns) of a body that is as long as it says."""
    if len(body) < BATCH.size:
        raise FrameError(f"{what}: {len(body)} bytes are no batch")
    stream, count, _, complete_until_ns = BATCH.unpack_from(body)
    if count > MAX_RECORDS:
        raise FrameError(f"{what}: {count} records, at most {MAX_RECORDS}")
    if len(body) != BATCH.size + count * record_bytes:
        raise FrameError(f"{what}: {count} records in {len(body)} bytes do not fit")
    if not (-MAX_TIME_NS <= complete_until_ns <= MAX_TIME_NS):
        raise FrameError(f"{what}: complete until {complete_until_ns} ns, at most {MAX_TIME_NS}")
    return stream, count, complete_until_ns


def _are_timely(time_ns: npt.NDArray[np.int64]) -> bool:
    return bool(((time_ns >= -MAX_TIME_NS) & (time_ns <= MAX_TIME_NS)).all())


def _unpack(layout: struct.Struct, body: bytes, what: str) -> tuple[int, ...]:
    if len(body) != layout.size:
        raise FrameError(f"{what}: {len(body)} bytes, expected {layout.size}")
    return layout.unpack(body)
