"""The window's connection to one engine, driven by the Qt event loop and nothing else.

The arming lease is renewed from the same timer that draws: a window that has frozen stops renewing,
and the engine trips.
"""

from collections.abc import Callable
from time import monotonic, time
from typing import Any

from PyQt6.QtCore import QObject, QTimer, pyqtSignal

from app.console.attachment import (
    Arrival,
    Attachment,
    DetachedError,
    EnginePlace,
    StatusShown,
)
from app.console.messages import Reply
from app.gui.faults import shielded

POLL_MS = 33
RENEW_S = 0.5
RETRY_S = 1.0
STALE_S = 1.5
"""A status older than this tells nothing about now."""
SILENT_S = 10.0
"""An engine that says nothing for so long is dialled anew: its host or the network may be gone."""
STOP_CONFIRM_S = 2.0

OnReply = Callable[[Reply], None]


class EngineLink(QObject):
    """One engine as the window sees it. Reconnects by itself, never without saying so."""

    attached = pyqtSignal()
    detached = pyqtSignal(str)
    described = pyqtSignal(dict)
    status_came = pyqtSignal(dict)
    arrived = pyqtSignal(object)
    """A feed item or a happening."""
    stop_answered = pyqtSignal(str, bool)
    """What became of an emergency stop, in a sentence; whether it is known to be safe."""
    frame_ended = pyqtSignal()
    """Everything that had arrived has been handed out: draw now."""

    def __init__(self, place: EnginePlace, clock_s: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self.place = place
        self.reason = "not attached yet"
        self.description: dict[str, Any] = {}
        self.status: dict[str, Any] = {}
        self.number: int | None = None
        """Of this console at the engine; control carries it."""
        self.wall_s: Callable[[], float] = time
        """What the clock on the wall shows, in seconds since 1970."""
        self._clock_s = clock_s
        self._attachment: Attachment | None = None
        self._is_greeted = False
        self._waiting: dict[int, OnReply] = {}
        self._feed_id = ""
        self._positions: dict[str, int] = {}
        """How far this window has got in the feed with that id, when its connection broke."""
        self._status_s: float | None = None
        self._heard_s = 0.0
        self._next_try_s = 0.0
        self._next_renewal_s = 0.0
        self._stop_by: str | None = None
        self._stop_s: float | None = None
        # The display timer also lets Python see SIGTERM: an idle Qt loop runs no Python code.
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.look)

    def start(self) -> None:
        """Begin to connect, and go on until `close`."""
        self._timer.start()

    @property
    def is_attached(self) -> bool:
        """Say whether the engine can be spoken to."""
        return self._attachment is not None and self._attachment.is_open

    @property
    def status_age_s(self) -> float | None:
        """Get how long ago the engine last said how it is; None if it never did."""
        return None if self._status_s is None else self._clock_s() - self._status_s

    @property
    def site_now_ns(self) -> int | None:
        """Get the engine's site time, as far as the last status lets us tell; None: unknown."""
        if not self.is_fresh or self._status_s is None:
            return None
        since_ns = round((self._clock_s() - self._status_s) * 1e9)
        return int(self.status["now_ns"]) + since_ns

    @property
    def is_fresh(self) -> bool:
        """Say whether what the status tells is about now."""
        age_s = self.status_age_s
        return self.is_attached and age_s is not None and age_s < STALE_S

    @property
    def holds_control(self) -> bool:
        """Say whether this window holds control of the engine."""
        number = self.status.get("control", {}).get("number")
        return number is not None and number == self.number

    def call(
        self, name: str, on_reply: OnReply | None = None, **arguments: str | float | bool | None
    ) -> None:
        """Send a command; `on_reply` gets its reply, or a refusal if it cannot be sent."""
        number, why_not = None, self.reason
        if self._attachment is not None:
            try:
                number = self._attachment.send(name, **arguments)
            except DetachedError as exc:
                why_not = str(exc)
        if on_reply is None:
            return
        if number is None:
            on_reply(Reply(id=0, is_ok=False, error=f"not sent: {why_not}"))
        else:
            self._waiting[number] = on_reply

    def emergency_stop(self, who: str) -> None:
        """Send the emergency stop, now or as soon as the engine is reached.

        Until the engine confirms it, the lease is not renewed: an engine that lives but does not
        answer trips by itself.
        """
        self._stop_by, self._stop_s = who, self._clock_s()
        if self.is_attached:
            self._send_stop()
        else:
            self.stop_answered.emit(
                "EMERGENCY STOP NOT SENT: the engine is not attached. It is sent as soon as it "
                "is. Use the hardware stop.",
                False,
            )

    def close(self) -> None:
        """Detach for good."""
        self._timer.stop()
        if self._attachment is not None:
            self._attachment.close()
            self._attachment = None

    def look(self) -> None:
        """Take what has arrived, renew, reconnect; the timer calls this."""
        now_s = self._clock_s()
        if self._attachment is None:
            if now_s >= self._next_try_s:
                self._try(now_s)
            return
        try:
            arrivals = self._attachment.poll()
            if self._attachment.is_open and not self._is_greeted:
                self._greet()
            if self._is_greeted and now_s >= self._next_renewal_s and self._stop_s is None:
                self._next_renewal_s = now_s + RENEW_S
                self._attachment.send("renew")
        except DetachedError as exc:
            self._lost(str(exc))
            return
        if arrivals:
            self._heard_s = now_s
        elif self._is_greeted and now_s - self._heard_s > SILENT_S:
            self._attachment.close()
            self._lost(f"the engine has said nothing for {SILENT_S:g} s and is dialled anew")
            return
        for arrival in arrivals:
            self._take(arrival)
        self._check_stop(now_s)
        self.frame_ended.emit()

    def _try(self, now_s: float) -> None:
        self._next_try_s = now_s + RETRY_S
        try:
            self._attachment = Attachment(self.place)
        except DetachedError as exc:
            if str(exc) != self.reason:
                self.reason = str(exc)
                self.detached.emit(self.reason)

    def _greet(self) -> None:
        self._is_greeted = True
        self._heard_s = self._clock_s()
        self.call("describe", self._described)
        self.call("subscribe", self._subscribed, feed=self._feed_id, **self._positions)
        if self._stop_by is not None:
            self._send_stop()
        self.attached.emit()

    def _described(self, reply: Reply) -> None:
        if reply.is_ok:
            self.description = dict(reply.result)
            self.described.emit(self.description)

    def _subscribed(self, reply: Reply) -> None:
        number, place = reply.result.get("number"), reply.result.get("place")
        self.number = number if isinstance(number, int) else None
        self._feed_id = str(reply.result.get("feed", ""))
        if self._attachment is not None and isinstance(place, dict):
            self._attachment.positions = place | self._attachment.positions

    def _take(self, arrival: Arrival) -> None:
        if isinstance(arrival, Reply):
            on_reply = self._waiting.pop(arrival.id, None)
            if on_reply is not None:
                shielded(on_reply, arrival)
        elif isinstance(arrival, StatusShown):
            self.status = arrival.status
            self._status_s = self._clock_s()
            self.status_came.emit(self.status)
        else:
            self.arrived.emit(arrival)

    def _lost(self, reason: str) -> None:
        if self._attachment is not None and self._attachment.positions:
            self._positions = self._attachment.positions
        self._attachment = None
        self._is_greeted = False
        self.number = None
        self._next_try_s = self._clock_s() + RETRY_S
        self.reason = reason
        waiting, self._waiting = self._waiting, {}
        for on_reply in waiting.values():
            shielded(on_reply, Reply(id=0, is_ok=False, error=f"no answer: {reason}"))
        self.detached.emit(reason)

    # --- the emergency stop -------------------------------------------------------------------

    def _send_stop(self) -> None:
        who = self._stop_by or "operator"
        self.call("stop", self._stopped, who=who)

    def _stopped(self, reply: Reply) -> None:
        if not reply.is_ok:
            self.stop_answered.emit(f"EMERGENCY STOP NOT CONFIRMED: {reply.error}", False)
            return
        self._stop_by = self._stop_s = None
        reports = reply.result.get("reports", [])
        listed = "; ".join(map(str, reports)) if isinstance(reports, list) else ""
        is_safe = reply.result.get("is_safe") is True
        head = "Everything is switched off" if is_safe else "NOT EVERYTHING IS KNOWN TO BE OFF"
        self.stop_answered.emit(f"{head}: {listed or 'this site has no instruments'}", is_safe)

    def _check_stop(self, now_s: float) -> None:
        if self._stop_s is not None and now_s - self._stop_s > STOP_CONFIRM_S:
            self._stop_s = now_s
            self.stop_answered.emit(
                "EMERGENCY STOP SENT, NOT CONFIRMED: the engine does not answer. Its arming is no "
                "longer renewed, so it trips by itself. Use the hardware stop.",
                False,
            )
