"""A small closed session with something in every table, made by the recorder itself. No tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.core.spikes import PSP_RECORD, SPIKE_RECORD
from app.recording.event_log import EventLog
from app.recording.raw_writer import RawWriter
from app.recording.rows import (
    ArmingRow,
    AuditRecordRow,
    ClockMappingRow,
    DeliveryRow,
    DevicePulseRow,
    DeviceReadRow,
    Entry,
    GapRow,
    HoleRow,
    LinkRow,
    LogRow,
    NoteRow,
    PhaseRow,
    PspRows,
    ReceivedFrameRow,
    SpikeRows,
    WithheldPspRow,
)
from app.recording.session import Session, create_session
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

CHAIN = Path(__file__).parent.parent / "app/demo/chain2020"
RATE_HZ = 20_000.0
S = 1_000_000_000
START_NS = 100 * S
UTC_NS = 1_711_283_405_250_000_000
METADATA: Mapping[str, Any] = {
    "about": {
        "institution": "University",
        "laboratory": "MEA lab",
        "experimenters": ["Doe, Jane"],
        "description": "A session made for a test",
    },
    "cultures": {
        "mea1": {
            "species": "Rattus norvegicus",
            "days_in_vitro": 23,
            "tissue": "cortex",
            "array": "60MEA200/30",
        }
    },
}
OFFSET_NS = 7 * S
"""Zurich's clock minus ours."""


def make_session(
    root: Path,
    *,
    n_channels: int = 4,
    seconds: float = 1.0,
    gap: int = 0,
    metadata: Mapping[str, Any] = METADATA,
) -> Path:
    """Record `seconds` of noise with stimuli, lose `gap` samples in the middle."""
    session = new_session(root, metadata=metadata)
    failures: list[str] = []
    log = EventLog(session.events_path, on_failure=lambda n, e: failures.append(f"{n}: {e}"))
    raw = RawWriter(
        session.node_folder(),
        on_failure=lambda n, e: failures.append(f"{n}: {e}"),
        record=log.append,
        clock_ns=lambda: START_NS,
    )
    log.start()
    raw.start()
    stream_format = StreamFormat(tuple(f"A-{n:03d}" for n in range(n_channels)), RATE_HZ, 0.195)
    raw.start_recording(stream_format)
    rng = np.random.default_rng(5)
    n_samples = round(seconds * RATE_HZ)
    first = 4000
    for start in range(0, n_samples, 400):
        n_lost = gap if start == n_samples // 2 // 400 * 400 else 0
        first += n_lost
        samples = rng.normal(0, 50, (400, n_channels)).astype(np.int16)
        marks = (StimMark(first + 100, 1, -2e-6),) if start % 4000 == 0 else ()
        raw.offer(SampleBlock(samples, first, n_lost, 0, marks))
        if n_lost:
            log.append(GapRow(START_NS, "mea1", first, n_lost))
        first += 400
    log.append_many(rows(seconds))
    raw.request_stop()
    assert raw.join(10.0)
    log.request_stop()
    assert log.join(10.0)
    session.close((START_NS + round(seconds * S), UTC_NS + round(seconds * S), 40))
    assert failures == []
    return session.folder


def new_session(
    root: Path, reserve_bytes: int = 4096, metadata: Mapping[str, Any] = METADATA
) -> Session:
    return create_session(
        root,
        site="padova",
        session="0f" * 16,
        config=(CHAIN / "padova.toml").read_bytes(),
        experiment=(CHAIN / "experiment.toml").read_bytes(),
        experiment_sha256="ab" * 32,
        software={"spikebridge": "0.1.0", "numpy": np.__version__},
        clock="boot-1",
        anchor=(START_NS, UTC_NS, 50),
        provenance={"mea1": "mock"},
        metadata=metadata,
        reserve_bytes=reserve_bytes,
    )


