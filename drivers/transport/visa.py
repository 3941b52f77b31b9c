"""A VISA resource as a pipe of lines: LAN socket, serial, USB-TMC, GPIB (PyVISA)."""

import contextlib
from typing import Any

import pyvisa
from pyvisa.constants import StatusCode

from drivers.errors import InstrumentProtocolError, InstrumentTimeoutError, TransportError

OPEN_TIMEOUT_S = 2.0
WRITE_TIMEOUT_S = 1.0
BAUD_RATE = 9600
"""What a 2400 and a 2600B have from the factory."""
END = "\n"


class VisaPort:
    """An open VISA resource, such as `TCPIP::10.0.0.5::5025::SOCKET` or `ASRL/dev/ttyUSB0::INSTR`.

    The backend is PyVISA-py unless a VISA library of a vendor is named. PyVISA-py says neither
    that a socket was refused nor that its other end closed: the first shows when something is
    written, the second as silence. So silence must be answered by opening anew.

    Raises
    ------
    TransportError
        The resource cannot be opened.
    """

    def __init__(self, resource: str, *, backend: str = "@py", baud_rate: int = BAUD_RATE) -> None:
        self.resource = resource
        try:
            # One for the whole process, whoever asks for it: closing it would close every resource.
            opened: Any = pyvisa.ResourceManager(backend).open_resource(
                resource,
                open_timeout=round(OPEN_TIMEOUT_S * 1e3),
                timeout=round(WRITE_TIMEOUT_S * 1e3),
                read_termination=END,
                write_termination=END,
            )
        except Exception as exc:
            # PyVISA-py raises bare Exception here; nothing is open whatever it was.
            raise TransportError(
                f"{resource} cannot be opened: {exc}; check the address, the cable and who else "
                "uses it"
            ) from exc
        self._port = opened
        if resource.upper().startswith("ASRL"):
            self._port.baud_rate = baud_rate

    def write_line(self, line: str) -> None:
        """Send one line and its LF.

        Raises
        ------
        TransportError
            The pipe is gone. Any part of the line may have left.
        """
        try:
            self._port.write_raw((line + END).encode("ascii"))
        except (pyvisa.Error, OSError, AttributeError) as exc:
            raise TransportError(f"{self.resource}: writing failed: {exc}") from exc

    def read_line(self, timeout_s: float) -> str:
        """Return the next line without its end.

        Raises
        ------
        InstrumentTimeoutError
            No whole line in time; a part of one is dropped.
        InstrumentProtocolError
            The line is not ASCII text.
        TransportError
            The pipe is gone.
        """
        try:
            self._port.timeout = max(1, round(timeout_s * 1e3))
            data: bytes = self._port.read_raw()
        except pyvisa.VisaIOError as exc:
            if exc.error_code == StatusCode.error_timeout:
                raise InstrumentTimeoutError(
                    f"{self.resource}: no line within {timeout_s:g} s"
                ) from exc
            raise TransportError(f"{self.resource}: reading failed: {exc}") from exc
        except (pyvisa.Error, OSError, AttributeError) as exc:
            raise TransportError(f"{self.resource}: reading failed: {exc}") from exc
        try:
            return data.decode("ascii").strip("\r\n\0 ")
        except UnicodeDecodeError as exc:
            raise InstrumentProtocolError(f"{self.resource}: {data[:40]!r} is no text") from exc

    def close(self) -> None:
        """Close the resource; idempotent, never raises."""
        with contextlib.suppress(pyvisa.Error, OSError, AttributeError):
            self._port.close()
