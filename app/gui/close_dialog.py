"""What becomes of the engine when its window closes: a person says."""

import enum

from PyQt6.QtWidgets import QMessageBox, QWidget


class AfterClosing(enum.Enum):
    """The answers."""

    LEAVE = "the engine goes on"
    END = "the engine ends in order"
    STAY = "the window stays"


def ask_what_then(parent: QWidget, is_armed: bool) -> AfterClosing:
    """Ask; Escape and Enter both keep the window open."""
    box = QMessageBox(parent)
    box.setWindowTitle("Close the window")
    box.setText("What shall become of the engine?")
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
