"""A recording as an amplifier: its samples come in real time, and nothing can be stimulated."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from drivers.errors import InstrumentProtocolError, SafetyLimitError
from drivers.mea.playback.open_recording import open_recording
from drivers.mea.playback.recording import Recording
from drivers.mea.protocol import Pattern, SampleBlock, StreamFormat
from drivers.permit import Permit
from drivers.safe_state import SafeReport, SafeState

BLOCK_S = 0.005
MAX_GAP_S = 10.0
"""A longer pause in the recording is not waited for; its length is told all the same."""


class Playback:
    """A `MeaAmplifier` over a recording: Open Ephys binary, WAV, or what SpikeInterface reads.

    Time runs by the recording's own clock from `start` on. Whoever reads late gets every sample
    later. A jump in the recording's sample numbers is a gap of that many samples, and so takes that
    long; numbers that go backwards, and the seam of a loop, are a gap of unknown length (-1).
    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        is_looping: bool,
        reader: str = "",
        stream: str = "",
        wav_microvolts_per_count: float = 1.0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self._path = path
        self._reader = reader
        self._stream = stream
        self._wav_microvolts_per_count = wav_microvolts_per_count
        self._is_looping = is_looping
        self._clock_ns = clock_ns
        self._recording: Recording | None = None
        self._is_running = False
        self._n_stops = 0
        self._changed = threading.Condition()
        self._row = 0
        self._segment = 0
        self._n_lost = 0
        self._end_sample = 0
        self._next_due_ns = 0.0

    @property
    def stream_format(self) -> StreamFormat:
        """Get the format of the blocks; valid after `open`."""
        return self._opened().stream_format

    @property
    def is_finished(self) -> bool:
        """Say whether the recording has ended; one that loops never does."""
        return self._recording is not None and self._row >= len(self._recording.samples)

    def open(self) -> None:
        """Map the files. Raises `InstrumentError` for a recording that cannot be played."""
        if self._recording is None:
            self._recording = open_recording(
                self._path,
                reader=self._reader,
                stream=self._stream,
                wav_microvolts_per_count=self._wav_microvolts_per_count,
            )

    def prepare(self, patterns: Sequence[Pattern]) -> None:
        """Take the patterns and keep none: what is asked for is refused by the Gate, with reason.

        A site file whose amplifier is replaced by a recording stays as it is otherwise.
        """

    def start(self) -> None:
        """Begin to play, or go on; samples between a stop and a start do not exist."""
        self._opened()
        with self._changed:
            if not self._is_running:
                self._is_running = True
                self._next_due_ns = self._clock_ns()
            self._changed.notify_all()

    def read_block(self, timeout_s: float) -> SampleBlock | None:
        """Return the next samples once their time has come, or None if it has not in time.

        None also when `stop` or `close` comes meanwhile. A block is at most `BLOCK_S` long.
        Stopped or at the end it waits out the time, so that a loop around it does not spin.
        """
        recording = self._opened()
        deadline_ns = self._clock_ns() + timeout_s * 1e9
        with self._changed:
            n_stops = self._n_stops
            while n_stops == self._n_stops:
                now_ns = self._clock_ns()
                due_ns = self._due_ns(recording)
                if due_ns is not None and now_ns >= due_ns:
                    return self._take(recording, now_ns)
                wake_ns = deadline_ns if due_ns is None else min(deadline_ns, due_ns)
                if not wake_ns > now_ns:
                    return None
                self._changed.wait((wake_ns - now_ns) / 1e9)
        return None

    def stimulate(self, permit: Permit) -> int:
        """Refuse. Raises `SafetyLimitError`; the permit stays unspent."""
        raise SafetyLimitError(
            f"{self.name}: playback cannot stimulate (permit {permit.number}); use an amplifier"
        )

    def stop(self) -> None:
        """Stop playing; a waiting `read_block` returns at once."""
        with self._changed:
            self._is_running = False
            self._n_stops += 1
            self._changed.notify_all()

    def make_safe(self) -> SafeReport:
        """Say that there is no output; changes nothing, never raises."""
        return SafeReport(self.name, SafeState.BY_CONSTRUCTION, "a recording has no output")

    def close(self) -> None:
        """Stop and let go of the files; idempotent, never raises."""
        self.stop()
        self._recording = None

    def _opened(self) -> Recording:
        if self._recording is None:
            raise InstrumentProtocolError(f"{self.name}: not open")
        return self._recording

    def _block_end(self, recording: Recording) -> int:
        """Return the row after the next block: at most `BLOCK_S`, never across a jump."""
        n_rows = max(1, round(BLOCK_S * recording.stream_format.sample_rate_hz))
        ends = [self._row + n_rows, len(recording.samples)]
        if self._segment + 1 < len(recording.starts):
            ends.append(recording.starts[self._segment + 1])
        return min(ends)

    def _due_ns(self, recording: Recording) -> float | None:
        """Return when the last sample of the next block was sampled; None: never."""
        if not self._is_running or self.is_finished:
            return None
        n_rows = self._block_end(recording) - self._row
        return self._next_due_ns + n_rows * self._ns_per_sample(recording)

    def _take(self, recording: Recording, now_ns: int) -> SampleBlock:
        end = self._block_end(recording)
        samples = recording.samples[self._row : end]
        first_sample = self._end_sample + max(0, self._n_lost)
        block = SampleBlock(samples, first_sample, self._n_lost, now_ns)
        self._next_due_ns += len(samples) * self._ns_per_sample(recording)
        self._end_sample = block.end_sample
        self._n_lost = 0
        self._row = end
        self._step_over_jump(recording)
        return block

    def _step_over_jump(self, recording: Recording) -> None:
        if self._row >= len(recording.samples):
            if self._is_looping:
                self._row, self._segment, self._n_lost = 0, 0, -1
            return
        following = self._segment + 1
        if following >= len(recording.starts) or self._row < recording.starts[following]:
            return
        self._segment = following
        self._n_lost = recording.n_lost_before(self._row)
        gap_ns = max(0, self._n_lost) * self._ns_per_sample(recording)
        self._next_due_ns += min(gap_ns, MAX_GAP_S * 1e9)

    def _ns_per_sample(self, recording: Recording) -> float:
        return 1e9 / recording.stream_format.sample_rate_hz
