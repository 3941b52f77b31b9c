"""Lets a frozen memristor be pulsed again, by a named person who has looked at it."""

from typing import Any

from app.console.messages import Reply
from app.gui.confirm_form import ConfirmForm
from app.gui.device_history import DeviceKey
from app.gui.engine_link import EngineLink
from app.gui.theme import Theme

TIP = (
    "A device that did not move, moved the wrong way or left its window is frozen for that "
    "direction: it takes no further pulse. Look at it first, then let it be pulsed again."
)


class UnfreezeForm(ConfirmForm):
    """Shown while the chosen device is frozen."""

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__("Frozen: takes no further pulse", TIP, theme)
        self._link = link
        self._device = ("", "")
        self.confirmed.connect(self._ask)
        self.hide()

    def show_device(
        self, key: DeviceKey | None, name: str, why_frozen: str, gate: dict[str, Any]
    ) -> None:
        """Show the chosen device's freezing, or nothing if it is not frozen."""
        if key is None or not why_frozen:
            self.hide()
            return
        if self._device != (key[0], name):
            self._device = (key[0], name)
            self.say("")
        is_free = gate["state"] == "disarmed"
        self.set_deed(
            f"unfreeze {name}",
            f"{name} is frozen ({why_frozen}). You have looked at it, and let it be pulsed again.",
            "" if is_free else f"{name} is frozen ({why_frozen}). Disarm first to unfreeze it.",
        )
        self.show()

    def _ask(self, who: str, reason: str) -> None:
        instrument, device = self._device
        self._link.call(
            "unfreeze",
            self._answered,
            who=who,
            reason=reason,
            instrument=instrument,
            device=device,
            is_confirmed=True,
        )

    def _answered(self, reply: Reply) -> None:
        self.say("" if reply.is_ok else f"Refused: {reply.error}", "" if reply.is_ok else "bad")
