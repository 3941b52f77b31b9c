"""One frame of every type that crosses a link. No tests in here."""

import math

import numpy as np
from link_world import spikes

from app.bridge import bodies
from app.bridge.bodies import Heartbeat, Hello, StreamInfo
from app.core.frames import Frame, FrameFlag, FrameType, encode_frame
from app.core.spikes import PSP_RECORD, Provenance


def vectors() -> dict[str, bytes]:
    """One frame of every type, with values that tell each field from its neighbours."""
    hello = Hello(
        min_version=1,
        max_version=1,
        site="zurich",
        session="0123456789abcdef" * 2,
        experiment_hash="6d12f3fb" * 8,
        clock="boot-4026531834",
        streams=(StreamInfo(stream=0, name="chip1", provenance=Provenance.MOCK, neurons=(63, 1)),),
        last_seqs={"fedcba9876543210" * 2: 258},
    )
    two = spikes([(1_000_000_000, 63), (1_000_500_000, 1)])
    two["sample_index"], two["amplitude_uv"] = (-1, 30_015), (math.nan, -42.5)
    two["age_bound_us"] = (0, 2500)
    psp = np.zeros(1, PSP_RECORD)
    psp[0] = (1_000_000_000, (258 << 16) | 1, 7, 256, 0.625, 3500, 2, 2, 1, 0)
    sent = bodies.encode_spikes(0, two, 1_001_000_000)
    beat = Heartbeat(0x0123456789ABCDEF, 1_050_000_000, 1_000_900_000, 2, 0x5EED)
    echo = 0x0A0B0C0D0E0F1011
    frames = {
        "HELLO": Frame(FrameType.HELLO, bodies.encode_hello(hello)),
        "HELLO_OK": Frame(FrameType.HELLO_OK),
        "SPIKES": Frame(FrameType.SPIKES, sent, seq=258, echo=echo),
        "SPIKES, sent again": Frame(FrameType.SPIKES, sent, FrameFlag.RESEND, 258, echo),
        "PSPS": Frame(FrameType.PSPS, bodies.encode_psps(0, psp, 1_002_000_000), seq=9, echo=echo),
        "ACK": Frame(FrameType.ACK, bodies.encode_ack(258)),
        "HB": Frame(FrameType.HB, bodies.encode_heartbeat(beat), echo=echo),
        "GAP": Frame(FrameType.GAP, bodies.encode_gap(3, 515)),
        "BYE": Frame(FrameType.BYE, b"the site shuts down"),
    }
    return {name: encode_frame(frame) for name, frame in frames.items()}
