"""A small RHX for fault tests: says what the manual says, and spoils one reply on demand."""

import select
import socket
import struct
import threading
from collections.abc import Callable

Spoil = Callable[[bytes], bytes | None]
"""What becomes of a reply; None: it is lost."""


class FakeRhx:
    """Serves one driver from a thread of its own; everything is over when `close` returns."""

    def __init__(self, n_columns: int, spoil_at: int = -1, spoil: Spoil = lambda r: r) -> None:
        self.n_columns = n_columns
        self.values: dict[str, str] = {
            "runmode": "Stop", "type": "ControllerStimRecord", "sampleratehertz": "20000",
            "stimstepsizemicroamps": "1", "uploadinprogress": "False",
            "tcpwaveformdataoutputconnectionstatus": "Disconnected",
        }  # fmt: skip
        self.sends_waveforms = True
        self.was_run = threading.Event()
        self.triggers: list[str] = []
        self.n_uploads = 0
        self.n_replies = 0
        self.late: list[bytes] = []
        self._spoil_at, self._spoil = spoil_at, spoil
        self._command = socket.create_server(("127.0.0.1", 0))
        self._data = socket.create_server(("127.0.0.1", 0))
        self.command_port = int(self._command.getsockname()[1])
        self.waveform_port = int(self._data.getsockname()[1])
        self.values["tcpwaveformdataoutputport"] = str(self.waveform_port)
        self._clients: dict[socket.socket, bool] = {}
        self._waveforms: socket.socket | None = None
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._wake.send(b"x")
        self._thread.join(5.0)
        assert not self._thread.is_alive()

    def push(self, data: bytes) -> None:
        """Send bytes on the command connection that answer nothing."""
        for client in self._clients:
            client.sendall(data)

    def _run(self) -> None:
        own = [self._command, self._data, self._woken]
        while True:
            for sock in select.select([*own, *self._clients], [], [])[0]:
                if sock is self._woken:
                    for one in (*own, self._wake, *self._clients, self._waveforms):
                        if one is not None:
                            one.close()
                    return
                self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        if sock is self._command:
            client = sock.accept()[0]
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[client] = True
        elif sock is self._data:
            if self._waveforms is not None:
                self._waveforms.close()
            self._waveforms = sock.accept()[0]
            self.values["tcpwaveformdataoutputconnectionstatus"] = "Connected"
        else:
            text = sock.recv(65536)
            if not text:
                del self._clients[sock]
                sock.close()
                return
            self._answer(sock, text.decode("ascii"))

    def _answer(self, client: socket.socket, text: str) -> None:
        reply = "".join(self._carry_out(c.split()) for c in text.split(";") if c.strip()).encode()
        if not reply:
            return
        self.n_replies += 1
        if self.n_replies - 1 == self._spoil_at:
            spoilt = self._spoil(reply)
            if spoilt is None:
                self.late.append(reply)
                return
            reply = spoilt
        elif self.late:
            reply = b"".join(self.late) + reply  # it comes after all, glued to the next
            self.late.clear()
        client.sendall(reply)

    def _carry_out(self, words: list[str]) -> str:
        if words[0] == "get":
            name = words[1].rsplit(".", 1)[-1]
            return f"Return: {name} {self.values.get(words[1].lower(), 'false')}"
        if words[0] == "set":
            self.values[words[1].lower()] = words[2]
            if words[1].lower() == "runmode" and words[2] == "run" and self._waveforms:
                self.was_run.set()
                if self.sends_waveforms:
                    self._waveforms.sendall(blocks(0, 4, self.n_columns))
            return ""
        if words[1] == "ManualStimTriggerPulse":
            self.triggers.append(words[2])
        self.n_uploads += words[1] == "UploadStimParameters"
        return ""


def blocks(first: int, n_blocks: int, n_columns: int, word: int = 0x8000) -> bytes:
    """Waveform blocks as the manual lays them out, all columns alike."""
    out = b""
    for block in range(n_blocks):
        out += struct.pack("<I", 0x2EF07A08)
        for row in range(128):
            timestamp = (first + block * 128 + row) & 0xFFFFFFFF
            out += struct.pack("<I", timestamp) + struct.pack("<H", word) * n_columns
    return out
