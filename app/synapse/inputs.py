"""The inputs of the synapse network as values: to be queued, logged, and decided upon again."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from app.core.spikes import SPIKE_RECORD, Provenance
from app.synapse.network import Output, SpikeArrival, SynapseNetwork


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """Events of these neurons were lost, or their stream began anew."""

    neurons: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """A site's time plus `offset_ns` is our time, to within `uncertainty_ns`."""

    site: str
    offset_ns: int
    uncertainty_ns: int


@dataclass(frozen=True, slots=True)
class DeviceRead:
    """A believed resistance of a synapse's device."""

    synapse: int
    resistance_ohm: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed: a hole may be due."""


Input = SpikeArrival | StreamBroken | ClockOffset | DeviceRead | Tick


def apply(network: SynapseNetwork, item: Input, now_ns: int) -> list[Output]:
    """Decide upon one input."""
    match item:
        case SpikeArrival():
            return network.spikes(item, now_ns)
        case StreamBroken():
            return network.stream_broken(item.neurons, item.reason)
        case ClockOffset():
            network.clock_mapping(item.site, item.offset_ns)
        case DeviceRead():
            network.device_read(item.synapse, item.resistance_ohm)
        case Tick():
            return network.tick(now_ns)
    return []


def encode(item: Input) -> tuple[str, bytes]:
    """Return (kind, body) for the input log; the body is MessagePack."""
    if isinstance(item, SpikeArrival):
        body = {
            "site": item.site,
            "stream": item.stream,
            "neurons": sorted(item.neurons),
            "provenance": item.provenance.value,
            "records": item.records.tobytes(),
            "complete_until_ns": item.complete_until_ns,
            "seq": item.seq,
            "is_resend": item.is_resend,
            "age_bound_ns": item.age_bound_ns,
            "received_ns": item.received_ns,
        }
        return "spikes", msgspec.msgpack.encode(body)
    return _KIND_OF[type(item)], msgspec.msgpack.encode(item)


def decode(kind: str, body: bytes) -> Input:
    """Return the input that was logged. Raises KeyError for a kind that is not the network's."""
    return _DECODERS[kind](body)


def _decode_spikes(body: bytes) -> SpikeArrival:
    fields = msgspec.msgpack.decode(body)
    fields["records"] = np.frombuffer(fields["records"], SPIKE_RECORD)
    fields["neurons"] = frozenset(fields["neurons"])
    fields["provenance"] = Provenance(fields["provenance"])
    return SpikeArrival(**fields)


_KIND_OF: dict[type, str] = {
    StreamBroken: "stream broken",
    ClockOffset: "clock offset",
    DeviceRead: "device read",
    Tick: "tick",
}
_DECODERS: dict[str, Callable[[bytes], Input]] = {
    "spikes": _decode_spikes,
    "stream broken": lambda body: msgspec.msgpack.decode(body, type=StreamBroken),
    "clock offset": lambda body: msgspec.msgpack.decode(body, type=ClockOffset),
    "device read": lambda body: msgspec.msgpack.decode(body, type=DeviceRead),
    "tick": lambda body: msgspec.msgpack.decode(body, type=Tick),
}
KINDS = frozenset(_DECODERS)
"""The kinds of the input log that are the synapse network's."""
