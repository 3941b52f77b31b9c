"""The array of memristors, seen from above: where devices lie and how they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PyQt6.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QToolTip, QWidget

from app.gui.device_history import DeviceKey
from app.gui.numbers import grouped, with_prefix
from app.gui.theme import Theme


@dataclass(frozen=True, slots=True)
class DeviceShown:
    """One device as the map shows it."""

    key: DeviceKey
    name: str
    resistance_ohm: float | None
    window_ohm: tuple[float, float]
    n_pulses: int | None
    budget_pulses: int
    frozen: str = ""
    """Why a direction is frozen; empty: none is."""
    is_named: bool = True
    """False: a position of the array that the site file does not name. It has no edge."""

    @property
    def place(self) -> float | None:
        """Get where in its window the resistance lies, 0 to 1; None: not known."""
        low, high = self.window_ohm
        if self.resistance_ohm is None or not high > low:
            return None
        return min(1.0, max(0.0, (self.resistance_ohm - low) / (high - low)))

    @property
    def words(self) -> str:
        """Get everything that is known of it."""
        spent = "not known" if self.n_pulses is None else grouped(self.n_pulses)
        budget = grouped(self.budget_pulses)
        low, high = (with_prefix(edge, "ohm") for edge in self.window_ohm)
        text = (
            f"{self.name}: wordline {self.key[1]}, bitline {self.key[2]} of {self.key[0]}\n"
            f"resistance {with_prefix(self.resistance_ohm, 'ohm')}, window {low} to {high}\n"
            f"pulses spent: {spent} of {budget}"
        )
        return f"{text}\nFROZEN: {self.frozen}" if self.frozen else text


class DeviceMap(QWidget):
    """Wordlines across, bitlines down; colour is the resistance within the device's window."""

    selected = pyqtSignal(object)
    """A `DeviceKey`."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._devices: list[DeviceShown] = []
        self._n_lines = (32, 32)
        self.chosen: DeviceKey | None = None
        self.setMinimumSize(180, 180)

    def show_devices(self, devices: Sequence[DeviceShown], n_lines: tuple[int, int]) -> None:
        """Show these devices on an array of so many wordlines and bitlines."""
        self._devices, self._n_lines = list(devices), n_lines
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Paint the lines and the devices."""
        painter, t = QPainter(self), self._theme
        area, cell = self._area()
        painter.setPen(QPen(QColor(t.border), 0.5))
        for line in range(self._n_lines[0] + 1):
            x = area.left() + line * cell
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        for line in range(self._n_lines[1] + 1):
            y = area.top() + line * cell
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        painter.setPen(QColor(t.muted))
        below = QRectF(area.left(), area.bottom() + 2, area.width(), 16)
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "wordline →   bitline ↓")
        for device in sorted(self._devices, key=lambda d: d.is_named):
            self._paint(painter, device, self._box(device))

    def _paint(self, painter: QPainter, device: DeviceShown, box: QRectF) -> None:
        t = self._theme
        place = device.place
        if place is None:
            painter.fillRect(box, QColor(t.unknown))
        else:
            colour = QColor(t.accent)
            colour.setAlphaF(0.25 + 0.75 * place)
            painter.fillRect(box, colour)
        edge = t.warning if device.frozen else t.text
        is_chosen = device.key == self.chosen
        if not (device.is_named or is_chosen):
            return
        painter.setPen(QPen(QColor(edge), 2.5 if is_chosen or device.frozen else 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(box)

    def _area(self) -> tuple[QRectF, float]:
        n_word, n_bit = self._n_lines
        cell = max(2.0, min((self.width() - 8) / n_word, (self.height() - 24) / n_bit))
        left = (self.width() - cell * n_word) / 2
        return QRectF(left, 4, cell * n_word, cell * n_bit), cell

    def _box(self, device: DeviceShown) -> QRectF:
        area, cell = self._area()
        grown = (
            max(0.0, (10 - cell) / 2) if device.is_named else 0.0
        )  # a single cell of a large array can hardly be hit
        x = area.left() + (device.key[1] - 1) * cell
        y = area.top() + (device.key[2] - 1) * cell
        return QRectF(x, y, cell, cell).adjusted(-grown, -grown, grown, grown)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Select the device under the mouse."""
        device = None if event is None else self._at(event.position())
        if device is not None:
            self.chosen = device.key
            self.selected.emit(device.key)
            self.update()

    def event(self, event: Any) -> bool:
        """Say what is known of the device under the mouse."""
        if isinstance(event, QHelpEvent):
            device = self._at(QPointF(event.pos()))
            text = self.toolTip() if device is None else device.words
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def _at(self, point: QPointF) -> DeviceShown | None:
        under = [d for d in self._devices if self._box(d).contains(point)]
        return max(under, key=lambda d: d.is_named, default=None)
