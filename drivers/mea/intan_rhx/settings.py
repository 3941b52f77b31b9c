"""Where one RHX program is and what is taken from it."""

from dataclasses import dataclass

from drivers.errors import SafetyLimitError
from drivers.mea.intan_rhx.wire import is_channel_name


@dataclass(frozen=True, slots=True, kw_only=True)
class IntanRhxSettings:
    """Addresses, channels and patience. Raises `SafetyLimitError` for what cannot be.

    `channels` are the columns of the blocks, in this order; `stim_channels` are those of them
    whose stimulation is watched (and only these may be stimulated).
    """

    host: str
    command_port: int = 5000
    waveform_port: int = 5001
    spike_port: int = 5002
    channels: tuple[str, ...]
    stim_channels: tuple[str, ...] = ()
    takes_spikes: bool = False
    """Also take RHX's own detection, by `read_spikes`."""
    connect_timeout_s: float = 2.0
    reply_timeout_s: float = 1.0
    idle_gap_s: float = 0.02
    """A reply has no terminator: it is whole when nothing came for so long."""
    start_timeout_s: float = 3.0
    upload_timeout_s: float = 30.0
    safe_timeout_s: float = 0.4
    impedance_folder: str = ""
    """Where RHX writes impedances, as its own computer names it; empty: there is no check."""
    impedance_folder_here: str = ""
    """The same folder as this computer names it; empty: by the same name."""
    impedance_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        wrong = [c for c in (*self.channels, *self.stim_channels) if not is_channel_name(c)]
        if wrong:
            raise SafetyLimitError(
                f"RHX: {', '.join(wrong)}: not a channel's name; write it as RHX does, A-000"
            )
        if any(mark in self.impedance_folder for mark in ";\n"):
            raise SafetyLimitError(
                f"RHX: folder {self.impedance_folder!r}: RHX ends a command at a semicolon"
            )
        if len(set(self.channels)) != len(self.channels) or not self.channels:
            raise SafetyLimitError("RHX: channels must be one or more, each once")
        unknown = sorted(set(self.stim_channels) - set(self.channels))
        if unknown:
            raise SafetyLimitError(
                f"RHX: {', '.join(unknown)}: stimulation of channels that are not read; add them "
                "to channels"
            )
