"""What an engine does when its raw recording is in trouble."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from app.core.clock import ClockNs
from app.core.inbox import InboxOverflowError
from app.engine.ledger import Ledger
from app.safety.gate import Gate

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RawFaults:
    """Takes what the raw writer tells; called by its threads and by the acquisition's."""

    ledger: Ledger
    gate: Gate
    publish_gate_state: Callable[[], None]
    clock_ns: ClockNs

    def warned(self, sentence: str) -> None:
        """Note what may become a fault."""
        log.warning("%s", sentence)
        self.ledger.note("engine", sentence)

    def failed(self, name: str, exc: BaseException) -> None:
        """Note a fault and disarm; the engine and its event log go on.

        Where samples may not be on the disk nothing shall be stimulated: what follows could not be
        told. A gap that is declared is no reason to stop an experiment.
        """
        log.error("%s: %s", name, exc)
        self.ledger.note("engine", f"{name}: {exc}")
        if isinstance(exc, InboxOverflowError):
            return
        now_ns = self.clock_ns()
        self.gate.disarm("recorder", f"raw recording: {exc}", now_ns)
        state = self.gate.snapshot().state.value
        self.ledger.arming(state, "recorder", f"raw recording: {exc}", now_ns)
        self.publish_gate_state()
