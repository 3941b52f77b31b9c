"""The thread that runs the operator's alert command, which may take its time."""

from collections.abc import Callable, Sequence

from app.core.alert import run_alert
from app.core.inbox import Inbox, Overflow
from app.core.real_time import leave_real_time
from app.core.worker import OnFailure, Worker

N_WAITING = 8
"""A rig that trips over and over calls for help no more often than this ahead."""


class Alerter(Worker):
    """Calls for help, one sentence after the other. Any thread may call `call`.

    Its steps may take as long as the command does, so it is not among the workers whose movement
    proves health.
    """

    def __init__(
        self,
        command: Sequence[str],
        site: str,
        on_outcome: Callable[[str], None],
        on_failure: OnFailure,
    ) -> None:
        super().__init__("alert", on_failure)
        self._command = tuple(command)
        self._site = site
        self._on_outcome = on_outcome
        self._inbox: Inbox[str] = Inbox(self.name, N_WAITING, Overflow.DROP_OLDEST)

    def call(self, sentence: str) -> None:
        """Queue a call for help; nothing happens where no command is configured."""
        if self._command:
            self._inbox.put(sentence)

    def prepare(self) -> None:
        """See to it that the command does not inherit the engine's real time."""
        leave_real_time()

    def step(self) -> None:
        """Make the calls that wait."""
        self._call_all(self._inbox.take_all(timeout_s=0.1))

    def finish(self) -> None:
        """Make the last call: why the engine ends, perhaps."""
        self._call_all(self._inbox.take_all(timeout_s=0.0)[-1:])

    def _call_all(self, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            self._on_outcome(run_alert(self._command, self._site, sentence))
