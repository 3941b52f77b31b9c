"""What the simulated Open Ephys GUI does while it acquires: samples and spikes onto its sockets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from mocks.culture import N_BLOCK_SAMPLES, Culture, CultureSettings
from mocks.event_loop import EventLoop
from mocks.faults import FaultPlan, longest_s, spoil
from mocks.open_ephys_wire import continuous_data, spike_event
from mocks.rhx_detector import SpikeDetector
from mocks.rhx_filter import bessel2_high_pass

STEP_UV = 0.195
BLOCKS_PER_BUFFER = 3
"""Three times 128 samples: near the GUI's buffer of about 20 ms."""
BAND_EDGE_HZ = 300.0
THRESHOLD_UV = -50.0
N_TROUGH_SAMPLES = 32
FULL_SCALE_UV = 32767 * STEP_UV
MODES = ("IDLE", "ACQUIRE", "RECORD")


@dataclass(frozen=True, slots=True)
class GuiSettings:
    """How the simulated GUI is made."""

    host: str = "127.0.0.1"
    falcon_port: int = 0
    broadcaster_port: int = 0
    stream: str = "example_data"
    sample_rate_hz: int = 20_000
    n_channels: int = 60
    stuck_channels: tuple[int, ...] = ()
    """Columns that always show the same value."""
    saturated_channels: tuple[int, ...] = ()
    can_start: bool = True
    """False: no source in the signal chain, so a request to acquire changes nothing."""
    seed: int = 1
    faults: FaultPlan = field(default_factory=FaultPlan)


