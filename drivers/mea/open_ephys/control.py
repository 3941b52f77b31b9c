"""The GUI's HTTP server: is it there, what does it do, let it acquire."""

import http.client

from drivers.errors import InstrumentRefusedError, InstrumentTimeoutError, TransportError
from drivers.mea.open_ephys import wire
from drivers.mea.open_ephys.settings import OpenEphysSettings

MAX_ANSWER_BYTES = 65_536


class GuiControl:
    """Asks the GUI; one connection per question, so nothing is left open. Any thread may."""

    def __init__(self, name: str, settings: OpenEphysSettings) -> None:
        self._name = name
        self._settings = settings
        self._address = f"{settings.host}:{settings.http_port}"

    def mode(self) -> str:
        """Return IDLE, ACQUIRE or RECORD.

        Raises
        ------
        TransportError
            Nothing answers there.
        InstrumentTimeoutError
            It does not answer in time.
        InstrumentRefusedError
            It answers with an HTTP error.
        InstrumentProtocolError
            Its answer is no mode.
        """
        return wire.decode_mode(self._ask("GET", None, self._settings.http_timeout_s))

    def set_mode(self, mode: str) -> None:
        """Ask for a mode and hold the GUI to it. Raises as `mode`, and when it does not change."""
        body = wire.mode_request(mode)
        told = wire.decode_mode(self._ask("PUT", body, self._settings.mode_timeout_s))
        if told != mode:
            raise InstrumentRefusedError(
                f"{self._name}: asked for {mode}, the Open Ephys GUI stays in {told}; look at its "
                "signal chain: it needs a source that is connected, and a Falcon Output"
            )

    def _ask(self, method: str, body: bytes | None, timeout_s: float) -> bytes:
        connection = http.client.HTTPConnection(
            self._settings.host, self._settings.http_port, timeout=timeout_s
        )
        try:
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, wire.STATUS_PATH, body, headers)
            answer = connection.getresponse()
            text = answer.read(MAX_ANSWER_BYTES)
        except TimeoutError as exc:
            raise InstrumentTimeoutError(
                f"{self._name}: the Open Ephys GUI at {self._address} does not answer within "
                f"{timeout_s:g} s"
            ) from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise TransportError(
                f"{self._name}: no Open Ephys GUI at {self._address}: {exc or type(exc).__name__}; "
                "start it and switch its HTTP server on"
            ) from exc
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise InstrumentRefusedError(
                f"{self._name}: the Open Ephys GUI answers {answer.status} {answer.reason}"
            )
        return text
