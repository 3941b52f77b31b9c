"""A mock of the Intan RHX program with an RHS controller, on real sockets.

It behaves as RHX does where that hurts a client: replies without terminator, one command client
per press of Connect, commands behind `set RunMode run` held back, writes that fall behind when
the reader is slow. One thread, one loop; blocks are made when they are due by absolute time.
"""

import json
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mocks.culture import Culture, CultureSettings
from mocks.rhx_board import RhxBoard
from mocks.rhx_controller import RhxController
from mocks.rhx_sockets import LinePort, OneClientPort
from mocks.rhx_streams import SPIKE_MAGIC, WAVEFORM_MAGIC
from mocks.rhx_truth import Truth

_MAX_BLOCKS_PER_TURN = 8
"""When behind, commands still get their turn after this many blocks."""
_MAX_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class RhxServerSettings:
    """How the mock is set up; ports 0 take free ones.

    `reconnect_after_s`: the simulated operator presses Connect again so long after the command
    client left; None is never. `command_poll_s`: how often commands are read; writes of a client
    that come closer together reach RHX as one text.
    """

    host: str = "127.0.0.1"
    command_port: int = 0
    waveform_port: int = 0
    spike_port: int = 0
    seed: int = 1
    culture: CultureSettings = field(default_factory=CultureSettings)
    stim_step_a: float = 1e-6
    upload_s: float = 0.3
    is_connect_pressed: bool = True
    reconnect_after_s: float | None = 1.0
    command_poll_s: float = 0.0
    has_truth: bool = False


