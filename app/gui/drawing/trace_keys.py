"""The keys of the trace view: one table for what they do and for what the help says."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeyEvent

if TYPE_CHECKING:
    from app.gui.drawing.trace_view import TraceView

_Key = Qt.Key
_Change = Callable[["TraceView"], None]


@dataclass(frozen=True, slots=True)
class ViewKey:
    """One key and what it does."""

    name: str
    meaning: str
    keys: tuple[Qt.Key, ...]
    is_shifted: bool
    change: _Change


def _window(n_steps: int) -> _Change:
    return lambda view: view.set_settings(view.settings.with_window(n_steps))


def _scale(n_steps: int) -> _Change:
    return lambda view: view.set_settings(view.settings.with_scale(n_steps))


def _scale_one(n_steps: int) -> _Change:
    return lambda view: view.scale_selected(n_steps)


def _scroll(windows: float) -> _Change:
    return lambda view: view.move_in_time(windows)


def _toggle(field: str) -> _Change:
    def change(view: "TraceView") -> None:
        value = not getattr(view.settings, field)
        view.set_settings(dataclasses.replace(view.settings, **{field: value}))

    return change


KEYS = (
    ViewKey("Space", "pause; again: live", (_Key.Key_Space,), False, lambda v: v.toggle_pause()),
    ViewKey("←", "a tenth of the window back", (_Key.Key_Left,), False, _scroll(-0.1)),
    ViewKey("→", "a tenth of the window on", (_Key.Key_Right,), False, _scroll(0.1)),
    ViewKey("Shift ←", "a whole window back", (_Key.Key_Left,), True, _scroll(-1)),
    ViewKey("Shift →", "a whole window on", (_Key.Key_Right,), True, _scroll(1)),
    ViewKey("Home", "the oldest that is kept", (_Key.Key_Home,), False, _scroll(-1e9)),
    ViewKey("End", "live", (_Key.Key_End,), False, lambda v: v.go_live()),
    ViewKey("↑", "larger traces", (_Key.Key_Up,), False, _scale(-1)),
    ViewKey("↓", "smaller traces", (_Key.Key_Down,), False, _scale(1)),
    ViewKey("Shift ↑", "larger: the selected channel", (_Key.Key_Up,), True, _scale_one(-1)),
    ViewKey("Shift ↓", "smaller: the selected channel", (_Key.Key_Down,), True, _scale_one(1)),
    ViewKey("+", "shorter window", (_Key.Key_Plus, _Key.Key_Equal), False, _window(-1)),
    ViewKey("−", "longer window", (_Key.Key_Minus,), False, _window(1)),
    ViewKey("A", "fit each channel; again: common", (_Key.Key_A,), False, lambda v: v.fit_scales()),
    ViewKey("F", "filtered or raw", (_Key.Key_F,), False, _toggle("is_filtered")),
    ViewKey("L", "electrodes or lanes", (_Key.Key_L,), False, _toggle("is_grid")),
    ViewKey("Page Up", "earlier lanes", (_Key.Key_PageUp,), False, lambda v: v.turn_page(-1)),
    ViewKey("Page Down", "later lanes", (_Key.Key_PageDown,), False, lambda v: v.turn_page(1)),
    ViewKey("Esc", "all channels again", (_Key.Key_Escape,), False, lambda v: v.show_all()),
)


def change_for(event: QKeyEvent) -> _Change | None:
    """Return what a key does, or None if it is not the view's."""
    if event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier):
        return None
    arrows = {_Key.Key_Left, _Key.Key_Right, _Key.Key_Up, _Key.Key_Down}
    is_shifted = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
    for key in KEYS:
        if event.key() in key.keys and (key.is_shifted == is_shifted or event.key() not in arrows):
            return key.change
    return None
