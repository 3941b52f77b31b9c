"""What RHX is told while it is stopped: which columns to stream, and what each key stimulates."""

import time
from collections.abc import Callable, Mapping, Sequence

from drivers.errors import (
    InstrumentProtocolError,
    InstrumentRefusedError,
    InstrumentTimeoutError,
    SafetyLimitError,
)
from drivers.mea.intan_rhx import stimulation
from drivers.mea.intan_rhx.conversation import Conversation
from drivers.transport.tcp import TcpConnection

MAX_SETTABLE_PORT = 9999
POLL_S = 0.05


class Outputs:
    """Sets up one RHX over its conversation. Used by the thread that opens and prepares."""

    def __init__(self, conversation: Conversation, sleep: Callable[[float], None]) -> None:
        self._name = conversation.name
        self._settings = conversation.settings
        self._conversation = conversation
        self._sleep = sleep

    def choose(self) -> None:
        """Enable exactly the columns we read, one block per write, and read that back."""
        ask = self._conversation
        self._do(["execute ClearAllDataOutputs"])
        told = ask.ask(("set TCPNumberDataBlocksPerWrite 1",), "TCPNumberDataBlocksPerWrite")
        if told != "1":
            raise InstrumentProtocolError(f"{self._name}: {told} blocks per write instead of 1")
        wanted = [f"{c}.TCPDataOutputEnabled" for c in self._settings.channels]
        wanted += [f"{c}.TCPDataOutputEnabledStim" for c in self._settings.stim_channels]
        if self._settings.takes_spikes:
            wanted += [f"{c}.TCPDataOutputEnabledSpike" for c in self._settings.channels]
        self._do([f"set {parameter} true" for parameter in wanted])
        for start in range(0, len(wanted), 16):
            some = wanted[start : start + 16]
            off = [p for p, v in zip(some, ask.ask_all(some), strict=True) if v.lower() != "true"]
            if off:
                raise InstrumentProtocolError(f"{self._name}: {', '.join(off)} stayed off")

    def connect(self) -> tuple[TcpConnection, TcpConnection | None]:
        """Connect the data ports; the spike port only if spikes are taken."""
        waveforms = self._connect_data("Waveform", self._settings.waveform_port)
        if not self._settings.takes_spikes:
            return waveforms, None
        return waveforms, self._connect_data("Spike", self._settings.spike_port)

    def upload(self, wanted: Mapping[str, Mapping[str, str]]) -> None:
        """Set every stimulation channel, disabled where nothing is wanted; upload; read back."""
        self._await_uploads()
        for channel in self._settings.stim_channels:
            parameters = wanted.get(channel, {"StimEnabled": "False"})
            # Disabled first: no moment with half of the new parameters and the old trigger.
            commands = [f"set {channel}.StimEnabled false"]
            commands += [f"set {channel}.{p} {v}" for p, v in parameters.items()]
            self._do(commands)
            told = self._conversation.ask_all([f"{channel}.{p}" for p in parameters])
            wrong = stimulation.differences(parameters, dict(zip(parameters, told, strict=True)))
            if wrong:
                raise InstrumentProtocolError(f"{self._name}, {channel}: {'; '.join(wrong)}")
        self._conversation.ask(
            ("execute UploadStimParameters",), "UploadInProgress", self._settings.upload_timeout_s
        )
        self._await_uploads()

    def _do(self, commands: Sequence[str]) -> None:
        """Carry out commands that RHX takes only while stopped; its run mode is the receipt."""
        told = self._conversation.ask(commands, "RunMode")
        if told.lower() != "stop":
            raise InstrumentProtocolError(f"{self._name}: run mode {told} while it is set up")

    def _await_uploads(self) -> None:
        deadline_s = time.monotonic() + self._settings.upload_timeout_s
        while self._conversation.ask((), "UploadInProgress").lower() != "false":
            if time.monotonic() > deadline_s:
                raise InstrumentTimeoutError(
                    f"{self._name}: upload not done in {self._settings.upload_timeout_s:g} s"
                )
            self._sleep(POLL_S)

    def _connect_data(self, kind: str, port: int) -> TcpConnection:
        """Have RHX listen on a data port and connect; 3.5 is reported to want another word."""
        ask = self._conversation
        if ask.ask((), f"TCP{kind}DataOutputPort") != str(port):
            if port > MAX_SETTABLE_PORT:
                raise SafetyLimitError(f"{self._name}: data port {port}, RHX takes 0 to 9999")
            ask.ask((f"set TCP{kind}DataOutputPort {port}",), f"TCP{kind}DataOutputPort")
        status = f"TCP{kind}DataOutputConnectionStatus"
        try:
            ask.ask((f"execute ConnectTCP{kind}DataOutput",), status)
        except InstrumentRefusedError as exc:
            if "unrecognized" not in str(exc).lower():
                raise
            ask.ask((f"set TCP{kind}DataSocket.Status Pending",), status)
        connection = TcpConnection(
            self._settings.host, port, connect_timeout_s=self._settings.connect_timeout_s
        )
        try:
            self._await_connected(status)
        except BaseException:
            connection.close()
            raise
        return connection

    def _await_connected(self, status: str) -> None:
        deadline_s = time.monotonic() + self._settings.connect_timeout_s
        while True:
            told = self._conversation.ask((), status)
            if told.lower() == "connected":
                return
            if time.monotonic() > deadline_s:
                raise InstrumentTimeoutError(f"{self._name}: {status} stays {told}")
            self._sleep(POLL_S)
