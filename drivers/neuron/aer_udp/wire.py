"""The 8-byte event packet of the 2020 experiment: bytes and values. No I/O.

One UDP datagram is one event: two unsigned 32-bit words in network byte order (the "RAMP standard
package", from the hub program of Serb et al., Sci Rep 10:2590). Word 0 is the sender code (8 bit)
and the neuron (24 bit), word 1 an auxiliary byte and the time in ticks of 50 us (24 bit).
"""

import enum
import struct
from dataclasses import dataclass

PACKET = struct.Struct("!II")
TICK_S = 50e-6
MASK_24 = 0xFF_FFFF
"""Times wrap after 838.86 s, neurons after 16 777 215. (The original sent 20 bits: 52 s.)"""


class Sender(enum.IntEnum):
    """Who made the event."""

    AXON = 65
    """`A`: a silicon neuron fired (Zurich to hub)."""
    DENDRITE = 68
    """`D`: a biological neuron did something (Padova to hub); aux 0 PSP, 1 and 2 spikes."""
    SYNAPSE = 83
    """`S`: drive this neuron with the weight in aux (hub to partner)."""
    READY = 82
    """`R`: sent once at start by early versions."""


class PacketError(Exception):
    """Bytes that are no event packet."""


@dataclass(frozen=True, slots=True)
class AerPacket:
    """One event. `aux` is the weight 0..255 of a drive, or the event type of a dendrite."""

    sender: Sender
    neuron: int
    aux: int
    ticks: int


def encode(packet: AerPacket) -> bytes:
    """Return the datagram. Raises ValueError for a value outside its bits."""
    for name, value, limit in (
        ("neuron", packet.neuron, MASK_24),
        ("aux", packet.aux, 0xFF),
        ("ticks", packet.ticks, MASK_24),
    ):
        if not (0 <= value <= limit):
            raise ValueError(f"{name} {value} is outside 0 to {limit}")
    return PACKET.pack(packet.sender << 24 | packet.neuron, packet.aux << 24 | packet.ticks)


def decode(data: bytes) -> AerPacket:
    """Return the event in a datagram. Raises `PacketError`."""
    if len(data) != PACKET.size:
        raise PacketError(f"{len(data)} bytes, an event packet has {PACKET.size}")
    first, second = PACKET.unpack(data)
    code = first >> 24
    if code not in set(Sender):
        raise PacketError(f"unknown sender code {code}")
    return AerPacket(Sender(code), first & MASK_24, second >> 24, second & MASK_24)