class Gui:
    """The signal chain: a culture, a Falcon Output, a Spike Detector and an Event Broadcaster.

    The loop's thread calls everything. A "reply" of the fault plan is one message of the Falcon
    Output; a stall loses the samples of its time, `reset` restarts the acquisition, `disconnect`
    closes the Falcon port for a while.
    """

    def __init__(self, loop: EventLoop, settings: GuiSettings) -> None:
        self.settings = settings
        self.mode = "IDLE"
        self.n_messages = 0
        self.n_samples = 0
        """Since acquisition start."""
        self.n_acquisitions = 0
        self.n_spikes = 0
        self._loop = loop
        self._culture = Culture(
            CultureSettings(sample_rate_hz=settings.sample_rate_hz), settings.seed
        )
        n_electrodes = self._culture.settings.layout.n_electrodes
        self._high_pass = bessel2_high_pass(BAND_EDGE_HZ, settings.sample_rate_hz, n_electrodes)
        self._detector = SpikeDetector(n_electrodes, N_BLOCK_SAMPLES)
        self._last_high_uv = np.zeros((N_BLOCK_SAMPLES, n_electrodes))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._falcon, self.falcon_port = self._bind(settings.falcon_port)
        self._broadcaster, self.broadcaster_port = self._bind(settings.broadcaster_port)
        self._start_ns = 0
        self._began_ns = loop.clock_ns()
        self._watch_faults()

    def set_mode(self, mode: str) -> str:
        """Change the mode; return the one that then holds."""
        if not self.settings.can_start and mode != "IDLE":
            return self.mode
        was_idle, self.mode = self.mode == "IDLE", mode
        if was_idle and mode != "IDLE":
            self._restart()
        return self.mode

    def close(self) -> None:
        """Close the sockets."""
        self._falcon.close(linger=0)
        self._broadcaster.close(linger=0)
        self._context.term()

    def status(self) -> dict[str, Any]:
        """Return what really happened, for tests."""
        return {
            "mode": self.mode,
            "n_messages": self.n_messages,
            "n_samples": self.n_samples,
            "n_acquisitions": self.n_acquisitions,
            "n_spikes": self.n_spikes,
            "n_faults": len(self.settings.faults.struck),
        }

    def _restart(self) -> None:
        self.n_samples = 0
        self.n_acquisitions += 1
        self._high_pass.reset()
        self._detector.reset()
        self._start_ns = self._loop.clock_ns()
        number = self.n_acquisitions
        self._loop.call_at_ns(self._due_ns(), lambda: self._deliver(number))

    def _due_ns(self) -> int:
        n_samples = self.n_samples + BLOCKS_PER_BUFFER * N_BLOCK_SAMPLES
        return self._start_ns + round(n_samples * 1e9 / self.settings.sample_rate_hz)

    def _deliver(self, acquisition: int) -> None:
        """Send the buffer that is complete now, and plan the next."""
        if self.mode == "IDLE" or acquisition != self.n_acquisitions:
            return
        first = self.n_samples
        blocks = [self._spikes_out(b) for b in self._signal()]
        message = continuous_data(
            np.concatenate(blocks).T,
            self.settings.stream,
            first,
            self.n_messages,
            self.settings.sample_rate_hz,
            (self._loop.clock_ns() - self._began_ns) / 1e9,
        )
        self.n_messages += 1
        faults = self.settings.faults.next_piece("reply")
        delay_s = longest_s(faults, "delay")
        message = spoil(message, faults)
        if message and delay_s:
            self._loop.call_after_s(delay_s, lambda: self._falcon.send(message))
        elif message:
            self._falcon.send(message)
        self._lose(longest_s(faults, "stall"))
        self._loop.call_at_ns(self._due_ns(), lambda: self._deliver(acquisition))

    def _signal(self) -> Iterator[NDArray[np.float32]]:
        n = self.settings.n_channels
        for _ in range(BLOCKS_PER_BUFFER):
            block_uv = self._culture.step()
            block_uv = np.rint(block_uv / np.float32(STEP_UV)) * np.float32(STEP_UV)
            yield np.tile(block_uv, (1, -(-n // block_uv.shape[1])))[:, :n]

    def _spikes_out(self, block_uv: NDArray[np.float32]) -> NDArray[np.float32]:
        """Broadcast what the GUI's detector finds; return the block with its broken channels."""
        n_electrodes = self._culture.settings.layout.n_electrodes
        seen_uv = np.zeros((len(block_uv), n_electrodes), np.float32)
        n_seen = min(n_electrodes, self.settings.n_channels)
        seen_uv[:, :n_seen] = block_uv[:, :n_seen]
        high_uv = self._high_pass.block(seen_uv)
        # A spike is told when its snippet is complete, so it may have begun in the last block.
        both_uv = np.concatenate([self._last_high_uv, high_uv])
        self._last_high_uv = high_uv
        is_searched = np.arange(n_electrodes) < n_seen
        threshold_uv = np.full(n_electrodes, THRESHOLD_UV)
        for spike in self._detector.block(
            high_uv, self.n_samples, threshold_uv, is_searched, np.inf
        ):
            self.n_spikes += 1
            at = spike.sample_index - self.n_samples + N_BLOCK_SAMPLES
            trough_uv = float(both_uv[at : at + N_TROUGH_SAMPLES, spike.channel].min())
            self._broadcaster.send_multipart(
                spike_event(
                    self.settings.stream,
                    f"Electrode {spike.channel + 1}",
                    spike.sample_index,
                    self.settings.sample_rate_hz,
                    -trough_uv,
                )
            )
        self.n_samples += len(block_uv)
        block_uv = block_uv.copy()
        block_uv[:, list(self.settings.stuck_channels)] = 12 * STEP_UV
        block_uv[:, list(self.settings.saturated_channels)] = FULL_SCALE_UV
        return block_uv

    def _lose(self, duration_s: float) -> None:
        n_samples = round(duration_s * self.settings.sample_rate_hz)
        self.n_samples += n_samples
        self._culture.skip(n_samples)

    def _watch_faults(self) -> None:
        at_s = self.settings.faults.next_time_s()
        if at_s is not None:
            self._loop.call_at_ns(self._began_ns + round(at_s * 1e9), self._strike)

    def _strike(self) -> None:
        elapsed_s = (self._loop.clock_ns() - self._began_ns) / 1e9
        for fault in self.settings.faults.take_due(elapsed_s):
            if fault.kind == "reset" and self.mode != "IDLE":
                self._restart()
            elif fault.kind == "stall":
                self._lose(fault.duration_s)
            elif fault.kind == "garbage":
                self._falcon.send(bytes.fromhex(fault.data_hex))
            elif fault.kind == "disconnect":
                self._falcon.close(linger=0)
                self._falcon = _Nowhere()
                self._loop.call_after_s(fault.duration_s, self._reconnect)
        self._watch_faults()

    def _reconnect(self) -> None:
        self._falcon, _ = self._bind(self.falcon_port)

    def _bind(self, port: int) -> tuple[Any, int]:
        made = self._context.socket(zmq.PUB)
        made.set(zmq.LINGER, 0)
        if port:
            made.bind(f"tcp://{self.settings.host}:{port}")
            return made, port
        return made, made.bind_to_random_port(f"tcp://{self.settings.host}")


class _Nowhere:
    """Stands for a port that is closed."""

    def send(self, _message: bytes) -> None:
        """Lose it."""

    def close(self, linger: int) -> None:
        """Do nothing."""
