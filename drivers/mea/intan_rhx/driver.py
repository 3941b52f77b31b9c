"""Intan's RHX program, with the controller behind it, as an MEA amplifier."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from drivers.errors import (
    InstrumentError,
    InstrumentProtocolError,
    InstrumentRefusedError,
    InstrumentTimeoutError,
    SafetyLimitError,
)
from drivers.mea.intan_rhx import stimulation, wire
from drivers.mea.intan_rhx.conversation import Conversation
from drivers.mea.intan_rhx.impedance import ImpedanceReader
from drivers.mea.intan_rhx.outputs import Outputs
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.intan_rhx.waveforms import StimColumns, WaveformStream
from drivers.mea.protocol import ImpedanceCheck, Pattern, SampleBlock, StreamFormat
from drivers.permit import Permit, Stimulate
from drivers.safe_state import SafeReport, SafeState
from drivers.transport.tcp import TcpConnection

log = logging.getLogger(__name__)

STIM_CONTROLLER = "ControllerStimRecord"
POLL_S = 0.05
ARTEFACT_S = 0.001
"""A change of current later than this after the last one is an artefact of its own."""
MAX_SPIKE_BYTES = 65536


class IntanRhx:
    """A `MeaAmplifier`. One thread reads blocks; `make_safe` may come from any thread, at any time.

    Source: Intan RHX software user guide, version 3.4. RHX takes one client, listens again only
    after a person pressed Connect, and answers a correct `set` with silence; so each text ends in a
    `get` whose answer is the receipt, and what stimulates is read back before it may be used.
    """

    def __init__(
        self,
        name: str,
        settings: IntanRhxSettings,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self.settings = settings
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._conversation = Conversation(name, settings)
        self._outputs = Outputs(self._conversation, sleep)
        self._impedance = ImpedanceReader(self._conversation, sleep)
        self._waveforms: TcpConnection | None = None
        self._spikes: TcpConnection | None = None
        self._spike_bytes = b""
        self._stream: WaveformStream | None = None
        self._format: StreamFormat | None = None
        self._step_a = 0.0
        self._keys: dict[int, str] = {}
        self._quiet_s: dict[str, float] = {}
        self._may_stimulate = threading.Event()
        self._is_shut = threading.Event()
        """Made safe since the newest start began."""

    @property
    def stream_format(self) -> StreamFormat:
        """Get the format of the blocks; valid after `open`."""
        if self._format is None:
            raise InstrumentProtocolError(f"{self.name}: not open")
        return self._format

    @property
    def n_discarded_bytes(self) -> int:
        """Get how many waveform bytes of an earlier run were thrown away at a start."""
        return 0 if self._stream is None else self._stream.n_discarded_bytes

    @property
    def n_unexpected_bytes(self) -> int:
        """Get how many bytes on the command port answered nothing."""
        return self._conversation.n_unexpected_bytes

    def open(self) -> None:
        """Connect, stop the controller, choose the columns. Stimulates nothing.

        On an open driver this only makes sure that RHX answers and is stopped.
        """
        self._may_stimulate.clear()
        if self._conversation.is_connected:
            self._stop()
            return
        try:
            self._conversation.connect()
            self._stop()
            self._learn()
            self._outputs.choose()
            self._waveforms, self._spikes = self._outputs.connect()
        except InstrumentError:
            self._disconnect()
            raise
        self._stream = None  # a new connection begins a new count
        self._make_stream()

    def prepare(self, patterns: Sequence[Pattern]) -> None:
        """Upload the patterns to keys F1 to F8, and read them back; only while stopped.

        Raises
        ------
        SafetyLimitError
            A pattern is not what RHX would carry out, or two share an electrode.
        InstrumentProtocolError
            RHX holds something else than was set.
        """
        self._keys = {}
        keys = stimulation.keys_of(patterns, self.settings.stim_channels)
        if patterns and not self._step_a > 0:
            raise SafetyLimitError(f"{self.name}: this controller cannot stimulate")
        wanted = {
            channel: stimulation.parameters_of(p.pulse, keys[p.pattern_id], self._step_a)
            for p in patterns
            for channel in p.channels
        }
        if self.settings.stim_channels:
            self._outputs.upload(wanted)
        self._quiet_s = {c: p.pulse.duration_s for p in patterns for c in p.channels}
        self._make_stream()
        self._keys = keys

    def prepare_impedance(self, frequency_hz: float) -> float:
        """Make ready to measure; only while stopped. Raises as `MeasuresImpedance`."""
        self._may_stimulate.clear()
        self._stop()
        return self._impedance.prepare(frequency_hz)

    def measure_impedance(self, permit: Permit) -> ImpedanceCheck:
        """Have RHX measure every electrode; it cannot be interrupted.

        Raises as `MeasuresImpedance`.
        """
        return self._impedance.measure_impedance(permit)

    def start(self) -> None:
        """Start the controller; returns when samples come. Lets permits be spent.

        Returns at once, without either, if another thread makes safe meanwhile.

        Raises
        ------
        InstrumentTimeoutError
            No samples came.
        """
        stream, connection = self._open_stream()
        self._empty(connection)
        stream.begin()
        self._is_shut.clear()
        # Nothing may follow in the same text: RHX answers it only after the run.
        self._conversation.send("set RunMode run")
        deadline_ns = self._clock_ns() + round(self.settings.start_timeout_s * 1e9)
        while not self._read_some(stream, connection, POLL_S):
            if self._is_shut.is_set():
                return
            if self._clock_ns() > deadline_ns:
                raise InstrumentTimeoutError(
                    f"{self.name}: no samples within {self.settings.start_timeout_s:g} s of the "
                    "start; look at RHX for an open dialog"
                )
        if not self._is_shut.is_set():
            self._may_stimulate.set()

    def read_block(self, timeout_s: float) -> SampleBlock | None:
        """Return the next gapless block, or None if none came in time.

        Raises
        ------
        TransportError
            The connection is gone.
        InstrumentProtocolError
            The bytes are not what was enabled.
        """
        stream, connection = self._open_stream()
        deadline_ns = self._clock_ns() + round(timeout_s * 1e9)
        while True:
            block = stream.next_block()
            left_s = (deadline_ns - self._clock_ns()) / 1e9
            if block is not None or not left_s > 0:
                return block
            self._read_some(stream, connection, left_s)

    def read_spikes(self, timeout_s: float) -> "npt.NDArray[np.void]":
        """Return what RHX's own detector found, as `wire.SPIKE_RECORD`; empty after `timeout_s`.

        Raises as `read_block`; needs `takes_spikes`.
        """
        if self._spikes is None:
            raise InstrumentProtocolError(f"{self.name}: takes_spikes is not set, or not open")
        self._spike_bytes += self._spikes.read(MAX_SPIKE_BYTES, timeout_s)
        n_bytes = len(self._spike_bytes) // wire.SPIKE_RECORD.itemsize * wire.SPIKE_RECORD.itemsize
        records = np.frombuffer(self._spike_bytes[:n_bytes], wire.SPIKE_RECORD)
        self._spike_bytes = self._spike_bytes[n_bytes:]
        if np.any(records["magic"] != wire.SPIKE_MAGIC):
            raise InstrumentProtocolError(
                f"{self.name}: a spike record without its first word; bytes were lost"
            )
        return records

    def stimulate(self, permit: Permit) -> int:
        """Press the permitted pattern's key; return the host time in ns at which its bytes left.

        Raises
        ------
        SafetyLimitError
            Not prepared, not running, or no valid permit; nothing was sent.
        TransportError
            The connection failed; whether the key was pressed is not known.
        """
        if not self._may_stimulate.is_set():
            raise SafetyLimitError(f"{self.name}: not running, or made safe; start it first")
        if not isinstance(permit.action, Stimulate):
            raise SafetyLimitError(f"{self.name}: cannot do {permit.action}")
        key = self._keys.get(permit.action.pattern_id)
        if key is None:
            raise SafetyLimitError(
                f"{self.name}: pattern {permit.action.pattern_id} is not prepared "
                f"(there are {sorted(self._keys)})"
            )
        permit.spend(self.name)
        self._conversation.send(f"execute ManualStimTriggerPulse {key}")
        return self._clock_ns()

    def stop(self) -> None:
        """Stop the controller. What was still under way is thrown away at the next start."""
        self._may_stimulate.clear()
        if self._conversation.is_connected:
            self._stop()

    def make_safe(self) -> SafeReport:
        """Stop the controller, which stops every stimulation; never raises.

        A driver that is not open connects for it and leaves again.
        """
        self._is_shut.set()
        self._may_stimulate.clear()
        was_open = self._conversation.is_connected
        try:
            if not was_open:
                self._conversation.connect()
            told = self._conversation.stop_now(self.settings.safe_timeout_s)
        except (InstrumentError, OSError) as exc:
            # A key starts one finite train, and without us nobody presses one.
            return SafeReport(
                self.name,
                SafeState.BY_CONSTRUCTION,
                f"only finite trains exist; RHX says no: {exc}",
            )
        finally:
            if not was_open:
                self._conversation.close()
        if told is not None and told.lower() == "stop":
            return SafeReport(self.name, SafeState.CONFIRMED, "RHX is stopped")
        return SafeReport(self.name, SafeState.SENT, "stop sent to RHX, not confirmed")

    def close(self) -> None:
        """Make safe and disconnect; idempotent, never raises."""
        if self._conversation.is_connected:
            self.make_safe()
        self._disconnect()

    def _stop(self) -> None:
        told = self._conversation.ask((), "RunMode")
        if told.lower() != "stop":
            told = self._conversation.ask(("set RunMode stop",), "RunMode")
        if told.lower() != "stop":
            raise InstrumentRefusedError(f"{self.name}: does not stop, its run mode is {told}")

    def _learn(self) -> None:
        kind, rate = self._conversation.ask_all(("Type", "SampleRateHertz"))
        can_stimulate = kind.lower() == STIM_CONTROLLER.lower()
        if self.settings.stim_channels and not can_stimulate:
            raise SafetyLimitError(f"{self.name}: a {kind} cannot stimulate; take out the patterns")
        if can_stimulate:
            self._step_a = stimulation.step_a(self._conversation.ask((), "StimStepSizeMicroAmps"))
        try:
            rate_hz = float(rate)
        except ValueError:
            rate_hz = float("nan")
        if not (1000.0 <= rate_hz <= 30_000.0):
            raise InstrumentProtocolError(
                f"{self.name}: sample rate {rate!r}, expected 1000 to 30000 Hz"
            )
        self._format = StreamFormat(self.settings.channels, rate_hz, wire.MICROVOLTS_PER_COUNT)

    def _make_stream(self) -> None:
        settings = self.settings
        wide, stim = wire.stream_columns(settings.channels, settings.stim_channels)
        quiet_s = [self._quiet_s.get(channel, 0.0) for channel in settings.stim_channels]
        columns = StimColumns(
            columns=tuple(stim),
            channels=tuple(settings.channels.index(c) for c in settings.stim_channels),
            step_a=self._step_a,
            quiet_samples=tuple(
                int(one_s * self.stream_format.sample_rate_hz) + 2 for one_s in quiet_s
            ),
            artefact_samples=round(ARTEFACT_S * self.stream_format.sample_rate_hz),
        )
        if self._stream is None:
            self._stream = WaveformStream(self.name, len(wide) + len(stim), wide, columns)
        else:
            self._stream.watch(columns)

    def _open_stream(self) -> tuple[WaveformStream, TcpConnection]:
        if self._stream is None or self._waveforms is None:
            raise InstrumentProtocolError(f"{self.name}: not open")
        return self._stream, self._waveforms

    def _read_some(
        self, stream: WaveformStream, connection: TcpConnection, timeout_s: float
    ) -> int:
        n_bytes = connection.read_into(stream.room(), timeout_s)
        if n_bytes:
            stream.took(n_bytes, self._clock_ns())
        return n_bytes

    def _empty(self, connection: TcpConnection) -> None:
        """Throw away what an earlier run still had under way; RHX has stopped, so it ends."""
        while data := connection.read(MAX_SPIKE_BYTES, POLL_S / 5):
            if self._stream is not None:
                self._stream.n_discarded_bytes += len(data)

    def _disconnect(self) -> None:
        for connection in (self._waveforms, self._spikes):
            if connection is not None:
                connection.close()
        self._waveforms = self._spikes = None
        self._conversation.close()
