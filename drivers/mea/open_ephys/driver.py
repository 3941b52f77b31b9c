"""The Open Ephys GUI, with any amplifier behind it, as a source of samples."""

import time
from collections.abc import Callable, Sequence

from drivers.errors import InstrumentProtocolError, InstrumentTimeoutError, SafetyLimitError
from drivers.mea.open_ephys import wire
from drivers.mea.open_ephys.control import GuiControl
from drivers.mea.open_ephys.settings import OpenEphysSettings
from drivers.mea.open_ephys.subscription import Subscription
from drivers.mea.protocol import Pattern, SampleBlock, StreamFormat
from drivers.permit import Permit
from drivers.safe_state import SafeReport, SafeState

CANNOT = "the Open Ephys GUI gives samples and takes no stimuli from us"


class OpenEphysGui:
    """A `MeaAmplifier` that never stimulates. One thread reads blocks.

    Samples come from the Falcon Output plugin, start and stop go through the HTTP server. The GUI
    belongs to its operator: if it was acquiring or recording before `start`, `stop` leaves it so.
    """

    def __init__(
        self,
        name: str,
        settings: OpenEphysSettings,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.settings = settings
        self.n_other_streams = 0
        """Messages of streams that were not asked for."""
        self._clock_ns = clock_ns
        self._control = GuiControl(name, settings)
        self._format = StreamFormat(
            settings.channels, settings.sample_rate_hz, settings.microvolts_per_count
        )
        self._samples: Subscription | None = None
        self._spikes: Subscription | None = None
        self._has_started_gui = False
        self._first: SampleBlock | None = None
        self._stream = settings.stream
        self._end_sample = -1

    @property
    def stream_format(self) -> StreamFormat:
        """Get the format of the blocks; valid after `open`."""
        self._opened()
        return self._format

    def open(self) -> None:
        """Make sure that the GUI answers, and subscribe. Raises as `GuiControl.mode`."""
        self._control.mode()
        settings = self.settings
        if self._samples is None:
            self._samples = self._subscribe(settings.falcon_port)
        if self._spikes is None and settings.broadcaster_port is not None:
            self._spikes = self._subscribe(settings.broadcaster_port)

    def prepare(self, patterns: Sequence[Pattern]) -> None:
        """Refuse patterns; only an empty list is accepted. Raises `SafetyLimitError`."""
        if patterns:
            raise SafetyLimitError(f"{self.name}: {CANNOT}; take out the patterns")

    def start(self) -> None:
        """Let the GUI acquire; returns when samples come.

        Raises
        ------
        InstrumentRefusedError
            The GUI does not start.
        InstrumentTimeoutError
            It runs, and no samples came.
        InstrumentProtocolError
            The samples are not what the settings say.
        """
        self._opened().drain()  # of an earlier run
        if self._control.mode() == wire.IDLE:
            self._has_started_gui = True  # also where its answer is lost
            self._control.set_mode(wire.ACQUIRE)
        self._first = None
        first = self.read_block(self.settings.start_timeout_s)
        if first is None:
            raise InstrumentTimeoutError(
                f"{self.name}: the Open Ephys GUI acquires, but no samples came within "
                f"{self.settings.start_timeout_s:g} s; is a Falcon Output in its signal chain, on "
                f"port {self.settings.falcon_port}?"
            )
        self._first = first

    def read_block(self, timeout_s: float) -> SampleBlock | None:
        """Return the next gapless block, or None if none came in time, or at `close`.

        Raises
        ------
        InstrumentProtocolError
            A message cannot be read, or its channels, rate or stream are not those of the settings.
        """
        samples = self._opened()
        if self._first is not None:
            first, self._first = self._first, None
            return first
        deadline_ns = self._clock_ns() + round(timeout_s * 1e9)
        while True:
            left_s = max(0.0, (deadline_ns - self._clock_ns()) / 1e9)
            frames = samples.receive(left_s)
            if frames is None:
                return None
            received_ns = self._clock_ns()
            if len(frames) != 1:
                raise InstrumentProtocolError(
                    f"{self.name}: a message of {len(frames)} frames, expected 1; port "
                    f"{self.settings.falcon_port} is no Falcon Output"
                )
            data = wire.decode_continuous(frames[0])
            if data.samples.size and self._is_ours(data):
                return self._block(data, received_ns)

    def read_spikes(self, timeout_s: float) -> list[wire.GuiSpike]:
        """Return what the GUI's own detector found; empty after `timeout_s`.

        The Event Broadcaster has no sequence numbers: a loss cannot be noticed. Raises as
        `read_block`; needs `broadcaster_port`.
        """
        if self._spikes is None:
            raise InstrumentProtocolError(f"{self.name}: broadcaster_port is not set, or not open")
        spikes = []
        frames = self._spikes.receive(timeout_s)
        while frames is not None:
            spike = wire.decode_event(frames)
            if spike is not None:
                spikes.append(spike)
            frames = self._spikes.receive(0.0)
        return spikes

    def stimulate(self, permit: Permit) -> int:
        """Refuse. Raises `SafetyLimitError`; the permit stays unspent."""
        raise SafetyLimitError(
            f"{self.name}: {CANNOT} (permit {permit.number}); stimulate with another amplifier"
        )

    def stop(self) -> None:
        """Let the GUI be idle, if it was `start` that made it acquire and nobody records now."""
        if not self._has_started_gui:
            return
        self._has_started_gui = False
        if self._control.mode() == wire.ACQUIRE:
            self._control.set_mode(wire.IDLE)

    def make_safe(self) -> SafeReport:
        """Say that nothing is moved from here; changes nothing, never raises."""
        return SafeReport(self.name, SafeState.BY_CONSTRUCTION, CANNOT)

    def close(self) -> None:
        """Disconnect; idempotent, never raises. The GUI goes on with what it does."""
        for one in (self._samples, self._spikes):
            if one is not None:
                one.close()
        self._samples = self._spikes = None

    def _opened(self) -> Subscription:
        if self._samples is None:
            raise InstrumentProtocolError(f"{self.name}: not open")
        return self._samples

    def _subscribe(self, port: int) -> Subscription:
        return Subscription(f"{self.settings.host}:{port}", self._clock_ns)

    def _is_ours(self, data: wire.ContinuousData) -> bool:
        if not self._stream:
            self._stream = data.stream
        if data.stream == self._stream:
            return True
        if not self.settings.stream:
            raise InstrumentProtocolError(
                f"{self.name}: two streams, {self._stream!r} and {data.stream!r}; say which in "
                "stream"
            )
        self.n_other_streams += 1
        return False

    def _block(self, data: wire.ContinuousData, received_ns: int) -> SampleBlock:
        settings = self.settings
        if len(data.samples) != len(settings.channels):
            raise InstrumentProtocolError(
                f"{self.name}: stream {data.stream!r} has {len(data.samples)} channels, the "
                f"settings name {len(settings.channels)}"
            )
        if data.sample_rate_hz != round(settings.sample_rate_hz):
            raise InstrumentProtocolError(
                f"{self.name}: stream {data.stream!r} has {data.sample_rate_hz} Hz, the settings "
                f"say {settings.sample_rate_hz:g} Hz"
            )
        missing = data.sample_number - self._end_sample if self._end_sample >= 0 else 0
        samples = wire.to_counts(data.samples, settings.microvolts_per_count)
        samples.flags.writeable = False
        n_lost = missing if missing >= 0 else -1
        block = SampleBlock(samples, data.sample_number, n_lost, received_ns)
        self._end_sample = block.end_sample
        return block
