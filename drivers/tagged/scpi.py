"""Tagged messages in SCPI (IEEE 488.2).

`*ESE` is a register of 8 bits that only masks a summary bit nobody here uses; what is written to
it can be read back in the same line, which makes it the tag. Answers to the queries of one line
come in one line, in order, separated by semicolons.
"""

import re

from drivers.errors import InstrumentProtocolError
from drivers.tagged.message import Answer, Message, expect_fields

_NO_ERROR = re.compile(r"^[+-]?0+\s*(,|$)")
_ERROR = re.compile(r"^[+-]?\d+\s*,")
_TAG = re.compile(r"^\s*[+]?(\d{1,3})(?:\.0+)?\s*(?:;|$)")


class ScpiGrammar:
    """SCPI with its error queue at `:SYST:ERR?`."""

    clear_errors = Message(("*CLS",))
    next_error = Message(())

    def compose(self, tag: int, message: Message) -> str:
        """Return tag, steps and the question for errors as one line."""
        return ";".join((f"*ESE {tag}", "*ESE?", *message.steps, ":SYST:ERR?"))

    def tag_of(self, line: str) -> int | None:
        """Return the number before the first semicolon."""
        match = _TAG.match(line)
        return int(match[1]) if match else None

    def parse(self, message: Message, line: str) -> Answer:
        """Return the values between the tag and the error."""
        n_values = sum("?" in step for step in message.steps)
        # An error's own text may contain semicolons: it is the last field, whatever is in it.
        _, *fields = line.split(";", n_values + 1)
        error = fields.pop().strip() if fields else ""
        if not _ERROR.match(error):
            # A query that failed has no value: then the error stands earlier in the line.
            error = next((f.strip() for f in fields if '"' in f), "")
            if not _ERROR.match(error) or _NO_ERROR.match(error):
                raise InstrumentProtocolError(f"no state of the error queue in {line[:80]!r}")
            return Answer((), error)
        if not _NO_ERROR.match(error):
            return Answer((), error)
        expect_fields(fields, n_values, line)
        return Answer(tuple(field.strip() for field in fields), None)

    def error_in(self, answer: Answer) -> str | None:
        """Return the error that came with the answer."""
        return answer.error
