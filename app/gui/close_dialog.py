"""What a person is asked before something cannot be taken back."""

import enum
from collections.abc import Callable

from PyQt6.QtWidgets import QMessageBox, QWidget

from app.gui.ask_box import AskBox


class AfterClosing(enum.Enum):
    """The answers."""

    LEAVE = "the engine goes on"
    END = "the engine ends in order"
    STAY = "the window stays"


def ask_what_then(parent: QWidget, is_armed: bool, stop: Callable[[], object]) -> AfterClosing:
    """Ask; Escape and Enter both keep the window open, and so does the emergency stop."""
    box = AskBox(parent, "Close the window", "What shall become of the engine?", stop)
    armed = (
        "The site is ARMED, and its arming lives by a window: without one it trips within 2 s and "
        "switches everything off.\n\n"
        if is_armed
        else ""
    )
    box.setInformativeText(
        armed + "Left running it goes on recording events, and any window or `spikebridge status` "
        "can attach to it."
    )
    leave = box.addButton("Leave the engine running", QMessageBox.ButtonRole.AcceptRole)
    end = box.addButton("End the engine in order", QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton("Keep the window", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec()
    answers = {leave: AfterClosing.LEAVE, end: AfterClosing.END}
    clicked = box.clickedButton()
    return next((a for button, a in answers.items() if button is clicked), AfterClosing.STAY)


def ask_to_take_control(parent: QWidget, holder: str, stop: Callable[[], object]) -> bool:
    """Ask whether control is to be taken from whoever holds it; Escape and Enter mean no."""
    text = (
        f"{holder} holds control of this site. Take it from them? What they armed stays armed, and "
        "from then on lives by this window."
    )
    box = AskBox(parent, "Take control?", text, stop)
    take = box.addButton("Take control", QMessageBox.ButtonRole.YesRole)
    leave = box.addButton("Leave it", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(leave)
    box.setEscapeButton(leave)
    box.exec()
    return box.clickedButton() is take
