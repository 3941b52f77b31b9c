"""The command port: one text out, one reply in, both without terminators."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from drivers.errors import (
    InstrumentProtocolError,
    InstrumentRefusedError,
    InstrumentTimeoutError,
)
from drivers.mea.intan_rhx import wire
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.transport.tcp import TcpConnection

log = logging.getLogger(__name__)

ADVICE = "in RHX open Network > Remote TCP Control and press Connect (again after every disconnect)"
MAX_REPLY_BYTES = 65536


class Conversation:
    """Commands and their replies. Any thread may ask; one asks at a time.

    After a reply that did not come in time, whatever comes late is discarded and counted before
    the next text leaves.
    """

    def __init__(
        self, name: str, settings: IntanRhxSettings, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.settings = settings
        self._clock_s = clock_s
        self._connection: TcpConnection | None = None
        self._lock = threading.Lock()
        self._is_owed = False
        """A reply is still to come, and would be taken for the next one's."""
        self.n_unexpected_bytes = 0
        """Bytes that answered nothing: late replies, and complaints about triggers."""

    @property
    def is_connected(self) -> bool:
        """Say whether there is a connection; it may have died unnoticed."""
        return self._connection is not None

    def connect(self) -> None:
        """Connect. Raises `TransportError` with what a person must press."""
        settings = self.settings
        self._connection = TcpConnection(
            settings.host,
            settings.command_port,
            connect_timeout_s=settings.connect_timeout_s,
            advice=ADVICE,
        )

    def close(self) -> None:
        """Leave. RHX listens again only after a person pressed Connect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def ask(self, commands: Sequence[str], get: str, timeout_s: float | None = None) -> str:
        """Carry out commands, and return the value of the parameter `get`, asked behind them.

        Raises
        ------
        InstrumentRefusedError
            RHX complained; the message holds its words.
        InstrumentTimeoutError
            No reply, or not all of it.
        InstrumentProtocolError
            A reply to something else.
        TransportError
            The connection is gone.
        """
        value = ""
        for text in wire.transmissions(commands, f"get {get}"):
            value = self._exchange(text, [get], timeout_s)[0]
        return value

    def ask_after(self, command: str, parameters: Sequence[str]) -> list[str]:
        """Carry out a command, and return parameters asked behind it. Raises as `ask`."""
        text = ";".join([command, *(f"get {parameter}" for parameter in parameters)])
        return self._exchange(text, parameters, None)

    def ask_all(self, parameters: Sequence[str]) -> list[str]:
        """Return the values of several parameters. Raises as `ask`."""
        values: list[str] = []
        texts = wire.transmissions([f"get {p}" for p in parameters[:-1]], f"get {parameters[-1]}")
        if len(texts) != 1:  # each text would repeat the last question
            return [self.ask((), parameter) for parameter in parameters]
        values += self._exchange(texts[0], parameters, None)
        return values

    def send(self, text: str) -> None:
        """Send a text that RHX answers with silence. Raises `TransportError`.

        The trailing separator keeps it apart from whatever follows in the same read.
        """
        with self._lock:
            self._open().write(f"{text};".encode("ascii"))

    def stop_now(self, timeout_s: float) -> str | None:
        """Send the stop even if another thread waits for a reply; return the run mode told.

        None: it was sent, and no proof came back. Raises `TransportError` if not even sent.
        """
        has_lock = self._lock.acquire(timeout=timeout_s)
        try:
            connection = self._open()
            if not has_lock:
                connection.write(b";set RunMode stop;")
                return None
            was_owed = self._is_owed
            self._discard(connection, 0.0)
            connection.write(b"set RunMode stop;get RunMode")
            replied = self._read_reply(connection, 1, timeout_s)
            _, pairs = wire.split_reply(replied)
            return pairs[0][1] if pairs and not was_owed else None
        except InstrumentTimeoutError:
            return None
        finally:
            if has_lock:
                self._lock.release()

    def _exchange(self, text: str, parameters: Sequence[str], timeout_s: float | None) -> list[str]:
        patience_s = self.settings.reply_timeout_s if timeout_s is None else timeout_s
        with self._lock:
            connection = self._open()
            self._discard(connection, self.settings.reply_timeout_s if self._is_owed else 0.0)
            self._is_owed = False
            connection.write(text.encode("ascii"))
            reply = self._read_reply(connection, len(parameters), patience_s)
        complaint, pairs = wire.split_reply(reply)
        if complaint:
            raise InstrumentRefusedError(f"{self.name}: RHX said: {complaint[:300]}")
        if len(pairs) != len(parameters):
            raise InstrumentProtocolError(
                f"{self.name}: {len(pairs)} answers to {len(parameters)} questions: {reply[:99]!r}"
            )
        for (told, _), asked in zip(pairs, parameters, strict=True):
            if told.lower() not in (asked.lower(), asked.rsplit(".", 1)[-1].lower()):
                raise InstrumentProtocolError(
                    f"{self.name}: asked for {asked}, told {told}; another answer came late"
                )
        return [value for _, value in pairs]

    def _read_reply(self, connection: TcpConnection, n_returns: int, timeout_s: float) -> str:
        """Read until all answers are there and nothing more came for a moment."""
        deadline_s = self._clock_s() + timeout_s
        text = ""
        while True:
            is_whole = text.count("Return: ") >= n_returns and not text.endswith(" ")
            left_s = deadline_s - self._clock_s()
            wait_s = self.settings.idle_gap_s if is_whole else left_s
            if not wait_s > 0:
                break
            data = connection.read(MAX_REPLY_BYTES, wait_s)
            if not data and is_whole:
                return text
            text += data.decode("ascii", "replace")
            if len(text) > MAX_REPLY_BYTES:
                raise InstrumentProtocolError(f"{self.name}: a reply without end")
        self._is_owed = True
        if text and "Return: " not in text:
            raise InstrumentRefusedError(f"{self.name}: RHX said: {text.strip()[:300]}")
        raise InstrumentTimeoutError(
            f"{self.name}: no answer within {timeout_s:g} s"
            + (f", only {text[:100]!r}" if text else "; is RHX busy or showing a dialog?")
        )

    def _discard(self, connection: TcpConnection, quiet_s: float) -> None:
        """Throw away what answers nothing, until nothing came for `quiet_s`."""
        while data := connection.read(MAX_REPLY_BYTES, quiet_s):
            self.n_unexpected_bytes += len(data)
            log.warning("%s: unexpected: %r", self.name, data[:200])

    def _open(self) -> TcpConnection:
        if self._connection is None:
            raise InstrumentProtocolError(f"{self.name}: not open")
        return self._connection
