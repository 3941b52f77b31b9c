"""Feed items as bodies of FEED frames, and back. No I/O in here.

A body begins with one byte that names the item; arrays follow as they lie in memory,
little-endian. Items that come seldom are JSON, which keeps their fields' names on the wire.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from app.console.feed import (
    FEED_SNIPPET,
    FEED_SPIKE,
    NEURON_EVENT,
    ChannelStates,
    EnvelopeBatch,
    FeedFormat,
    FeedItem,
    Missed,
    NeuronEvents,
    Snippets,
    Span,
    SpikeMarks,
)
from app.core.frames import MAX_BODY_BYTES, FrameError

MAX_CHANNELS = 8192
_MAX_FORMAT_BYTES = 1 << 20
_FORMAT, ENVELOPE, _SPIKES, _NEURONS, SNIPPETS, _SPAN, _CHANNELS, _MISSED = range(1, 9)
ENVELOPE_HEAD = struct.Struct("<BBHIqq")  # kind, is filtered, channels, samples, first, time
SNIPPET_HEAD = struct.Struct("<BBHHxx")  # kind, n before, n snippets, n samples
_COUNT_HEAD = struct.Struct("<BxH")  # kind, n channels
_PAD = struct.Struct("<B7x")  # kind; records begin at byte 8
SPIKES_HEAD, NEURONS_HEAD = _PAD.pack(_SPIKES), _PAD.pack(_NEURONS)
"""What precedes the records of spikes, and of neurons' events."""
_UNREADABLE = (
    LookupError,
    ValueError,
    TypeError,
    struct.error,
    zlib.error,
    msgspec.MsgspecError,
)


