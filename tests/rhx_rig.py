"""The mock RHX in a thread, plain clients of its ports, and how a run begins. No tests."""

import contextlib
import json
import socket
import threading
import time

import numpy as np
import pytest

from mocks.culture import Culture, CultureSettings
from mocks.rhx_board import RhxBoard
from mocks.rhx_loop import RhxServer, RhxServerSettings

LOOPBACK = ("127.0.0.1", 0)
MAGIC = bytes.fromhex("087af02e")
PULSE = (
    "set {0}.StimEnabled true;set {0}.Source KeyPress{1};set {0}.FirstPhaseAmplitudeMicroAmps 2;"
    "set {0}.SecondPhaseAmplitudeMicroAmps 2;set {0}.FirstPhaseDurationMicroseconds 200;"
    "set {0}.SecondPhaseDurationMicroseconds 200;set {0}.EnableAmpSettle false"
)


class Client:
    """A plain command client: what is read must be exactly what is expected.

    Each text begins with `;`, since the mock, like RHX, may find two texts in one read.
    """

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)

    def say(self, text, separator=";"):
        self.socket.sendall((separator + text).encode())

    def expect(self, reply):
        got = b""
        while len(got) < len(reply):
            part = self.socket.recv(len(reply) - len(got))
            assert part, f"closed after {got!r}"
            got += part
        assert got.decode() == reply

    def ask(self, text, reply):
        self.say(text)
        self.expect(reply)

    def sync(self):
        """Wait until everything said so far was executed, silently."""
        self.ask("get Type", "Return: Type ControllerStimRecord")

    def wait_for(self, question, reply):
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            self.say(question)
            if self.socket.recv(4096).decode() == reply:
                return
        raise AssertionError(f"{question}: never {reply}")

    def truth(self, ask, **more):
        self.say(json.dumps({"ask": ask, **more}) + "\n", separator="")
        return json.loads(self.socket.makefile("rb").readline())


@pytest.fixture
def start():
    """Return a function that starts a server in a thread and returns it; all end with the test."""
    running = []

    def start_server(**settings):
        server = RhxServer(RhxServerSettings(truth_address=LOOPBACK, **settings))
        thread = threading.Thread(target=server.serve, name="mock rhx")
        thread.start()
        running.append((server, thread))
        return server

    yield start_server
    for server, thread in running:
        server.stop()
        thread.join(5)


@pytest.fixture
def client():
    """Return a function that connects; all connections are closed with the test."""
    with contextlib.ExitStack() as stack:

        def connect(port):
            made = Client(port)
            stack.callback(made.socket.close)
            return made

        yield connect


@pytest.fixture
def rhx(start, client):
    server = start(upload_s=0.05)
    return server, client(server.ready["command_port"])


def read_exactly(sock, n_bytes):
    data = b""
    while len(data) < n_bytes:
        part = sock.recv(n_bytes - len(data))
        assert part, "closed early"
        data += part
    return data


def read_blocks(sock, n_blocks, n_columns):
    """Return timestamps (n,) and words (n, n_columns) of whole blocks; checks every magic."""
    n_bytes = 4 + 128 * (4 + 2 * n_columns)
    timestamps, words = [], []
    for _ in range(n_blocks):
        data = read_exactly(sock, n_bytes)
        assert data[:4] == MAGIC
        frames = np.frombuffer(data[4:], dtype=[("t", "<u4"), ("w", "<u2", (n_columns,))])
        timestamps.append(frames["t"])
        words.append(frames["w"])
    return np.concatenate(timestamps), np.concatenate(words)


def connect_data(server, command, kind, client):
    command.say(f"set TCPNumberDataBlocksPerWrite 1;execute ConnectTCP{kind}DataOutput")
    command.sync()
    data = client(server.ready[f"{kind.lower()}_port"])
    command.wait_for(
        f"get TCP{kind}DataOutputConnectionStatus",
        f"Return: TCP{kind}DataOutputConnectionStatus Connected",
    )
    return data.socket


def run(server, command, text="set RunMode run"):
    """Start a run and wait for it off the command port: what came too early would be deferred."""
    command.say(text)
    with contextlib.closing(socket.socket()) as sock:
        sock.connect(("127.0.0.1", server.ready["truth_port"]))
        lines = sock.makefile("rb")
        is_running = False
        while not is_running:
            sock.sendall(b'{"ask": "status"}\n')
            is_running = json.loads(lines.readline())["is_running"]
        lines.close()


def upload(command):
    command.say("execute UploadStimParameters")
    command.wait_for("get UploadInProgress", "Return: UploadInProgress False")


def read_until(sock, n_columns, is_enough, n_blocks_max=600):
    words = []
    for _ in range(n_blocks_max):
        words.append(read_blocks(sock, 1, n_columns)[1])
        if is_enough(np.concatenate(words)):
            return np.concatenate(words)
    raise AssertionError("not seen")


def board_of(**settings):
    now_ns = [0]
    culture = Culture(CultureSettings(**settings), seed=1)
    return RhxBoard(culture, 1e-6, lambda: now_ns[0]), now_ns