class RhxServer:
    """The mock: make it, tell `ready` to whoever needs the ports, `serve` in some thread.

    `stop` may be called from any thread; `serve` then closes every socket and returns. Raises
    OSError if a port cannot be had.
    """

    def __init__(
        self,
        settings: RhxServerSettings,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._settings = settings
        self._clock_ns = clock_ns
        self._command = OneClientPort(settings.host, settings.command_port)
        self._waveform = OneClientPort(settings.host, settings.waveform_port)
        self._spike = OneClientPort(settings.host, settings.spike_port)
        self._truth_port = LinePort(settings.host) if settings.has_truth else None
        self._waker, self._woken = socket.socketpair()
        self._is_stopping = False
        self._board = RhxBoard(
            Culture(settings.culture, settings.seed), settings.stim_step_a, clock_ns
        )
        self._controller = RhxController(
            self._board, self._waveform, self._spike, clock_ns, settings.upload_s
        )
        self._truth = Truth(self._board)
        self._written = bytearray(), bytearray()
        self._n_blocks_waiting = 0
        self._was_connected = False
        self._press_connect_ns: int | None = None
        if settings.is_connect_pressed:
            self._command.listen()
        self._read_commands_ns = 0
        self._stalled_until_ns = 0
        self._magics = [WAVEFORM_MAGIC, SPIKE_MAGIC]

    @property
    def ready(self) -> dict[str, Any]:
        """Return the ready line: the ports, as the first thing a mock says."""
        truth = {} if self._truth_port is None else {"truth_port": self._truth_port.port}
        return {
            "ready": True,
            "command_port": self._command.port,
            "waveform_port": self._waveform.port,
            "spike_port": self._spike.port,
            **truth,
        }

    def stop(self) -> None:
        """Make `serve` return soon."""
        self._is_stopping = True
        self._waker.send(b"x")

    def serve(self) -> None:
        """Serve until `stop`, in the calling thread."""
        try:
            while not self._is_stopping:
                self._operate()
                self._controller.poll()
                self._generate()
                self._wait()
        finally:
            self._close()

    def _close(self) -> None:
        for port in (self._command, self._waveform, self._spike):
            port.close()
        if self._truth_port is not None:
            self._truth_port.close()
        self._waker.close()
        self._woken.close()

    # -- the operator at RHX's window

    def _operate(self) -> None:
        now_ns = self._clock_ns()
        is_connected = self._command.status == "Connected"
        if self._was_connected and not is_connected:
            after_s = self._settings.reconnect_after_s
            if after_s is not None:
                self._press_connect_ns = now_ns + round(after_s * 1e9)
        self._was_connected = is_connected
        if self._press_connect_ns is not None and now_ns >= self._press_connect_ns:
            self._press_connect_ns = None
            self._command.listen()

    # -- data out

    def _is_reader_behind(self) -> bool:
        return bool(self._waveform.n_queued_bytes or self._spike.n_queued_bytes)

    def _can_generate(self) -> bool:
        return self._board.is_running and not self._is_reader_behind()

    def _generate(self) -> None:
        """Make the blocks that are due; like RHX, fall behind while a reader is slow."""
        if not self._board.is_running:
            self._discard_unwritten()
        for _ in range(_MAX_BLOCKS_PER_TURN):
            if not self._can_generate() or self._clock_ns() < self._next_block_ns():
                return
            block = self._board.make_block(*self._magics)
            self._magics = [WAVEFORM_MAGIC, SPIKE_MAGIC]
            self._written[0].extend(block.waveform)
            self._written[1].extend(block.spikes)
            self._n_blocks_waiting += 1
            if self._n_blocks_waiting >= self._board.parameters.number(
                "TCPNumberDataBlocksPerWrite"
            ):
                self._waveform.send(bytes(self._written[0]))
                self._spike.send(bytes(self._written[1]))
                self._discard_unwritten()

    def _next_block_ns(self) -> int:
        return max(self._board.due_ns(), self._stalled_until_ns)

    def _discard_unwritten(self) -> None:
        for waiting in self._written:
            waiting.clear()
        self._n_blocks_waiting = 0

    # -- sockets

    def _wait(self) -> None:
        """Wait for a socket or for the next thing that is due, and serve the sockets."""
        now_ns = self._clock_ns()
        data_ports = (self._waveform, self._spike)
        readers: list[socket.socket] = [self._woken]
        reads_commands = now_ns >= self._read_commands_ns
        readers += self._command.readers() if reads_commands else []
        for port in data_ports:
            readers += port.readers()
        if self._truth_port is not None:
            readers += self._truth_port.readers()
        writers = [s for p in (self._command, *data_ports) for s in p.writers()]
        ready, writable, _ = select.select(readers, writers, [], self._timeout_s(now_ns))
        for port in (self._command, *data_ports):
            if any(s in writable for s in port.writers()):
                port.flush()
        self._serve_ready(ready)

    def _timeout_s(self, now_ns: int) -> float:
        due_ns = [now_ns + round(_MAX_WAIT_S * 1e9)]
        if self._can_generate():
            due_ns.append(self._next_block_ns())
        if self._press_connect_ns is not None:
            due_ns.append(self._press_connect_ns)
        if now_ns < self._read_commands_ns:
            due_ns.append(self._read_commands_ns)
        return max(0, min(due_ns) - now_ns) / 1e9

    def _serve_ready(self, ready: list[socket.socket]) -> None:
        if any(s in ready for s in self._command.readers()):
            self._serve_command()
        for port in (self._waveform, self._spike):
            if any(s in ready for s in port.readers()):
                port.on_readable()
        if self._truth_port is not None:
            for client in (s for s in self._truth_port.readers() if s in ready):
                for line in self._truth_port.on_readable(client):
                    self._truth_port.answer(client, self._answer(line))

    def _serve_command(self) -> None:
        data = self._command.on_readable()
        if not data:
            return
        self._read_commands_ns = self._clock_ns() + round(self._settings.command_poll_s * 1e9)
        for reply in self._controller.receive(data.decode("latin-1")):
            self._command.send(reply.encode("latin-1"))

    def _answer(self, line: bytes) -> bytes:
        """Answer a line on the truth port, see `Truth`; `press_connect` is the operator's."""
        try:
            request = json.loads(line)
            ask, skip = str(request["ask"]), int(request.get("skip", 0))
        except (ValueError, KeyError, TypeError) as error:
            return json.dumps({"error": f'truth: {error!r}; ask {{"ask": "status"}}'}).encode()
        if ask == "press_connect":
            self._press_connect_ns = self._clock_ns()
            return b'{"done": true}'
        return json.dumps(self._truth.answer(ask, skip)).encode()
