"""Intan's own file formats, written byte by byte.

Source: Intan Technologies, "RHD2000 / RHS2000 Application note: Data file formats", versions 3.x.
"""

import struct
from pathlib import Path

import numpy as np

N_BLOCK = 128
AMPLIFIER, AUXILIARY = 0, 1


def write_rhd(path: Path, samples: np.ndarray, rate_hz: float, n_auxiliary: int = 3) -> Path:
    """Write int16 rows as a RHD recording, beside accelerometer inputs at a quarter of the rate."""
    n = samples.shape[1]
    head = struct.pack("<Ihh", 0xC6912702, 3, 0)
    head += struct.pack("<fhfffffhff", rate_hz, 1, 1, 0.1, 7500, 1, 0.1, 7500, 0, 1000)
    head += struct.pack("<f", 1000) + _text("") * 3 + struct.pack("<hh", 0, 0) + _text("")
    head += _group([*_channels(n, AMPLIFIER), *_channels(n_auxiliary, AUXILIARY)], n, "hhhhhhhhhh")
    blocks = _blocks(samples, bytes(2 * N_BLOCK // 4 * n_auxiliary))
    path.write_bytes(head + blocks)
    return path


def write_rhs(path: Path, samples: np.ndarray, rate_hz: float) -> Path:
    """Write int16 rows as a RHS recording; each channel has its stimulation beside it."""
    n = samples.shape[1]
    head = struct.pack("<Ihh", 0xD69127AC, 3, 0)
    head += struct.pack("<fhffffffff", rate_hz, 1, *[1.0] * 8)
    head += struct.pack("<hffhhfff", 0, 1000, 1000, 0, 0, 1e-6, 1e-9, 0) + _text("") * 3
    head += struct.pack("<hh", 0, 0) + _text("")
    head += _group(_channels(n, AMPLIFIER), n, "hhhhhhhhhhh")
    path.write_bytes(head + _blocks(samples, bytes(2 * N_BLOCK * n)))
    return path


def _text(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return struct.pack("<I", len(data)) + data


def _channels(n: int, kind: int) -> list[tuple[str, int, int]]:
    prefix = "A" if kind == AMPLIFIER else "A-AUX"
    return [(f"{prefix}-{c:03d}", c, kind) for c in range(n)]


def _group(channels: list[tuple[str, int, int]], n_amplifiers: int, layout: str) -> bytes:
    """Return one port's description; `layout` is that of a channel's whole numbers."""
    out = struct.pack("<h", 1) + _text("Port A") + _text("A")
    out += struct.pack("<hhh", 1, len(channels), n_amplifiers)
    for name, at, kind in channels:
        numbers = [at, at, kind, 1, at, *[0] * (len(layout) - 5)]
        out += _text(name) * 2 + struct.pack(f"<{layout}ff", *numbers, 1e5, -45.0)
    return out


def _blocks(samples: np.ndarray, rest: bytes) -> bytes:
    """Return data blocks: timestamps, each channel's samples around 32768, and other signals."""
    out = b""
    for start in range(0, len(samples), N_BLOCK):
        rows = samples[start : start + N_BLOCK]
        out += np.arange(start, start + N_BLOCK, dtype="<i4").tobytes()
        out += (rows.T.astype(np.int32) + 32768).astype("<u2").tobytes() + rest
    return out
