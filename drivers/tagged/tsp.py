"""Tagged messages in TSP, the Lua of Keithley's instruments.

A line is a whole program: it is compiled before any of it runs, so a line that lost its end does
nothing at all. `print` separates values by tabs.
"""

from drivers.errors import InstrumentProtocolError
from drivers.tagged.message import Answer, Message, expect_fields, number


class TspGrammar:
    """TSP with its `errorqueue`."""

    clear_errors = Message(("errorqueue.clear()",))
    next_error = Message(("code, text = errorqueue.next()",), ("code", "text"))

    def compose(self, tag: int, message: Message) -> str:
        """Return the steps, and a `print` of tag, values and the number of errors, as one line."""
        values = "".join(f", {value}" for value in message.values)
        steps = "".join(f"{step} " for step in message.steps)
        return f'{steps}print("#{tag}"{values}, errorqueue.count)'

    def tag_of(self, line: str) -> int | None:
        """Return the number after the `#`."""
        first = line.split("\t", 1)[0]
        return int(first[1:]) if first[:1] == "#" and first[1:].isdecimal() else None

    def parse(self, message: Message, line: str) -> Answer:
        """Return the values between the tag and the number of errors."""
        _, *fields = line.split("\t")
        if not fields:
            raise InstrumentProtocolError(f"no state of the error queue in {line[:80]!r}")
        n_errors = number(fields.pop(), "errorqueue.count")
        expect_fields(fields, len(message.values), line)
        error = f"{n_errors:g} in the queue" if n_errors else None
        return Answer(tuple(field.strip() for field in fields), error)

    def error_in(self, answer: Answer) -> str | None:
        """Return code and text; code 0 is an empty queue."""
        code, text = answer.fields
        value = number(code, "error code")
        return None if value == 0 else f"{value:g}, {text}"
