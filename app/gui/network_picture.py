"""The network as a picture: sites, neurons, memristors, who drives whom and how strongly."""

import math
from typing import Any

from PyQt6.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt6.QtGui import (
    QColor,
    QFont,
    QHelpEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)
from PyQt6.QtWidgets import QToolTip, QWidget

from app.gui.network_layout import NetworkLayout, PlacedNeuron, PlacedSynapse
from app.gui.numbers import with_prefix
from app.gui.theme import Theme

NEURON = (72.0, 34.0)
NEURON_R = 36.0
DEVICE = (92.0, 46.0)
GLOW_S = 0.35
"""A neuron that fired glows for so long."""


class NetworkPicture(QWidget):
    """Neurons are pills that glow when they fire; memristors are boxes that show their weight.

    An arrow is as thick as its weight is large; a dashed one has no weight that is known here.
    """

    synapse_selected = pyqtSignal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._layout: NetworkLayout | None = None
        self._shown: dict[int, dict[str, Any]] = {}
        self._fired_ns: dict[int, int] = {}
        self._frozen: set[str] = set()
        self._now_ns: int | None = None
        self.selected: int | None = None
        self.setMinimumHeight(220)
        self.setMouseTracking(True)

    def set_network(self, layout: NetworkLayout) -> None:
        """Show another network."""
        self._layout = layout
        if layout.synapses and self.selected is None:
            self.selected = layout.synapses[0].synapse
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        self.update()

    def show_synapses(self, synapses: list[dict[str, Any]], frozen: set[str]) -> None:
        """Take weights and resistances of the synapses that this site hosts."""
        self._shown = {s["synapse"]: s for s in synapses}
        self._frozen = frozen
        self.update()

    def fired(self, neuron: int, time_ns: int) -> None:
        """Take one spike."""
        self._fired_ns[neuron] = max(time_ns, self._fired_ns.get(neuron, 0))

    def set_now(self, now_ns: int | None) -> None:
        """Let glowing fade; None: nothing is known of now, and nothing glows."""
        self._now_ns = now_ns
        self.update()

    # --- painting -----------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Paint everything; it is a few dozen shapes."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        layout = self._layout
        if layout is None:
            painter.setPen(QColor(self._theme.muted))
            text = "No experiment is loaded: this site has no synapses."
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, text)
            return
        for name, left, right in layout.sites:
            self._paint_site(painter, name, left, right)
        for synapse in layout.synapses:
            self._paint_arrows(painter, synapse)
        for synapse in layout.synapses:
            self._paint_device(painter, synapse)
        for neuron in layout.neurons.values():
            self._paint_neuron(painter, neuron)

    def _paint_site(self, painter: QPainter, name: str, left: float, right: float) -> None:
        t = self._theme
        box = QRectF(left * self.width() + 6, 4, (right - left) * self.width() - 12, 0)
        box.setHeight(self.height() - 8)
        painter.setPen(QPen(QColor(t.border), 1))
        painter.setBrush(QColor(t.raised))
        painter.drawRoundedRect(box, 8, 8)
        painter.setPen(QColor(t.muted))
        painter.setFont(_font(self.font(), 10, is_bold=True))
        painter.drawText(box.adjusted(10, 6, -6, 0), Qt.AlignmentFlag.AlignLeft, name)

    def _paint_arrows(self, painter: QPainter, synapse: PlacedSynapse) -> None:
        layout = self._layout
        if layout is None:
            return
        weight = self._shown.get(synapse.synapse, {}).get("weight")
        pre, post = layout.neurons.get(synapse.pre), layout.neurons.get(synapse.post)
        device = self._point(synapse.x, synapse.y)
        half = DEVICE[0] / 2
        if pre is not None:
            start = self._point(pre.x, pre.y)
            side = math.copysign(half, start.x() - device.x())
            self._paint_arrow(painter, start, device + QPointF(side, -8), None, NEURON_R)
        if post is not None:
            end = self._point(post.x, post.y)
            side = math.copysign(half, end.x() - device.x())
            self._paint_arrow(painter, device + QPointF(side, 8), end, weight, 0, NEURON_R + 3)

    def _paint_arrow(
        self,
        painter: QPainter,
        start: QPointF,
        end: QPointF,
        weight: float | None,
        cut_start: float,
        cut_end: float = 3.0,
    ) -> None:
        t = self._theme
        is_output = cut_start == 0
        pen = QPen(QColor(t.accent if weight is not None else t.muted))
        pen.setWidthF(1.4 if weight is None else 1.2 + 4.0 * weight)
        if is_output and weight is None:
            pen.setStyle(Qt.PenStyle.DashLine)
        length = math.hypot(end.x() - start.x(), end.y() - start.y())
        if length < cut_start + cut_end + 4:
            return
        along = (end - start) / length
        start, end = start + along * cut_start, end - along * cut_end
        bend = QPointF(-along.y(), along.x()) * min(26.0, length * 0.12)
        middle = (start + end) / 2 + bend
        path = QPainterPath(start)
        path.quadTo(middle, end)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(pen)
        painter.drawPath(path)
        toward = end - middle
        size = math.hypot(toward.x(), toward.y()) or 1.0
        toward /= size
        normal = QPointF(-toward.y(), toward.x())
        head = QPainterPath(end)
        head.lineTo(end - toward * 11 + normal * 5)
        head.lineTo(end - toward * 11 - normal * 5)
        head.closeSubpath()
        painter.fillPath(head, pen.color())

    def _paint_device(self, painter: QPainter, synapse: PlacedSynapse) -> None:
        t = self._theme
        box = self._device_box(synapse)
        shown = self._shown.get(synapse.synapse)
        is_selected = synapse.synapse == self.selected
        painter.setPen(QPen(QColor(t.accent if is_selected else t.muted), 2 if is_selected else 1))
        painter.setBrush(QColor(t.panel))
        painter.drawRoundedRect(box, 4, 4)
        weight = None if shown is None else shown.get("weight")
        if weight is not None:
            bar = QRectF(box.left() + 2, box.bottom() - 6, (box.width() - 4) * weight, 4)
            painter.fillRect(bar, QColor(t.accent))
        painter.setPen(QColor(t.text))
        painter.setFont(_font(self.font(), 9, is_bold=True))
        top = box.adjusted(0, 3, 0, 0)
        painter.drawText(top, Qt.AlignmentFlag.AlignHCenter, synapse.name)
        painter.setFont(_font(self.font(), 8))
        line, colour = self._device_line(synapse, shown)
        painter.setPen(QColor(colour))
        centre = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom
        painter.drawText(box.adjusted(0, 0, 0, -8), centre, line)

    def _device_line(self, synapse: PlacedSynapse, shown: dict[str, Any] | None) -> tuple[str, str]:
        t = self._theme
        if shown is None:
            return f"device {synapse.device}", t.muted
        if synapse.device in self._frozen:
            return "FROZEN", t.warning
        if shown["is_holding"]:
            return "rule holds", t.warning
        return with_prefix(shown["resistance_ohm"], "Ω"), t.text

    def _paint_neuron(self, painter: QPainter, neuron: PlacedNeuron) -> None:
        t = self._theme
        centre = self._point(neuron.x, neuron.y)
        glow = self._glow(neuron.neuron)
        fill = QColor(t.panel)
        if glow > 0:
            hot = QColor("#ffd166" if t.name == "dark" else "#f0b429")
            fill = _mixed(fill, hot, glow)
        box = QRectF(0, 0, *NEURON)
        box.moveCenter(centre)
        painter.setBrush(fill)
        painter.setPen(QPen(QColor(t.text), 1.5))
        painter.drawRoundedRect(box, NEURON[1] / 2, NEURON[1] / 2)
        painter.setPen(QColor("#1b1300" if glow > 0.5 else t.text))
        painter.setFont(_font(self.font(), 9, is_bold=True))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, neuron.name)

    def _glow(self, neuron: int) -> float:
        fired_ns = self._fired_ns.get(neuron)
        if fired_ns is None or self._now_ns is None:
            return 0.0
        age_s = (self._now_ns - fired_ns) / 1e9
        return max(0.0, 1.0 - max(0.0, age_s) / GLOW_S)

    def _point(self, x: float, y: float) -> QPointF:
        return QPointF(x * self.width(), 20 + y * (self.height() - 30))

    def _device_box(self, synapse: PlacedSynapse) -> QRectF:
        centre = self._point(synapse.x, synapse.y)
        return QRectF(centre.x() - DEVICE[0] / 2, centre.y() - DEVICE[1] / 2, DEVICE[0], DEVICE[1])

    # --- mouse --------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Select the synapse under the mouse."""
        synapse = None if event is None else self._synapse_at(event.position())
        if synapse is not None:
            self.selected = synapse.synapse
            self.synapse_selected.emit(synapse.synapse)
            self.update()

    def event(self, event: Any) -> bool:
        """Explain what is under the mouse."""
        if isinstance(event, QHelpEvent):
            synapse = self._synapse_at(QPointF(event.pos()))
            text = self.toolTip() if synapse is None else self._tip(synapse)
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def _synapse_at(self, point: QPointF) -> PlacedSynapse | None:
        synapses = () if self._layout is None else self._layout.synapses
        return next((s for s in synapses if self._device_box(s).contains(point)), None)

    def _tip(self, synapse: PlacedSynapse) -> str:
        shown = self._shown.get(synapse.synapse)
        where = f"Synapse {synapse.name}: memristor {synapse.device} at {synapse.site}."
        if shown is None:
            return f"{where}\nIts weight is known at {synapse.site} only."
        weight = "not known" if shown["weight"] is None else f"{shown['weight']:.2f} of 0 to 1"
        return (
            f"{where}\nResistance {with_prefix(shown['resistance_ohm'], 'ohm')}, weight {weight}."
            f"\n{shown['n_wanted']} pulses wanted by its rule, {shown['n_waiting']} events wait."
        )


def _font(base: QFont, points: int, *, is_bold: bool = False) -> QFont:
    font = QFont(base)
    font.setPointSize(points)
    font.setBold(is_bold)
    return font


def _mixed(one: QColor, other: QColor, part: float) -> QColor:
    def mix(a: int, b: int) -> int:
        return round(a + (b - a) * part)

    return QColor(
        mix(one.red(), other.red()),
        mix(one.green(), other.green()),
        mix(one.blue(), other.blue()),
    )