def columns_per_body(n_channels: int) -> int:
    """Return how many envelope columns one frame holds."""
    return max(1, (MAX_BODY_BYTES - ENVELOPE_HEAD.size) // (4 * max(1, n_channels)))


def records_per_body(dtype: np.dtype[np.void]) -> int:
    """Return how many records one frame holds, behind their head."""
    return (MAX_BODY_BYTES - _PAD.size) // dtype.itemsize


def snippets_per_body(n_samples: int) -> int:
    """Return how many snippets of that length one frame holds."""
    return max(1, (MAX_BODY_BYTES - SNIPPET_HEAD.size) // (FEED_SNIPPET.itemsize + 4 * n_samples))


def ring_of(body: bytes) -> str | None:
    """Return whose position the `seq` of a frame with this body is; None: of none."""
    return _RINGS.get(body[0]) if body else None


def encode_items(item: FeedItem) -> Iterator[bytes]:
    """Yield the bodies that carry an item, each short enough for a frame.

    An envelope batch is one body: its maker cuts it (`columns_per_body`), who knows its times.
    """
    match item:
        case EnvelopeBatch():
            yield _envelope_body(item)
        case SpikeMarks():
            yield from _record_bodies(_SPIKES, item.records)
        case NeuronEvents():
            yield from _record_bodies(_NEURONS, item.records)
        case Snippets():
            yield from _snippet_bodies(item)
        case ChannelStates():
            head = _COUNT_HEAD.pack(_CHANNELS, len(item.condition))
            arrays = (item.threshold_uv, item.sigma_uv, item.rate_hz)
            floats = b"".join(a.astype("<f4").tobytes() for a in arrays)
            yield head + floats + item.condition.astype(np.uint8).tobytes()
        case FeedFormat():
            yield _format_body(item)
        case Span() | Missed():
            kind = _SPAN if isinstance(item, Span) else _MISSED
            yield bytes([kind]) + msgspec.json.encode(item)


def decode_item(body: bytes) -> FeedItem:
    """Return the item in a body.

    Raises
    ------
    FrameError
        It is none: an unknown kind, or a length that does not fit.
    """
    try:
        item: FeedItem = _DECODERS[body[0]](body)
    except (
        KeyError,
        IndexError,
        ValueError,
        struct.error,
        zlib.error,
        msgspec.MsgspecError,
    ) as exc:
        raise FrameError(f"feed item of {len(body)} bytes cannot be read: {exc}") from exc
    return item


def _envelope_body(batch: EnvelopeBatch) -> bytes:
    head = ENVELOPE_HEAD.pack(
        ENVELOPE,
        batch.is_filtered,
        batch.low.shape[1],
        batch.samples_per_column,
        batch.first_sample,
        batch.time_ns,
    )
    return head + np.stack((batch.low, batch.high), axis=1).astype("<i2").tobytes()


def _record_bodies(kind: int, records: npt.NDArray[np.void]) -> Iterator[bytes]:
    step = records_per_body(records.dtype)
    for start in range(0, len(records), step):
        yield _PAD.pack(kind) + records[start : start + step].tobytes()


def _snippet_bodies(snippets: Snippets) -> Iterator[bytes]:
    n_snippets, n_samples = snippets.samples_uv.shape
    step = snippets_per_body(n_samples)
    for start in range(0, n_snippets, step):
        records = snippets.records[start : start + step]
        head = SNIPPET_HEAD.pack(SNIPPETS, snippets.n_before, len(records), n_samples)
        samples = snippets.samples_uv[start : start + step].astype("<f4")
        yield head + records.tobytes() + samples.tobytes()


def _format_body(item: FeedFormat) -> bytes:
    fields = {
        "site": item.site,
        "channel_names": item.channel_names,
        "sample_rate_hz": item.sample_rate_hz,
        "microvolts_per_count": item.microvolts_per_count,
        "samples_per_column": item.samples_per_column,
        "sites": item.sites,
        "neurons": item.neurons,
        "position_um": item.position_um.astype("<f4").tobytes(),
    }
    return bytes([_FORMAT]) + zlib.compress(msgspec.msgpack.encode(fields))


def _decode_format(body: bytes) -> FeedFormat:
    inflater = zlib.decompressobj()
    fields: dict[str, Any] = msgspec.msgpack.decode(
        inflater.decompress(body[1:], _MAX_FORMAT_BYTES)
    )
    position_um = np.frombuffer(fields.pop("position_um"), "<f4").reshape(-1, 2)
    made = msgspec.convert({**fields, "position_um": None}, _PlainFormat)
    if len(position_um) != len(made.channel_names) or len(position_um) > MAX_CHANNELS:
        raise ValueError(f"{len(position_um)} positions, {len(made.channel_names)} channels")
    return FeedFormat(
        site=made.site,
        channel_names=made.channel_names,
        sample_rate_hz=made.sample_rate_hz,
        microvolts_per_count=made.microvolts_per_count,
        samples_per_column=made.samples_per_column,
        position_um=position_um,
        sites=made.sites,
        neurons=made.neurons,
    )


class _PlainFormat(msgspec.Struct):
    """The fields of a `FeedFormat` that are no arrays."""

    site: str
    channel_names: tuple[str, ...]
    sample_rate_hz: float
    microvolts_per_count: float
    samples_per_column: int
    sites: tuple[str, ...]
    neurons: tuple[tuple[int, str, str], ...]


def _decode_envelope(body: bytes) -> EnvelopeBatch:
    _, is_filtered, n_channels, n_samples, first, time_ns = ENVELOPE_HEAD.unpack_from(body)
    if not (0 < n_channels <= MAX_CHANNELS and n_samples > 0):
        raise ValueError(f"{n_channels} channels, {n_samples} samples per column")
    both = np.frombuffer(body, "<i2", offset=ENVELOPE_HEAD.size).reshape(-1, 2, n_channels)
    return EnvelopeBatch(first, time_ns, n_samples, bool(is_filtered), both[:, 0], both[:, 1])


def _decode_snippets(body: bytes) -> Snippets:
    _, n_before, n_snippets, n_samples = SNIPPET_HEAD.unpack_from(body)
    start = SNIPPET_HEAD.size + n_snippets * FEED_SNIPPET.itemsize
    records = np.frombuffer(body[SNIPPET_HEAD.size : start], FEED_SNIPPET)
    samples = np.frombuffer(body, "<f4", offset=start).reshape(n_snippets, n_samples)
    return Snippets(records, samples, n_before)


def _decode_channels(body: bytes) -> ChannelStates:
    _, n = _COUNT_HEAD.unpack_from(body)
    if len(body) != _COUNT_HEAD.size + 13 * n:
        raise ValueError(f"{len(body)} bytes for {n} channels")
    floats = np.frombuffer(body, "<f4", 3 * n, _COUNT_HEAD.size).reshape(3, n)
    condition = np.frombuffer(body, np.uint8, n, _COUNT_HEAD.size + 12 * n)
    return ChannelStates(floats[0], floats[1], floats[2], condition)


_RINGS = {
    ENVELOPE: "columns", _SPIKES: "spikes", _NEURONS: "events", SNIPPETS: "snippets",
    _SPAN: "spans",
}  # fmt: skip
LINES = "lines"
RINGS = frozenset({*_RINGS.values(), LINES})
"""The names of all positions that a console has in an engine's feed."""
_DECODERS: dict[int, Any] = {
    _FORMAT: _decode_format,
    ENVELOPE: _decode_envelope,
    _SPIKES: lambda body: SpikeMarks(np.frombuffer(body, FEED_SPIKE, offset=_PAD.size)),
    _NEURONS: lambda body: NeuronEvents(np.frombuffer(body, NEURON_EVENT, offset=_PAD.size)),
    SNIPPETS: _decode_snippets,
    _SPAN: lambda body: msgspec.json.decode(body[1:], type=Span),
    _CHANNELS: _decode_channels,
    _MISSED: lambda body: msgspec.json.decode(body[1:], type=Missed),
}
