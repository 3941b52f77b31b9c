"""The operator's window: one view per engine, and above all of them the bar that never hides."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from PyQt6.QtCore import QByteArray, QSettings, Qt
from PyQt6.QtGui import QAction, QCloseEvent, QKeySequence, QShortcut, QShowEvent
from PyQt6.QtWidgets import (
    QApplication,
    QLabel,
    QMainWindow,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.console.messages import Reply
from app.gui.ask_box import STOP_KEY
from app.gui.close_dialog import AfterClosing, ask_to_take_control, ask_what_then
from app.gui.engine_link import EngineLink
from app.gui.fault_bar import FaultBar
from app.gui.help_sheet import HelpSheet
from app.gui.protocol_line import ProtocolLine
from app.gui.site_view import SiteView
from app.gui.state_words import state_words
from app.gui.theme import DARK, LIGHT, THEMES, Theme, apply_theme
from app.gui.top_bar import TopBar

log = logging.getLogger(__name__)

Stop = Callable[[], object]

PANEL_KEYS = (
    "Traces", "Synapses", "Safety", "Recording", "Instruments", "Log", "Links to other sites",
    "Bench",
)  # fmt: skip


class MainWindow(QMainWindow):
    """Shows one or more engines. `names` are the sites as far as they are known before attaching.

    `is_own_engine`: this program started the engine, and closing asks what becomes of it.
    `ask` at closing and `ask_to_take` control ask the operator; tests answer themselves.
    """

    def __init__(
        self,
        links: Sequence[EngineLink],
        names: Sequence[str],
        settings: QSettings,
        *,
        is_own_engine: bool = False,
        ask: Callable[[QWidget, bool, Stop], AfterClosing] = ask_what_then,
        ask_to_take: Callable[[QWidget, str, Stop], bool] = ask_to_take_control,
    ) -> None:
        super().__init__()
        self.setWindowTitle("SpikeBridge – " + ", ".join(names))
        self.links = list(links)
        self.names = list(names)
        self.after_closing = AfterClosing.LEAVE
        self._settings = settings
        self._is_own_engine = is_own_engine
        self._ask = ask
        self._ask_to_take = ask_to_take
        self._must_ask = True
        self.theme: Theme = THEMES.get(str(settings.value("theme", "dark")), DARK)
        self.top_bar = TopBar(names)
        self.faults = FaultBar()
        self.views = [SiteView(link, self.theme) for link in links]
        self.stack = QStackedWidget()
        self.said = QLabel()
        self.protocol = ProtocolLine()
        self.help_sheet = HelpSheet(self)
        self._arrange()
        self._connect()
        self._shortcuts()
        self.set_theme(self.theme)
        self._restore()

    # --- making -------------------------------------------------------------------------------

    def _arrange(self) -> None:
        for view in self.views:
            self.stack.addWidget(view)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (self.top_bar, self.faults):
            column.addWidget(widget)
        column.addWidget(self.stack, 1)
        self.setCentralWidget(centre)
        bar = self.statusBar()
        if bar is not None:
            bar.addWidget(self.said, 1)
            bar.addPermanentWidget(self.protocol)
        self.resize(1600, 900)

    def _connect(self) -> None:
        self.top_bar.site_chosen.connect(self.choose_site)
        self.top_bar.stop_clicked.connect(self.emergency_stop)
        self.top_bar.control_clicked.connect(self.toggle_control)
        for index, link in enumerate(self.links):
            link.frame_ended.connect(lambda i=index: self._show_site(i))
            link.detached.connect(lambda _reason, i=index: self._show_site(i))
            link.described.connect(lambda _described, i=index: self._described(i))
            link.stop_answered.connect(self._stop_answered)
            link.status_came.connect(lambda _status: self._show_protocol())
            link.detached.connect(lambda _reason: self._show_protocol())

    def _shortcuts(self) -> None:
        def key(sequence: str, meaning: str, do: Callable[[], object]) -> None:
            shortcut = QShortcut(QKeySequence(sequence), self)
            shortcut.setContext(Qt.ShortcutContext.ApplicationShortcut)
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(do)
            self.help_sheet.add_key(sequence, meaning)

        key(STOP_KEY, "EMERGENCY STOP, here and at every linked site", self.emergency_stop)
        key("Ctrl+D", "disarm", self._disarm)
        key("Ctrl+R", "start or stop recording", self._toggle_recording)
        key("Ctrl+L", "search the log", self._search_log)
        key("Ctrl+T", "dark or light", self.toggle_theme)
        for number, title in enumerate(PANEL_KEYS, start=1):
            key(f"Ctrl+{number}", f"show {title}", partial(self._show_panel, title))
        key("F1", "this sheet", self.help_sheet.show)
        quit_action = QAction("Quit", self)
        quit_action.setShortcut(QKeySequence("Ctrl+Q"))
        quit_action.triggered.connect(self.close)
        self.addAction(quit_action)
        self.help_sheet.add_key("Ctrl+Q", "close the window; asks what becomes of the engine")

    def _restore(self) -> None:
        geometry = self._settings.value("geometry")
        if isinstance(geometry, QByteArray):
            self.restoreGeometry(geometry)
        self._is_arranged = False

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Lay out the docks once the window has its size: as they were left, or afresh."""
        super().showEvent(event)
        if self._is_arranged:
            return
        self._is_arranged = True
        centre = self.centralWidget()
        for laid_out in (self.layout(), None if centre is None else centre.layout()):
            if laid_out is not None:
                laid_out.activate()  # or the views would be given sizes that are not yet theirs
        for name, view in zip(self.names, self.views, strict=True):
            layout = self._settings.value(f"docks/{name}")
            view.first_layout = layout if isinstance(layout, QByteArray) else None
            view.resize(self.stack.size())
            view.place_docks()

    # --- what is shown ------------------------------------------------------------------------

    @property
    def view(self) -> SiteView:
        """Get the view of the chosen site."""
        return self.views[self.stack.currentIndex()]

    @property
    def link(self) -> EngineLink:
        """Get the chosen site's engine."""
        return self.links[self.stack.currentIndex()]

    def choose_site(self, index: int) -> None:
        """Show another site."""
        self.stack.setCurrentIndex(index)
        self.top_bar.sites[index].setChecked(True)
        self._show_site(index)
        self._described(index)

    def set_theme(self, theme: Theme) -> None:
        """Show everything in other colours, and remember it."""
        self.theme = theme
        application = QApplication.instance()
        if isinstance(application, QApplication):
            apply_theme(application, theme)
        for view in self.views:
            view.set_theme(theme)
        self._settings.setValue("theme", theme.name)

    def toggle_theme(self) -> None:
        """Change between dark and light."""
        self.set_theme(LIGHT if self.theme is DARK else DARK)

    def show_fault(self, text: str) -> None:
        """Show a fault of this program; it goes on."""
        self.faults.show_fault(text)
        self.view.log.say("error", "this window", text)

    def _show_site(self, index: int) -> None:
        link = self.links[index]
        words = state_words(link.status, is_fresh=link.is_fresh, why_not=self._why_unknown(link))
        self.top_bar.show_site(index, self.names[index], words)
        if index == self.stack.currentIndex():
            self.top_bar.show_state(words)
            self.top_bar.show_control(
                link.status.get("control", {}), is_ours=link.holds_control, is_known=link.is_fresh
            )

    def _show_protocol(self) -> None:
        self.protocol.show_protocols(zip(self.names, self.links, strict=True))

    def _why_unknown(self, link: EngineLink) -> str:
        if link.is_attached and link.status_age_s is not None:
            return f"the engine has said nothing for {link.status_age_s:.1f} s"
        return link.reason

    def _described(self, index: int) -> None:
        described = self.links[index].description
        if described and index == self.stack.currentIndex():
            groups = (described["amplifiers"], described["smus"], described["chips"])
            self.top_bar.show_source([i["provenance"] for group in groups for i in group])

    def _show_panel(self, title: str) -> None:
        if title in self.view.docks:
            self.view.show_panel(title)

    def _disarm(self) -> None:
        self.view.safety.send_disarm()

    def _toggle_recording(self) -> None:
        self.view.recording.toggle()

    def _search_log(self) -> None:
        self.view.show_panel(self.view.log.title)
        self.view.log.search.setFocus()

    # --- what is asked for --------------------------------------------------------------------

    def emergency_stop(self) -> None:
        """Stop everything, everywhere; each engine by itself, in case a link is down."""
        self.said.setText("EMERGENCY STOP …")
        for link, view in zip(self.links, self.views, strict=True):
            link.emergency_stop(view.safety.arm_form.who or "operator at a window")

    def _stop_answered(self, sentence: str, is_safe: bool) -> None:
        self.said.setText(sentence)
        if not is_safe:
            self.faults.show_fault(sentence)
        for view in self.views:
            view.log.say("warning" if is_safe else "error", "emergency stop", sentence)

    def toggle_control(self) -> None:
        """Take control of the chosen site, or give it back."""
        if self.link.holds_control:
            self.link.call("release control", self._said)
            return
        holder = self.link.status.get("control", {})
        is_confirmed = False
        if holder.get("number") is not None:
            if not self._ask_to_take(self, str(holder.get("name")), self.emergency_stop):
                return
            is_confirmed = True
        who = self.view.safety.arm_form.who or "operator"
        self.link.call("take control", self._said, who=who, is_confirmed=is_confirmed)

    def _said(self, reply: Reply) -> None:
        self.said.setText("" if reply.is_ok else f"Refused: {reply.error}")

    # --- the end ------------------------------------------------------------------------------

    def close_unasked(self) -> None:
        """Close as SIGTERM does: ask nobody, not even who is just asked; leave engines as is."""
        self._must_ask = False
        while (asking := QApplication.activeModalWidget()) is not None and asking.close():
            pass
        self.close()

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Ask what becomes of the engine, remember the layout, detach."""
        if event is None:
            return
        is_armed = any(_is_armed_by_a_person(link) for link in self.links)
        if self._must_ask and (self._is_own_engine or is_armed):
            self.after_closing = self._ask(self, is_armed, self.emergency_stop)
            if self.after_closing is AfterClosing.STAY and self._must_ask:
                event.ignore()
                return
        if self.after_closing is AfterClosing.END:
            for link in self.links:
                link.call("shutdown")
        self._settings.setValue("geometry", self.saveGeometry())
        for name, view in zip(self.names, self.views, strict=True):
            self._settings.setValue(f"docks/{name}", view.save_layout())
        for link in self.links:
            link.close()
        self.help_sheet.close()
        event.accept()


def _is_armed_by_a_person(link: EngineLink) -> bool:
    """Say whether an arming lives by a window; a program's does not."""
    gate = link.status.get("gate", {})
    return gate.get("state") == "armed" and not gate.get("is_by_program")