def own_spikes(seconds: float) -> np.ndarray:
    n_spikes = round(seconds * 40)
    records = np.zeros(n_spikes, SPIKE_RECORD)
    records["sample_index"] = 4000 + np.linspace(50, seconds * RATE_HZ - 50, n_spikes).astype(int)
    records["time_ns"] = START_NS + ((records["sample_index"] - 4000) * (S / RATE_HZ)).astype(int)
    records["neuron"] = np.where(np.arange(n_spikes) % 4 == 0, 7, 256)
    records["amplitude_uv"] = -60.0
    records["kind"] = np.arange(n_spikes) % 3
    return records


def rows(seconds: float) -> list[Entry]:
    own = own_spikes(seconds)
    received = np.zeros(20, SPIKE_RECORD)
    received["time_ns"] = START_NS + OFFSET_NS + np.arange(20) * S // 40
    received["sample_index"] = -1
    received["neuron"] = 63
    received["amplitude_uv"] = np.nan
    received["kind"] = 2
    psps = np.zeros(2, PSP_RECORD)
    psps["synapse"], psps["post"], psps["weight"] = 1, 256, [0.25, 0.75]
    psps["pre_time_ns"] = received["time_ns"][:2]
    t = START_NS
    entries: list[Entry] = [
        SpikeRows("padova", 0, 0, own),
        ClockMappingRow(t - 1000, "zurich", "link", None, None, OFFSET_NS, 100_000),
        ClockMappingRow(t, "mea1", "samples", 4000, RATE_HZ, None, None),
        PspRows("received", "southampton", t + S // 10, 3, psps),
        WithheldPspRow(t + S // 5, 1, t, "late: up to 300 ms old, deadline 250 ms"),
        LinkRow(t, "zurich", "up", "hello"),
        LinkRow(t + S // 4, "zurich", "down", "silent for 2 s"),
        LinkRow(t, "southampton", "up", "hello"),
        ReceivedFrameRow(t + S // 10, "southampton", "bb", 3, 3, "PSPS", 2, 0),
        HoleRow(t + S // 4, 1, t, t + S // 4, "zurich: 3 frames lost"),
        ArmingRow(t, "armed", "operator at padova", "a test <of> the page"),
        ArmingRow(t + S // 2, "tripped", "engine", "emergency stop"),
        PhaseRow(t, t + S // 4, 0, "neutral before", 10.0),
        PhaseRow(t + S // 4, t + S // 2, 1, "potentiation", 30.0),
        LogRow(t + 3, "warning", "engine.watch", "slow <tick>"),
        LogRow(t + 4, "error", "core.worker", "mea1 failed: cable"),
        NoteRow(t + 1, "Jane", "medium changed & <b>warmed</b>"),
        NoteRow(t + 2, "Jane", "µ-electrode checked"),
    ]
    for seq in range(20):
        batch = SpikeRows("zurich", 0, seq + 1, received[seq : seq + 1])
        now = int(received["time_ns"][seq]) - OFFSET_NS + 900_000 + 10_000 * seq
        frame = ReceivedFrameRow(now, "zurich", "aa", seq + 1, seq + 1, "SPIKES", 1, 0)
        entries += [batch, frame]
    entries.append(ReceivedFrameRow(t + S, "zurich", "aa", 21, 23, "GAP", 0, 0))
    for number in range(1, 5):
        verdict = "permit" if number % 2 else "refusal"
        entries.append(
            AuditRecordRow(
                "request", number, t + number * S // 10, "mea1", "pattern 1: 2 uA, 0.4 nC", "psp",
                1, verdict, "" if number % 2 else "interval", "mea1: 3 ms < 5 ms", "v", "p", "c",
            )
        )  # fmt: skip
        if number % 2:
            entries.append(
                DeliveryRow(number, "stimulate", t + number * S // 10, t, "delivered", "")
            )
    for n in range(6):
        entries += [
            DeviceReadRow(t + n * S // 8, "arc1", 12, 21, 4700.0 + 300.0 * n, 0.5, "after pulse"),
            DevicePulseRow(
                t + n * S // 8, t + n * S // 8, "arc1", "w12b21", 1, 12, 21, 1.5, 1e-4,
                "LTP" if n < 3 else "LTD", 4700.0, None if n == 4 else 5000.0,
                "refused" if n == 4 else "moved", "", None if n == 4 else n,
            ),
        ]  # fmt: skip
    return entries
