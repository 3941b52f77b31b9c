"""A mock ArC ONE as a process, a client's end of its wire and its truth, for tests.

Bytes are literal, as the vendor's clients send them: ASCII lines in, little-endian float32 out.
"""

import contextlib
import json
import os
import select
import socket
import struct
import time

from mock_process import MockProcess

RESET = b"00\n"
INIT = b"0\n50\n32\n32\n2\n0\n1\n0.500000\n"
READ_1_1 = b"1\n1\n1\n"
READ_12_21 = b"1\n12\n21\n"
PULSE_READ = b"3\n12\n21\n1.500000\n0.000100\n"
TRIPLE_END = bytes(12)
LIMIT_S = 5.0
FAST = ("--boot-s", "0", "--noise", "off")


class Pty:
    """A client's open hold of the pseudo-terminal."""

    def __init__(self, name):
        self.fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
        self.send = lambda data: os.write(self.fd, data)
        self.read = lambda n: os.read(self.fd, n)
        self.close = lambda: os.close(self.fd)


class Tcp:
    """A client's connection to the TCP port."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self.fd = self.socket.fileno()
        self.send = self.socket.sendall
        self.read = self.socket.recv
        self.close = self.socket.close


class Board(MockProcess):
    """The process and its truth; `wire` is how a client is connected."""

    def __init__(self, *options, wire="pty"):
        ports = ["--pty"] if wire == "pty" else ["--tcp", "127.0.0.1:0"] if wire == "tcp" else []
        super().__init__("mocks.arc_board", "--truth", "127.0.0.1:0", *ports, *options)
        self.wire = self.connect()

    def connect(self):
        if "pty" in self.ready:
            return Pty(self.ready["pty"])
        return Tcp(self.ready["tcp_port"])

    def reconnect(self):
        """Close the wire and open it again, until that works."""
        self.wire.close()
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            try:
                self.wire = self.connect()
            except OSError:
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            else:
                return

    def send(self, data):
        self.wire.send(data)

    def receive(self, n_bytes, limit_s=LIMIT_S):
        """Return exactly so many bytes; fewer only at the end of the connection or the time."""
        got, deadline_s = b"", time.monotonic() + limit_s
        while len(got) < n_bytes:
            left_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([self.wire.fd], [], [], left_s)[0]:
                break
            part = self.wire.read(n_bytes - len(got))
            if not part:
                break
            got += part
        return got

    def floats(self, n):
        data = self.receive(4 * n)
        assert len(data) == 4 * n, f"{len(data)} bytes of {4 * n}"
        return struct.unpack(f"<{n}f", data)

    def is_silent_for(self, duration_s):
        return not select.select([self.wire.fd], [], [], duration_s)[0]

    def is_hung_up(self):
        """Say whether the wire comes to its end in time; a pseudo-terminal's end is an error."""
        deadline_s = time.monotonic() + LIMIT_S
        try:
            while self.receive(1, max(0.0, deadline_s - time.monotonic())):
                pass
        except OSError:
            return True
        return time.monotonic() < deadline_s

    def say_init(self):
        self.send(RESET + INIT)
        assert self.receive(2) == b"1\n"

    def true_ohm(self, w, b):
        devices = self.ask("devices")["devices"]
        (ohm,) = [d["resistance_ohm"] for d in devices if (d["wordline"], d["bitline"]) == (w, b)]
        return ohm

    def close(self):
        with contextlib.suppress(OSError):
            self.wire.close()
        return super().close()


@contextlib.contextmanager
def running(*options, faults=(), wire="pty"):
    board = Board(*FAST, "--faults", json.dumps(faults), *options, wire=wire)
    try:
        yield board
    finally:
        board.close()
