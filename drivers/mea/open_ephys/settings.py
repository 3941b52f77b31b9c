"""Where one Open Ephys GUI is and what is taken from it."""

import math
from dataclasses import dataclass

from drivers.errors import SafetyLimitError

MIN_RATE_HZ, MAX_RATE_HZ = 1000.0, 50_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEphysSettings:
    """Addresses, channels and patience. Raises `SafetyLimitError` for what cannot be.

    The Falcon Output plugin tells neither names nor units, so `channels` names its channels in
    their order and `microvolts_per_count` is the step of its amplifier (bit_volts in the GUI).
    """

    host: str
    http_port: int = 37497
    falcon_port: int = 3335
    broadcaster_port: int | None = None
    """Also take the GUI's own spikes from its Event Broadcaster, by `read_spikes`."""
    stream: str = ""
    """Which stream, where several pass through the plugin; empty: the only one."""
    channels: tuple[str, ...]
    sample_rate_hz: float
    microvolts_per_count: float = 0.195
    http_timeout_s: float = 2.0
    mode_timeout_s: float = 10.0
    """The GUI answers a change of mode only once it is done."""
    start_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if len(set(self.channels)) != len(self.channels) or not self.channels:
            raise SafetyLimitError("Open Ephys: channels must be one or more, each once")
        if not (MIN_RATE_HZ <= self.sample_rate_hz <= MAX_RATE_HZ):
            raise SafetyLimitError(
                f"Open Ephys: sample_rate_hz {self.sample_rate_hz} Hz, allowed {MIN_RATE_HZ:g} to "
                f"{MAX_RATE_HZ:g} Hz"
            )
        if not (0 < self.microvolts_per_count < math.inf):
            raise SafetyLimitError(
                f"Open Ephys: microvolts_per_count {self.microvolts_per_count} uV, must be above 0 "
                "and finite"
            )
