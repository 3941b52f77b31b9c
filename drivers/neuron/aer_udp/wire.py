"""The 8-byte event packet of 2020 (the RAMP standard package): bytes to values. No I/O.

Source: the hub program `ProgPanels/UDPmod.py` of arc1_pyqt, removed in 2020; facts only. One UDP
datagram is one event is two unsigned 32-bit words in network byte order: sender code (8 bits) and
neuron (24), auxiliary byte (8) and time in ticks of 50 us (24). The hub masked the time it sent
with 20 bits, so that it wrapped after 52 s; here all 24 are used, 839 s.
"""

import enum
import struct
from dataclasses import dataclass

from drivers.errors import InstrumentProtocolError

TICK_NS = 50_000
N_PACKET_BYTES = 8
FIELD_MASK = 0xFF_FFFF
"""Neuron and time have 24 bits."""

_WORDS = struct.Struct("!II")


class SenderCode(enum.IntEnum):
    """Who sent a packet."""

    AXON = 65
    """`A`: the silicon neurons; their packets name the neuron that fired."""
    DENDRITE = 68
    """`D`: the living neurons; the auxiliary byte is the kind of event, 0 to 2."""
    READY = 82
    """`R`: sent once at start by early versions."""
    SYNAPSE = 83
    """`S`: the hub; its packets name the neuron to drive, the auxiliary byte is the weight."""


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One event. `sender` is a `SenderCode` or whatever number came."""

    sender: int
    neuron: int
    aux: int
    """Weight 0 to 255, kind of event, or without meaning: as the sender code says."""
    n_ticks: int
    """Hub: its own clock. Others: ticks since their last event or stimulus."""


def encode(packet: EventPacket) -> bytes:
    """Return the 8 bytes of an event.

    Raises `InstrumentProtocolError` for a value that its field cannot hold; nothing is masked.
    """
    sender = _fitting("sender", packet.sender, 0xFF)
    neuron = _fitting("neuron", packet.neuron, FIELD_MASK)
    aux = _fitting("aux", packet.aux, 0xFF)
    n_ticks = _fitting("n_ticks", packet.n_ticks, FIELD_MASK)
    return _WORDS.pack(sender << 24 | neuron, aux << 24 | n_ticks)


def decode(datagram: bytes) -> EventPacket:
    """Return the event in a datagram; any 8 bytes are one.

    Raises `InstrumentProtocolError` for another length.
    """
    if len(datagram) != N_PACKET_BYTES:
        raise InstrumentProtocolError(f"datagram of {len(datagram)} bytes, an event has 8")
    first, second = _WORDS.unpack(datagram)
    return EventPacket(
        sender=first >> 24,
        neuron=first & FIELD_MASK,
        aux=second >> 24,
        n_ticks=second & FIELD_MASK,
    )


def _fitting(name: str, value: int, high: int) -> int:
    if not (0 <= value <= high):
        raise InstrumentProtocolError(f"{name} {value!r} of an event, allowed 0 to {high}")
    return int(value)  # a numpy integer of 8 bits would lose its bits in a shift
