"""A mock of the Intan RHX program with an RHS controller, on real sockets.

It behaves as RHX does where that hurts a client: replies without terminator, one command client
per press of Connect, commands behind `set RunMode run` held back, writes that fall behind when
the reader is slow. One thread, one loop; blocks are made when they are due by absolute time.
"""

import contextlib
import json
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mocks.culture import Culture, CultureSettings
from mocks.rhx_board import RhxBoard
from mocks.rhx_controller import RhxController
from mocks.rhx_faults import FaultPlan, RhxFault, fault_from
from mocks.rhx_impedance import Electrodes
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
    impedance_s: float = 0.5
    open_electrodes: tuple[str, ...] = ()
    shorted_electrodes: tuple[str, ...] = ()
    is_connect_pressed: bool = True
    reconnect_after_s: float | None = 1.0
    command_poll_s: float = 0.0
    truth_address: tuple[str, int] | None = None
    faults: tuple[RhxFault, ...] = ()


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
        self._is_stopping = False
        with contextlib.ExitStack() as opened:
            self._open(opened)
            opened.pop_all()
        names = settings.culture.layout.names
        self._board = RhxBoard(
            Culture(settings.culture, settings.seed),
            settings.stim_step_a,
            clock_ns,
            Electrodes(names, settings.seed, settings.open_electrodes, settings.shorted_electrodes),
        )
        self._controller = RhxController(
            self._board,
            self._waveform,
            self._spike,
            clock_ns,
            settings.upload_s,
            settings.impedance_s,
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
        self._faults = FaultPlan(tuple(f for f in settings.faults if f.kind != "late_upload"))
        for fault in settings.faults:
            if fault.kind == "late_upload":
                self._strike(fault)

    def _open(self, opened: contextlib.ExitStack) -> None:
        """Take all ports; those had before one could not be had are given back by `opened`."""
        host = self._settings.host

        def one_client_port(number: int) -> OneClientPort:
            return opened.enter_context(contextlib.closing(OneClientPort(host, number)))

        self._command = one_client_port(self._settings.command_port)
        self._waveform = one_client_port(self._settings.waveform_port)
        self._spike = one_client_port(self._settings.spike_port)
        truth = self._settings.truth_address
        self._truth_port = LinePort(*truth) if truth is not None else None
        self._waker, self._woken = socket.socketpair()

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
        with contextlib.suppress(OSError):  # it has ended already
            self._waker.send(b"x")

    def serve(self, lifeline_fd: int | None = None) -> None:
        """Serve until `stop`, in the calling thread, or until the lifeline is at its end.

        The lifeline is the read end of a pipe whose other end the parent process holds.
        """
        try:
            while not self._is_stopping:
                self._operate()
                for reply in self._controller.poll():
                    self._command.send(reply.encode("latin-1"))
                self._generate()
                self._wait(lifeline_fd)
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
            for fault in self._faults.take_due(len(self._board.runs), self._board.stream_s):
                self._strike(fault)
            if self._clock_ns() >= self._next_block_ns():
                self._make_block()

    def _make_block(self) -> None:
        block = self._board.make_block(*self._magics)
        self._magics = [
            WAVEFORM_MAGIC if block.waveform else self._magics[0],
            SPIKE_MAGIC if block.spikes else self._magics[1],
        ]
        self._written[0].extend(block.waveform)
        self._written[1].extend(block.spikes)
        self._n_blocks_waiting += 1
        n_per_write = self._board.parameters.number("TCPNumberDataBlocksPerWrite")
        if self._n_blocks_waiting >= n_per_write:
            self._waveform.send(bytes(self._written[0]))
            self._spike.send(bytes(self._written[1]))
            self._discard_unwritten()

    def _next_block_ns(self) -> int:
        return max(self._board.due_ns(), self._stalled_until_ns)

    def _discard_unwritten(self) -> None:
        for waiting in self._written:
            waiting.clear()
        self._n_blocks_waiting = 0

    def _strike(self, fault: RhxFault) -> None:
        ports = {"command": self._command, "waveform": self._waveform, "spike": self._spike}
        match fault.kind:
            case "timestamp_gap":
                self._board.lose(fault.n_samples)
            case "stall":
                self._stalled_until_ns = self._clock_ns() + round(fault.duration_s * 1e9)
            case "drop":
                ports[fault.port].disconnect()
            case "wrong_magic":
                self._magics[fault.port == "spike"] ^= 0xFFFF
            case "late_upload":
                self._controller.late_upload_s = fault.duration_s
            case "garbage":
                self._command.send(fault.data.encode("latin-1"))

    # -- sockets

    def _wait(self, lifeline_fd: int | None) -> None:
        """Wait for a socket or for the next thing that is due, and serve the sockets."""
        now_ns = self._clock_ns()
        data_ports = (self._waveform, self._spike)
        readers: list[socket.socket | int] = [self._woken]
        readers += [] if lifeline_fd is None else [lifeline_fd]
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
        if lifeline_fd in ready and not os.read(lifeline_fd, 4096):
            self._is_stopping = True
        self._serve_ready(ready)

    def _timeout_s(self, now_ns: int) -> float:
        due_ns = [now_ns + round(_MAX_WAIT_S * 1e9)]
        if self._can_generate():
            due_ns.append(self._next_block_ns())
        if self._press_connect_ns is not None:
            due_ns.append(self._press_connect_ns)
        if self._controller.due_ns is not None:
            due_ns.append(self._controller.due_ns)
        if now_ns < self._read_commands_ns:
            due_ns.append(self._read_commands_ns)
        return max(0, min(due_ns) - now_ns) / 1e9

    def _serve_ready(self, ready: list[socket.socket | int]) -> None:
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
        """Answer a line on the truth port, see `Truth`.

        `press_connect` is the simulated operator's hand; `fault` strikes at once.
        """
        try:
            request = json.loads(line)
            ask, skip = str(request["ask"]), int(request.get("skip", 0))
        except (ValueError, KeyError, TypeError) as error:
            return json.dumps({"error": f'truth: {error!r}; ask {{"ask": "status"}}'}).encode()
        if ask == "press_connect":
            self._press_connect_ns = self._clock_ns()
            return b'{"done": true}'
        if ask == "fault":
            try:
                self._strike(fault_from(request["fault"]))
            except (KeyError, TypeError, ValueError) as error:
                return json.dumps({"error": str(error)}).encode()
            return b'{"done": true}'
        return json.dumps(self._truth.answer(ask, skip)).encode()
