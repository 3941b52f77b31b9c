"""What lies between the terminals of a bench unit and the devices: nothing, or a switch."""

from collections.abc import Sequence
from typing import Protocol

from drivers.errors import InstrumentError, InstrumentProtocolError, SafetyLimitError
from drivers.safe_state import SafeState
from drivers.smu.protocol import DeviceAddress
from drivers.smu.refusals import check_place
from drivers.switch.protocol import Switch

THE_CELL = DeviceAddress(1, 1)
"""A unit without a switch has one device between its terminals."""


class Route(Protocol):
    """Leads from the terminals to one device at a time. Used by one thread at a time.

    Whoever calls `select` or `release` has seen to it that the output is off.
    """

    @property
    def selected(self) -> DeviceAddress | None:
        """Get the device that is connected; None: none is, or it is not known."""

    @property
    def is_ours(self) -> bool:
        """Get whether we have connected a device and not let go of it."""

    @property
    def n_moves(self) -> int:
        """Get how often another device was connected."""

    def check(self, name: str, device: DeviceAddress) -> None:
        """Accept a device that there is, or raise `SafetyLimitError`."""

    def attach(self) -> None:
        """Reach what switches; moves nothing."""

    def detach(self) -> None:
        """Let go of what switches; moves nothing, never raises."""

    def select(self, device: DeviceAddress) -> None:
        """Connect this device and no other, and read that back."""

    def verify(self) -> None:
        """Raise `InstrumentProtocolError` unless the selected device alone is connected."""

    def release(self) -> tuple[SafeState, str]:
        """Connect no device; say what that achieved. Never raises."""


class OneCell:
    """The one device that hangs between the terminals."""

    selected = THE_CELL
    is_ours = False
    n_moves = 0

    def check(self, name: str, device: DeviceAddress) -> None:
        """Accept the one device there is."""
        if device != THE_CELL:
            raise SafetyLimitError(
                f"{name}: device {device.wordline!r}, {device.bitline!r}, allowed 1, 1: one device "
                "hangs between its terminals; correct the device"
            )

    def attach(self) -> None:
        """Do nothing."""

    def detach(self) -> None:
        """Do nothing."""

    def select(self, device: DeviceAddress) -> None:
        """Do nothing: it is always connected."""

    def verify(self) -> None:
        """Do nothing."""

    def release(self) -> tuple[SafeState, str]:
        """Return that there is nothing to let go of."""
        return SafeState.CONFIRMED, ""


class SwitchedArray:
    """An array whose word lines a switch connects to HI, and whose bit lines to LO, one each.

    `wordlines` and `bitlines` are the switch's channels, in the order of the lines. All other lines
    float: a passive array then has sneak paths, which a switch of two wires cannot prevent.

    Raises
    ------
    SafetyLimitError
        A channel is none of this switch, or is used twice.
    """

    def __init__(self, switch: Switch, wordlines: Sequence[str], bitlines: Sequence[str]) -> None:
        channels = [*wordlines, *bitlines]
        for channel in channels:
            switch.check(channel)
            if channels.count(channel) > 1:
                raise SafetyLimitError(
                    f"{switch.name}: channel {channel} stands for two lines; give each its own"
                )
        self._switch = switch
        self._wordlines = tuple(wordlines)
        self._bitlines = tuple(bitlines)
        self._selected: DeviceAddress | None = None
        self._is_ours = False

    @property
    def selected(self) -> DeviceAddress | None:
        """Get the device that is connected; None: none is, or it is not known."""
        return self._selected

    @property
    def is_ours(self) -> bool:
        """Get whether we have connected a device and not let go of it."""
        return self._is_ours

    @property
    def n_moves(self) -> int:
        """Get how often another device was connected."""
        return self._switch.n_moves

    def check(self, name: str, device: DeviceAddress) -> None:
        """Accept a device of the array, or raise `SafetyLimitError`."""
        check_place(name, device, len(self._wordlines), len(self._bitlines))

    def attach(self) -> None:
        """Reach the switch; moves no relay."""
        self._selected = None
        self._switch.attach()

    def detach(self) -> None:
        """Let go of the switch; moves no relay."""
        self._selected = None
        self._switch.detach()

    def select(self, device: DeviceAddress) -> None:
        """Open all relays, read back, close the device's two, read back."""
        self._selected = None
        self._is_ours = True
        self._switch.close_only(self._channels(device))
        self._selected = device

    def verify(self) -> None:
        """Raise `InstrumentProtocolError` unless the device's two relays alone are closed."""
        selected, self._selected = self._selected, None
        if selected is None:
            raise InstrumentProtocolError(f"{self._switch.name}: no device is connected")
        found, due = self._switch.closed(), self._channels(selected)
        if found != due:
            raise InstrumentProtocolError(
                f"{self._switch.name}: closed are {', '.join(sorted(found)) or 'none'}, due were "
                f"{', '.join(sorted(due))}; somebody else changed it"
            )
        self._selected = selected

    def release(self) -> tuple[SafeState, str]:
        """Open all relays; a lost connection gets a second try."""
        self._selected = None
        try:
            self._open_all()
        except InstrumentError as exc:
            return SafeState.FAILED, f"{exc}; look at the switch's front panel"
        self._is_ours = False
        return SafeState.CONFIRMED, "every relay open, read back"

    def _open_all(self) -> None:
        try:
            self._switch.open_all()
        except InstrumentError:
            self._switch.open_all()

    def _channels(self, device: DeviceAddress) -> frozenset[str]:
        channels = (self._wordlines[device.wordline - 1], self._bitlines[device.bitline - 1])
        return frozenset(channels)
