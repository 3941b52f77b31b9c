"""Synapses: the network as a picture, its memristors on their array, and their history."""

from typing import Any

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from app.console.feed import NeuronEvents
from app.gui.device_history import DeviceKey, SynapseHistory
from app.gui.device_map import DeviceMap, DeviceShown
from app.gui.engine_link import EngineLink
from app.gui.network_layout import lay_out
from app.gui.network_picture import NetworkPicture
from app.gui.panel import Panel, heading, muted, set_tone
from app.gui.protocol_bar import ProtocolBar
from app.gui.resistance_plot import ResistancePlot
from app.gui.theme import Theme
from app.gui.unfreeze_form import UnfreezeForm

PLOT_EVERY_NS = 200_000_000
MIN_LINES = 8


class SynapsesPanel(Panel):
    """Picture above; below it the array and the chosen device's resistance."""

    title = "Synapses"
    explanation = (
        "Memristors as synapses: each weighs the spikes of one neuron for another. A rule raises "
        "(LTP) or lowers (LTD) the weight by voltage pulses, driven by the firing itself."
    )

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__(link)
        self.history = SynapseHistory()
        self.protocol = ProtocolBar(link)
        self.picture = NetworkPicture(theme)
        self.map = DeviceMap(theme)
        self.map.setToolTip("The array of memristors. Click a device to see its history.")
        self.plot = ResistancePlot(theme)
        self.chosen = QLabel("no device")
        self.chosen.setToolTip("The memristor that is chosen, and the synapse that it is")
        self.facts = muted()
        self.facts.setToolTip(
            "Window: where its resistance may be moved. Budget: pulses that it may get in its life"
        )
        self.unfreeze = UnfreezeForm(link, theme)
        self.holes = QLabel()
        self.holes.setToolTip(
            "HOLE: events are declared missing; the rule moves nothing until its window is whole"
        )
        self._keys: dict[str, DeviceKey] = {}
        self._described: dict[DeviceKey, dict[str, Any]] = {}
        self._experiment: dict[str, Any] | None = None
        self._key: DeviceKey | None = None
        self._plotted_ns = 0
        self._arrange()
        self.picture.synapse_selected.connect(self._choose_synapse)
        self.map.selected.connect(self.choose_device)

    def _arrange(self) -> None:
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.addWidget(self.protocol)
        below = QSplitter(Qt.Orientation.Horizontal)
        left, right = QWidget(), QWidget()
        for side, title, widget, more in (
            (left, "Array of memristors", self.map, ()),
            (
                right,
                "Resistance of the chosen device",
                self.plot,
                (self.facts, self.unfreeze, self.holes),
            ),
        ):
            column = QVBoxLayout(side)
            column.setContentsMargins(10, 4, 10, 6)
            head = QHBoxLayout()
            head.addWidget(heading(title))
            if widget is self.plot:
                head.addWidget(self.chosen, 1)
            column.addLayout(head)
            column.addWidget(widget, 1)
            for below_it in more:
                column.addWidget(below_it)
            below.addWidget(side)
        below.setSizes([260, 700])
        split = QSplitter(Qt.Orientation.Vertical)
        split.addWidget(self.picture)
        split.addWidget(below)
        split.setSizes([240, 380])
        self.body.addWidget(split, 1)
        self.plot.setToolTip(
            "▲ an LTP pulse, ▼ an LTD pulse, hollow: wanted and not applied.\nDashed: the window "
            "in which the device may be moved. Red: a HOLE, where the rule holds."
        )

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for view in (self.picture, self.map, self.plot, self.unfreeze.button):
            view.set_theme(theme)
        self._plotted_ns = 0

    def show_description(self, description: dict[str, Any]) -> None:
        """Take network and devices."""
        self.protocol.show_description(description)
        self.unfreeze.set_operators(description["operators"])
        self._experiment = description["experiment"]
        if self._experiment is not None:
            self.picture.set_network(lay_out(self._experiment))
        self._described = {
            (smu["name"], device["wordline"], device["bitline"]): device
            for smu in description["smus"]
            for device in smu["devices"]
        }
        self._keys = {device["name"]: key for key, device in self._described.items()}
        if self._key not in self._described and self._described:
            self.choose_device(next(iter(self._described)))

    def show_status(self, status: dict[str, Any]) -> None:
        """Take weights, what is spent and what is frozen."""
        self.protocol.show_status(status)
        gate = status["gate"]
        frozen = _frozen_words(gate["frozen"])
        self.picture.show_synapses(status["synapses"], {device for _, device in frozen})
        spent = {(b["instrument"], b["device"]): b["n_pulses"] for b in gate.get("budgets", [])}
        shown = [
            DeviceShown(
                key=key,
                name=device["name"],
                resistance_ohm=self._resistance(key),
                window_ohm=tuple(device["window_ohm"]),
                n_pulses=spent.get((key[0], device["name"])),
                budget_pulses=device["budget_pulses"],
                frozen=frozen.get((key[0], device["name"]), ""),
            )
            for key, device in self._described.items()
        ]
        self.map.show_devices(shown, self._n_lines())
        chosen = next((d for d in shown if d.key == self._key), None)
        self.facts.setText("" if chosen is None else chosen.words)
        name, why_frozen = ("", "") if chosen is None else (chosen.name, chosen.frozen)
        self.unfreeze.show_device(self._key, name, why_frozen, gate)
        self._show_holes(status["synapses"])

    def show_unknown(self, reason: str) -> None:
        """Show that no weight is known now."""
        self.picture.show_synapses([], set())
        self.facts.setText(reason)
        self.unfreeze.hide()

    def take(self, arrival: object) -> None:
        """Take reads, pulses, holes and neurons' events."""
        if isinstance(arrival, NeuronEvents):
            records = arrival.records
            for neuron in set(records["neuron"].tolist()):
                times = records["time_ns"][records["neuron"] == neuron]
                self.picture.fired(int(neuron), int(times.max()))
        else:
            self.history.take(arrival)

    def show_frame(self) -> None:
        """Let neurons glow; draw the plot a few times a second."""
        if not self.isVisible():
            return
        now_ns = self.link.site_now_ns
        self.picture.set_now(now_ns)
        if self._key is None or now_ns is None or 0 < now_ns - self._plotted_ns < PLOT_EVERY_NS:
            return
        self._plotted_ns = now_ns
        holes = [hole for synapse in self._synapses_of(self._key)
                 for hole in self.history.holes.get(synapse, ())]  # fmt: skip
        self.plot.show_device(self.history.devices[self._key], holes, now_ns)

    def choose_device(self, key: DeviceKey) -> None:
        """Show another device's history."""
        self._key = self.map.chosen = key
        device = self._described.get(key)
        self.plot.show_window(None if device is None else tuple(device["window_ohm"]))
        name = "?" if device is None else device["name"]
        roles = ", ".join(
            s["name"] for s in self._hosted() if s["id"] in self._synapses_of(key)
        ) or "no synapse"  # fmt: skip
        self.chosen.setText(f"{name} of {key[0]} – {roles}")
        for synapse in self._synapses_of(key):
            self.picture.selected = synapse
        self.map.update()
        self.picture.update()

    def _choose_synapse(self, synapse: int) -> None:
        for hosted in self._hosted():
            if hosted["id"] == synapse and hosted["device"] in self._keys:
                self.choose_device(self._keys[hosted["device"]])

    def _hosted(self) -> list[dict[str, Any]]:
        """Return the synapses of the experiment whose device stands here."""
        synapses = [] if self._experiment is None else self._experiment["synapses"]
        site = self.link.description.get("site")
        return [s for s in synapses if s["site"] == site]

    def _synapses_of(self, key: DeviceKey) -> list[int]:
        device = self._described.get(key)
        name = None if device is None else device["name"]
        return [s["id"] for s in self._hosted() if s["device"] == name]

    def _resistance(self, key: DeviceKey) -> float | None:
        return self.history.devices[key].newest_ohm if key in self.history.devices else None

    def _n_lines(self) -> tuple[int, int]:
        words = [key[1] for key in self._described] or [1]
        bits = [key[2] for key in self._described] or [1]
        side = 32 if max(*words, *bits) > MIN_LINES else MIN_LINES
        return max(side, *words), max(side, *bits)

    def _show_holes(self, synapses: list[dict[str, Any]]) -> None:
        holding = [s["name"] for s in synapses if s["is_holding"]]
        self.holes.setText(f"Rule holds (HOLE): {', '.join(holding)}" if holding else "")
        self.holes.setVisible(bool(holding))
        set_tone(self.holes, "warning")


def _frozen_words(frozen: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Return why, by instrument and device, every frozen direction in words."""
    words: dict[tuple[str, str], list[str]] = {}
    for f in frozen:
        direction = "raising" if f["direction"] > 0 else "lowering"
        words.setdefault((f["instrument"], f["device"]), []).append(f"{direction}: {f['reason']}")
    return {device: "; ".join(said) for device, said in words.items()}
