"""Log: everything that happened, newest last, to be searched."""

import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from PyQt6.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from PyQt6.QtGui import QColor, QShowEvent
from PyQt6.QtWidgets import QHBoxLayout, QHeaderView, QLineEdit, QTableView

from app.console.feed import Missed
from app.console.happenings import Hole, LogLine
from app.gui.drawing.calm_combo_box import CalmComboBox
from app.gui.engine_link import EngineLink
from app.gui.panel import Panel
from app.gui.theme import Theme

MAX_LINES = 20_000
N_COMPARED = 6
COLUMNS = ("Time", "Level", "Who", "What")
LEVELS = {"everything": 0, "warnings and errors": 1, "errors only": 2}
_RANK = {"info": 0, "warning": 1, "error": 2}


@dataclass(slots=True)
class _Line:
    when: str
    level: str
    source: str
    text: str
    n_times: int = 1

    @property
    def cells(self) -> tuple[str, str, str, str]:
        times = f"  (×{self.n_times}, the last is shown)" if self.n_times > 1 else ""
        return self.when, self.level, self.source, self.text + times


class LogModel(QAbstractTableModel):
    """Lines in memory, bounded: the record keeps all of them, this only the newest.

    Lines that differ in figures only, one soon after the other, are one line with a count:
    refusals at 30 a second must not push everything else out of sight.
    """

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self._rows: deque[_Line] = deque()

    def add(self, when: str, level: str, source: str, text: str) -> None:
        """Append one line, or count it with one like it among the newest."""
        n = len(self._rows)
        for back in range(1, min(n, N_COMPARED) + 1):
            line = self._rows[n - back]
            is_like = line.source == source and _shape(line.text) == _shape(text)
            if is_like and line.level == level and level != "info":
                line.when, line.text, line.n_times = when, text, line.n_times + 1
                self.dataChanged.emit(self.index(n - back, 0), self.index(n - back, 3))
                return
        if n >= MAX_LINES:
            self.beginRemoveRows(QModelIndex(), 0, 0)
            self._rows.popleft()
            self.endRemoveRows()
        n = len(self._rows)
        self.beginInsertRows(QModelIndex(), n, n)
        self._rows.append(_Line(when, level, source, text))
        self.endInsertRows()

    def level(self, row: int) -> int:
        """Return how grave a line is, 0 to 2."""
        return _RANK.get(self._rows[row].level, 2)

    def text(self, row: int) -> str:
        """Return a line as it is searched."""
        return " ".join(self._rows[row].cells)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return how many lines there are."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, _parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return how many columns there are."""
        return len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        row = self._rows[index.row()].cells
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return row[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole:
            tones = {"warning": self.theme.warning, "error": self.theme.bad}
            if row[1] in tones:
                return QColor(tones[row[1]])
            return QColor(self.theme.muted if index.column() < 3 else self.theme.text)
        return None

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return COLUMNS[section]
        return None


class _Filter(QSortFilterProxyModel):
    """Lines of a level and above that contain a text."""

    def __init__(self, model: LogModel) -> None:
        super().__init__()
        self._model = model
        self._text = ""
        self._level = 0
        self.setSourceModel(model)

    def set_filter(self, text: str, level: int) -> None:
        """Show only these from now on."""
        self._text, self._level = text.casefold(), level
        self.invalidateFilter()

    def filterAcceptsRow(self, row: int, _parent: QModelIndex) -> bool:  # noqa: N802 - Qt's name
        """Say whether a line is shown."""
        is_grave = self._model.level(row) >= self._level
        return is_grave and self._text in self._model.text(row).casefold()


class LogPanel(Panel):
    """Every change of state, every refusal, every note; filterable."""

    title = "Log"
    explanation = (
        "Everything that happened at this site while this window looked on: states, links, "
        "refusals, notes, faults. The session's record keeps all of it for good."
    )

    def __init__(self, link: EngineLink, theme: Theme) -> None:
        super().__init__(link)
        self.model = LogModel(theme)
        self._lost_s: float | None = None
        """When the engine was lost, by the clock on the wall; None: it is attached."""
        self.shown = _Filter(self.model)
        self.search = QLineEdit()
        self.search.setPlaceholderText("show only lines that contain …")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Show only lines that contain these words (Ctrl+L)")
        self.level = CalmComboBox()
        self.level.addItems(list(LEVELS))
        self.level.setToolTip("How grave a line must be to be shown")
        self.table = QTableView()
        self.table.setModel(self.shown)
        self._arrange()
        self.search.textChanged.connect(self._refilter)
        self.level.currentTextChanged.connect(self._refilter)

    def _arrange(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.search, 1)
        row.addWidget(self.level)
        self.body.addLayout(row)
        self.body.addWidget(self.table, 1)
        self.table.setAlternatingRowColors(True)
        self.table.setShowGrid(False)
        self.table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        vertical, header = self.table.verticalHeader(), self.table.horizontalHeader()
        if vertical is not None and header is not None:
            vertical.setVisible(False)
            vertical.setDefaultSectionSize(22)
            header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
            header.setStretchLastSection(True)
            for column, width in enumerate((84, 64, 150)):
                header.resizeSection(column, width)

    def take(self, arrival: object) -> None:
        """Take log lines, holes and what this window missed."""
        match arrival:
            case LogLine():
                self.say(arrival.level, arrival.source, arrival.text, arrival.time_ns)
            case Hole():
                text = f"synapse {arrival.synapse}: HOLE, its rule holds ({arrival.reason})"
                self.say("warning", "synapses", text, arrival.time_ns)
            case Missed():
                self.say("warning", "this window", missed_words(arrival))

    def say(self, level: str, source: str, text: str, time_ns: int | None = None) -> None:
        """Add a line; `time_ns` is site time, None is now."""
        wall_s = self.link.wall_s()
        now_ns = self.link.status.get("now_ns")
        if time_ns is not None and now_ns is not None:
            # Site time runs with this clock: only its origin differs.
            wall_s -= (now_ns - time_ns) / 1e9
        when = datetime.fromtimestamp(wall_s, UTC).astimezone()
        is_at_end = self._is_at_end()
        self.model.add(when.strftime("%H:%M:%S"), level, source, text)
        if is_at_end:
            self.table.scrollToBottom()

    def show_status(self, status: dict[str, Any]) -> None:
        """Say that the engine is reached again, and what becomes of the time between."""
        if self._lost_s is not None:
            away_s, self._lost_s = self.link.wall_s() - self._lost_s, None
            self.say("info", "this window", f"attached again after {away_s:.1f} s. {_BETWEEN}")

    def show_unknown(self, reason: str) -> None:
        """Note that the engine is not reached; before it ever was, that is no fault."""
        was_attached = bool(self.link.status)
        if was_attached:
            if self._lost_s is None:
                self._lost_s = self.link.wall_s()
            self.say("error", "this window", reason)
        else:
            self.say("info", "this window", f"waiting for the engine: {reason}")

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Begin with the newest line: while hidden, a table does not follow."""
        super().showEvent(event)
        self.table.scrollToBottom()

    def _refilter(self) -> None:
        self.shown.set_filter(self.search.text(), LEVELS[self.level.currentText()])

    def _is_at_end(self) -> bool:
        bar = self.table.verticalScrollBar()
        return bar is None or bar.value() >= bar.maximum() - 2


_BETWEEN = (
    "What the engine still held of the time between is shown now; what it did not hold any more is "
    "counted here as not shown."
)


def _shape(text: str) -> str:
    """Return a text without its figures."""
    return re.sub(r"[0-9][0-9.]*", "#", text)


def missed_words(missed: Missed) -> str:
    """Return what a window was not sent, in words."""
    counts = {
        "trace columns": missed.n_columns,
        "spikes": missed.n_spikes,
        "neuron events": missed.n_events,
        "snippets": missed.n_snippets,
        "log lines": missed.n_log_lines,
    }
    listed = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    return f"was not shown {listed}: it did not keep up. The engine and the record lost nothing."
