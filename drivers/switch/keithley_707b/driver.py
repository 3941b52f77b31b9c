"""A Keithley 707B or 708B switching matrix."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from drivers.errors import InstrumentError, InstrumentProtocolError, SafetyLimitError
from drivers.switch.keithley_707b import wire
from drivers.tagged.conversation import Conversation
from drivers.transport.protocol import LinePort

log = logging.getLogger(__name__)


class Keithley707B:
    """A `Switch`. What does not end as it should is followed by attaching anew."""

    def __init__(
        self, name: str, make_port: Callable[[], LinePort], reply_deadline_s: float = 1.0
    ) -> None:
        self.name = name
        self.n_moves = 0
        self._make_port = make_port
        self._reply_deadline_s = reply_deadline_s
        self._talk: Conversation | None = None
        self._was_lost = False

    def check(self, channel: str) -> None:
        """Accept a slot, a row and a column, such as 1A01, or raise `SafetyLimitError`."""
        if not wire.CHANNEL.fullmatch(channel):
            raise SafetyLimitError(
                f"{self.name}: {channel!r} is no channel of a 707B; write slot, row and column, "
                "1A01 to 6H12"
            )

    def attach(self) -> None:
        """Connect and ask who is there. Moves no relay."""
        self.detach()
        self._talk = Conversation(self._make_port(), wire.GRAMMAR, self._reply_deadline_s)
        with self._exchange("attaching") as talk:
            if self._was_lost:
                talk.catch_up()
            wire.check_identity(talk.ask_plainly("*IDN?"))
            talk.clear_errors()
        if self._was_lost:
            log.warning("%s: answers again", self.name)
        self._was_lost = False

    def detach(self) -> None:
        """Disconnect; moves no relay, never raises."""
        talk, self._talk = self._talk, None
        if talk is not None:
            talk.close()

    def closed(self) -> frozenset[str]:
        """Return the channels that are closed, as the switch says."""
        with self._exchange("looking at its relays") as talk:
            return wire.parse_closed(talk.ask(wire.closed))

    def open_all(self) -> None:
        """Open every relay, and read back that none is closed."""
        with self._exchange("opening its relays") as talk:
            left = wire.parse_open_all(talk.ask(wire.open_all))
            if left:
                raise InstrumentProtocolError(
                    f"{', '.join(sorted(left))} still closed after every relay was opened"
                )

    def close_only(self, channels: AbstractSet[str]) -> None:
        """Open every relay, read back, close these, read back that only these are closed."""
        for channel in channels:
            self.check(channel)
        self.open_all()
        self.n_moves += 1
        with self._exchange("closing relays") as talk:
            found = wire.parse_closed(talk.ask(wire.close(channels)))
            if found != channels:
                raise InstrumentProtocolError(
                    f"closed are {', '.join(sorted(found)) or 'none'}, asked were "
                    f"{', '.join(sorted(channels))}"
                )

    @contextlib.contextmanager
    def _exchange(self, what: str) -> Iterator[Conversation]:
        if self._talk is None:
            self.attach()
        try:
            yield self._conversation()
        except InstrumentError as exc:
            self._lose(f"{what}: {exc}")
            raise type(exc)(f"{self.name}: {what}: {exc}") from exc
        except BaseException as exc:  # Ctrl-C too: an answer may be on its way
            self._lose(f"{what}: interrupted by {exc!r}")
            raise

    def _conversation(self) -> Conversation:
        if self._talk is None:
            raise InstrumentError(f"{self.name}: is not attached")
        return self._talk

    def _lose(self, fault: str) -> None:
        if not self._was_lost:  # a switch that stays away is said once
            log.warning("%s: to be attached anew after %s", self.name, fault)
        self._was_lost = True
        self.detach()
