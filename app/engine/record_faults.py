"""What an engine does when its record is in trouble."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from app.core.clock import ClockNs
from app.core.inbox import InboxOverflowError
from app.engine.ledger import Ledger
from app.recording.raw_writer import RawWriter
from app.safety.gate import Gate

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RecordFaults:
    """Takes what raw writer and event log tell; called by their threads and the acquisition's.

    Whatever makes the event log itself unfit is not for here: it ends the engine.
    """

    ledger: Ledger
    gate: Gate
    publish_gate_state: Callable[[], None]
    clock_ns: ClockNs
    raw_writer: RawWriter | None = None
    """None: this site has no amplifier."""

    def warned(self, sentence: str) -> None:
        """Note what may become a fault."""
        log.warning("%s", sentence)
        self.ledger.note("engine", sentence)

    def failed(self, name: str, exc: BaseException) -> None:
        """Note that the raw recording has a fault, and disarm; the engine and its event log go on.

        Where samples may not be on the disk nothing shall be stimulated: what follows could not be
        told. A gap that is declared is no reason to stop an experiment.
        """
        log.error("%s: %s", name, exc)
        self.ledger.note("engine", f"{name}: {exc}")
        if not isinstance(exc, InboxOverflowError):
            self._disarm(f"raw recording: {exc}")

    def room_ran_out(self, sentence: str) -> None:
        """Take the event log's word that it lives on the reserve: that room is its own now."""
        log.error("%s", sentence)
        self.ledger.note("engine", sentence)
        if self.raw_writer is not None:
            self.raw_writer.give_room(sentence)
        self._disarm(sentence)

    def _disarm(self, why: str) -> None:
        now_ns = self.clock_ns()
        self.gate.disarm("recorder", why, now_ns)
        self.ledger.arming(self.gate.snapshot().state.value, "recorder", why, now_ns)
        self.publish_gate_state()
