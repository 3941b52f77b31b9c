"""A serial port, a pseudo-terminal or `socket://host:port`, as a byte pipe (pySerial)."""

import contextlib
import sys
import time
from typing import Literal

import serial

from drivers.errors import TransportError

if sys.platform == "win32":
    _PORT_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError)
else:
    import termios

    # termios.error is no OSError, and pySerial lets it through when it sets a port up.
    _PORT_ERRORS = (OSError, ValueError, termios.error)

Parity = Literal["even", "none"]
_PARITIES = {"even": serial.PARITY_EVEN, "none": serial.PARITY_NONE}

POLL_S = 0.01
"""pySerial's own time-out. Longer waits are made of it; a wait ends at most this much late."""
WRITE_TIMEOUT_S = 0.25
"""A port that takes no bytes for this long is as good as gone."""


class SerialPort:
    """An open port; 8 data bits, 1 stop bit, no flow control. Owned by one thread.

    Nothing of the port is changed after it was opened: on a Linux pseudo-terminal with even parity
    any later change, even of the time-out, raises termios error 22, because the kernel drops the
    parity flag (pySerial issue 196). Therefore the time-out is short and fixed, and `read` counts
    its own deadline.

    Raises
    ------
    TransportError
        The port cannot be opened, or another process has it.
    """

    def __init__(self, url: str, *, baud_rate: int, parity: Parity = "even") -> None:
        self.url = url
        try:
            self._port = serial.serial_for_url(
                url,
                baudrate=baud_rate,
                bytesize=serial.EIGHTBITS,
                parity=_PARITIES[parity],
                stopbits=serial.STOPBITS_ONE,
                timeout=POLL_S,
                write_timeout=WRITE_TIMEOUT_S,
                exclusive=True,
            )
        except _PORT_ERRORS as exc:
            raise TransportError(
                f"port {url} cannot be opened: {exc}; check the cable, the name and who else has it"
            ) from exc

    def write(self, data: bytes) -> None:
        """Send all of `data`.

        Raises
        ------
        TransportError
            The port is gone or took no bytes in time. Any part of `data` may have left.
        """
        try:
            n_written = self._port.write(data)
        except _PORT_ERRORS as exc:
            raise TransportError(f"port {self.url}: writing failed: {exc}") from exc
        if n_written != len(data):
            raise TransportError(f"port {self.url}: took {n_written} of {len(data)} bytes")

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """Return what has arrived, up to `max_bytes`; empty after `timeout_s` without any.

        A time-out of 0 returns at once. Bytes that are not asked for stay in the port.

        Raises
        ------
        TransportError
            The port is gone, or the other end of a socket closed.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            while True:
                n_waiting = self._port.in_waiting
                if n_waiting:
                    return self._port.read(min(n_waiting, max_bytes))
                if not time.monotonic() < deadline_s:
                    return b""
                first = self._port.read(1)
                if first:
                    return first
        except _PORT_ERRORS as exc:
            raise TransportError(f"port {self.url}: reading failed: {exc}") from exc

    def close(self) -> None:
        """Close the port; idempotent, never raises."""
        # pySerial's socket:// forgets its socket without closing it if the other end is gone.
        leaked = vars(self._port).get("_socket")
        with contextlib.suppress(*_PORT_ERRORS):
            self._port.close()
        if leaked is not None:
            leaked.close()
