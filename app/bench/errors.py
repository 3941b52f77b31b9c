"""Why a procedure cannot go on."""

from app.safety.requests import Refusal


class BenchError(Exception):
    """A procedure cannot go on; the message says why."""


class AbortedError(BenchError):
    """Somebody asked for the end."""


class AbandonedError(AbortedError):
    """Somebody asked for the end, and the instrument had not answered: it was let go of."""


class NoReadingError(BenchError):
    """A device gives no believable reading."""


class RefusedError(BenchError):
    """The Gate does not permit a pulse."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal
