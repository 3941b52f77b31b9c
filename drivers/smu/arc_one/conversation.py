"""One conversation with the board: lines out at its pace, replies in against a deadline."""

from collections.abc import Callable

from drivers.errors import InstrumentProtocolError, InstrumentTimeoutError
from drivers.smu.arc_one.wire import Lines
from drivers.transport.protocol import Transport

READ_SIZE = 4096
MAX_DISCARD_BYTES = 65_536
"""A board that still sends after this many bytes will not stop by itself."""
MAX_LINE_BYTES = 64
GATHERED_BYTES = 256
GATHER_S = 2e-3
"""While more than that is to come it is gathered for so long: a wake-up for each value of an array
costs more than the waiting."""
POLL_S = 0.05
"""How long an answer is waited for before it is asked whether anybody still wants it."""


class Conversation:
    """Sends commands and takes replies of exactly the length due. Owned by one thread.

    Any byte too few, too many or too early is an error, and every byte that is not part of a
    whole reply is counted in `n_bytes_discarded`. Each method raises `TransportError` when the
    pipe is gone.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        line_pacing_s: float,
        clock_ns: Callable[[], int],
        sleep: Callable[[float], None],
    ) -> None:
        self._transport = transport
        self._line_pacing_s = line_pacing_s
        self._clock_ns = clock_ns
        self._sleep = sleep
        self.n_lines_begun = 0
        """Lines of the last command whose bytes may have left, all or in part."""
        self.n_bytes_discarded = 0

    def send(self, lines: Lines) -> int:
        """Send a command; return the host time in ns at which its last byte left.

        Raises
        ------
        InstrumentProtocolError
            The board spoke before it was asked. The last line has not been sent then, so that no
            job is complete.
        """
        self.push(lines[:-1])
        n_early = self.discard()
        if n_early:
            raise InstrumentProtocolError(f"{n_early} bytes came before the question was complete")
        return self._push_one(lines[-1])

    def push(self, lines: Lines) -> None:
        """Send lines without asking whether the board listens."""
        self.n_lines_begun = 0
        for line in lines:
            self._push_one(line)

    def expect_bytes(
        self, n_bytes: int, deadline_s: float, should_stop: Callable[[], bool] = lambda: False
    ) -> bytes:
        """Return a reply of exactly `n_bytes`; `should_stop` is asked every 50 ms meanwhile.

        Raises
        ------
        InstrumentTimeoutError
            Not all of it came in time, or it was not waited for; what came is discarded.
        InstrumentProtocolError
            More came with it; all of it is discarded.
        """
        deadline_ns = self._clock_ns() + round(deadline_s * 1e9)
        data = b""
        while len(data) < n_bytes:
            chunk = self._transport.read(READ_SIZE, min(POLL_S, self._left_s(deadline_ns)))
            data += chunk
            is_short = len(data) < n_bytes
            if n_bytes - len(data) > GATHERED_BYTES:
                self._sleep(GATHER_S)
            if is_short and (should_stop() or not (chunk or self._left_s(deadline_ns) > 0)):
                self.n_bytes_discarded += len(data)
                raise InstrumentTimeoutError(
                    f"{len(data)} bytes came, due were {n_bytes} bytes in {deadline_s:g} s"
                )
        return self._alone(data, n_bytes)

    def expect_line(self, deadline_s: float) -> bytes:
        """Return one ASCII line with its LF. Raises as `expect_bytes` does."""
        deadline_ns = self._clock_ns() + round(deadline_s * 1e9)
        data = b""
        while b"\n" not in data:
            if len(data) > MAX_LINE_BYTES:
                self.n_bytes_discarded += len(data)
                raise InstrumentProtocolError(f"{len(data)} bytes without the end of a line")
            data += self._next(deadline_ns, data, f"one line in {deadline_s:g} s")
        return self._alone(data, data.index(b"\n") + 1)

    def discard(self) -> int:
        """Throw away what has arrived; return how many bytes.

        Raises
        ------
        InstrumentProtocolError
            The board does not stop sending.
        """
        n_bytes = 0
        while chunk := self._transport.read(READ_SIZE, 0.0):
            n_bytes += len(chunk)
            self.n_bytes_discarded += len(chunk)
            if n_bytes > MAX_DISCARD_BYTES:
                raise InstrumentProtocolError(f"still sending after {n_bytes} unasked bytes")
        return n_bytes

    def close(self) -> None:
        """Close the pipe; idempotent, never raises."""
        self._transport.close()

    def _push_one(self, line: bytes) -> int:
        self.n_lines_begun += 1
        self._transport.write(line)
        sent_ns = self._clock_ns()
        self._sleep(self._line_pacing_s)
        return sent_ns

    def _left_s(self, deadline_ns: int) -> float:
        return max(0.0, (deadline_ns - self._clock_ns()) / 1e9)

    def _next(self, deadline_ns: int, so_far: bytes, due: str) -> bytes:
        chunk = self._transport.read(READ_SIZE, self._left_s(deadline_ns))
        if not chunk:
            self.n_bytes_discarded += len(so_far)
            raise InstrumentTimeoutError(f"{len(so_far)} bytes came, due were {due}")
        return chunk

    def _alone(self, data: bytes, n_bytes: int) -> bytes:
        data += self._transport.read(READ_SIZE, 0.0)
        if len(data) != n_bytes:
            self.n_bytes_discarded += len(data)
            raise InstrumentProtocolError(f"{len(data) - n_bytes} bytes too many after a reply")
        return data
