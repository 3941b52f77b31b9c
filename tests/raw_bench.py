"""A raw writer under test, and blocks whose values follow from their place. No tests in here."""

from pathlib import Path

import numpy as np
from faulty_files import DEADLINE_S, eventually

from app.recording.raw_reader import RawSamples, read_raw
from app.recording.raw_status import RawState
from app.recording.raw_writer import RawWriter
from app.recording.rows import RawRecordingRow
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

FORMAT = StreamFormat(("A-000", "A-001", "ADC-2"), 20_000.0, 0.195)


def samples_of(first: int, n_samples: int, n_channels: int = 3) -> np.ndarray:
    """Every value follows from its place, so that a wrong one is seen."""
    index = np.arange(first, first + n_samples)[:, None] * 7 + np.arange(n_channels)
    samples = (index % 60_000 - 30_000).astype(np.int16)
    samples.flags.writeable = False
    return samples


def block(
    first: int, n_samples: int = 100, n_lost: int = 0, stimuli: tuple[StimMark, ...] = ()
) -> SampleBlock:
    return SampleBlock(samples_of(first, n_samples), first, n_lost, 0, stimuli)


class Bench:
    """A raw writer under test, and what it told."""

    def __init__(self, root: Path, **options: object) -> None:
        self.failures: list[tuple[str, BaseException]] = []
        self.rows: list[RawRecordingRow] = []
        self.node = root / "Record Node 101"
        self.writer = RawWriter(
            self.node,
            on_failure=lambda name, exc: self.failures.append((name, exc)),
            record=self.rows.append,
            **options,  # type: ignore[arg-type]
        )
        self.writer.start()

    def wait_samples(self, n_samples: int) -> None:
        eventually(lambda: self.writer.status().n_samples == n_samples)

    def stop_recording(self) -> None:
        self.writer.stop_recording()
        eventually(lambda: self.writer.status().state is RawState.IDLE)

    def end(self) -> None:
        self.writer.request_stop()
        assert self.writer.join(DEADLINE_S)

    def raw(self) -> list[RawSamples]:
        return read_raw(self.node)

    @property
    def events(self) -> list[tuple[str, str, int]]:
        return [(row.folder.split("/", 1)[1], row.event, row.n_samples) for row in self.rows]
