"""One conversation with a bench instrument: tagged questions, each with its own answer."""

from drivers.errors import (
    InstrumentProtocolError,
    InstrumentRefusedError,
    InstrumentTimeoutError,
)
from drivers.tagged.message import N_TAGS, Answer, Fields, Grammar, Message
from drivers.transport.protocol import LinePort

MAX_ERRORS = 16
"""A queue that holds more is reported as "and more" and cleared."""
MAX_STALE_LINES = 64
BROKEN_LINE = ")("
"""No language understands it: what lay half in the instrument becomes a syntax error with it."""


class Conversation:
    """Asks and listens. Used by one thread at a time.

    An answer with another tag than its question's is an error; `n_lines_discarded` counts what
    was not believed. Every method raises `TransportError` when the pipe is gone and
    `InstrumentTimeoutError` when no answer comes.
    """

    def __init__(self, port: LinePort, grammar: Grammar, reply_deadline_s: float) -> None:
        self._port = port
        self._grammar = grammar
        self._reply_deadline_s = reply_deadline_s
        self._tag = 0
        self.n_lines_discarded = 0

    def ask(self, message: Message) -> Fields:
        """Send a message and return its values.

        Raises
        ------
        InstrumentProtocolError
            The answer is another question's, or is not what was asked for.
        InstrumentRefusedError
            The instrument reports errors; all of them are taken from its queue.
        """
        answer = self._exchange(message)
        if answer.error is not None:
            raise InstrumentRefusedError("; ".join(self._all_errors(answer.error)))
        return answer.fields

    def ask_plainly(self, question: str) -> str:
        """Send a question without a tag, for before it is known who listens."""
        self._port.write_line(question)
        return self._port.read_line(self._reply_deadline_s)

    def clear_errors(self) -> None:
        """Forget errors of the time before us."""
        self._exchange(self._grammar.clear_errors)

    def catch_up(self) -> None:
        """Throw away all that is under way in both directions, until a fresh tag comes back."""
        self._port.write_line(BROKEN_LINE)
        tag = self._next_tag()
        self._port.write_line(self._grammar.compose(tag, self._grammar.clear_errors))
        for _ in range(MAX_STALE_LINES):
            line = self._read_any(self._reply_deadline_s)
            if line is not None and self._grammar.tag_of(line) == tag:
                return
            self.n_lines_discarded += 1
        raise InstrumentProtocolError(f"{MAX_STALE_LINES} lines and still not the one asked for")

    def close(self) -> None:
        """Close the pipe; idempotent, never raises."""
        self._port.close()

    def _exchange(self, message: Message) -> Answer:
        tag = self._next_tag()
        self._port.write_line(self._grammar.compose(tag, message))
        line = self._port.read_line(self._reply_deadline_s + message.duration_s)
        found = self._grammar.tag_of(line)
        if found != tag:
            self.n_lines_discarded += 1
            raise InstrumentProtocolError(
                f"answer {line[:80]!r} has tag {found}, due was {tag}: another question's"
            )
        return self._grammar.parse(message, line)

    def _read_any(self, timeout_s: float) -> str | None:
        try:
            return self._port.read_line(timeout_s)
        except InstrumentProtocolError:
            return None

    def _all_errors(self, first: str) -> list[str]:
        """Return what the queue holds. `first` is known, and in SCPI already taken from it."""
        errors = [] if "in the queue" in first else [first]
        try:
            while len(errors) < MAX_ERRORS:
                error = self._grammar.error_in(self._exchange(self._grammar.next_error))
                if error is None:
                    return errors or [first]
                errors.append(error)
            self.clear_errors()
        except (InstrumentTimeoutError, InstrumentProtocolError) as exc:
            return [*errors, f"and then {exc}"]
        return [*errors, "and more"]

    def _next_tag(self) -> int:
        self._tag = self._tag % N_TAGS + 1
        return self._tag
