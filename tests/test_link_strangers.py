"""A crowd of strangers at the door: the known peer comes in, nobody else does, memory stays.

SPIKEBRIDGE_STRANGERS=1 has the whole crowd: 1,000 idle ones and 10,000 with garbage in a minute.
"""

import gc
import os
import random
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from bridge_rig import folder, is_down, is_up, running, wait_until
from link_world import spikes

from app.bridge import bodies
from app.bridge.connection import Connection
from app.bridge.door import MAX_UNKNOWN, Door
from app.bridge.events import StateChanged
from app.bridge.settings import LinkSettings
from app.core.frames import Frame, FrameDecoder, FrameType, encode_frame

__all__ = ["folder"]
IS_WHOLE_CROWD = os.environ.get("SPIKEBRIDGE_STRANGERS") == "1"
N_IDLE, N_GARBAGE, CROWD_S = (1000, 10_000, 60.0) if IS_WHOLE_CROWD else (100, 400, 0.0)
UP_LIMIT_S = 3.0 if IS_WHOLE_CROWD else 20.0
MEMORY_LIMIT_BYTES = 64 * 2**20


def garbage(rng: random.Random) -> bytes:
    """What strangers send: nothing at all, noise, HTTP, our own frames in the clear."""
    return rng.choice(
        [
            b"",
            rng.randbytes(rng.randint(1, 2000)),
            b"GET / HTTP/1.1\r\n\r\n",
            encode_frame(Frame(FrameType.HELLO, b"{}")),
            b"\x16\x03\x01\x02\x00\x01" + rng.randbytes(500),  # the beginning of a handshake
        ]
    )


@contextmanager
def crowd(port: int) -> Iterator[None]:
    """Idle strangers stay; the others come, say something and go, or wait to be thrown out."""
    rng = random.Random(1)
    is_over = threading.Event()

    def come_and_go() -> None:
        begin_s = time.monotonic()
        for number in range(N_GARBAGE):
            if is_over.is_set():
                return
            try:
                with socket.create_connection(("127.0.0.1", port), 5.0) as sock:
                    sock.sendall(garbage(rng))
            except OSError:
                continue
            left_s = begin_s + number * CROWD_S / N_GARBAGE - time.monotonic()
            if left_s > 0:
                time.sleep(left_s)

    with ExitStack() as stack:
        for _ in range(N_IDLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5.0))
        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            yield
        finally:
            if not IS_WHOLE_CROWD:
                is_over.set()
            thread.join()


def memory_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.timeout(150 if IS_WHOLE_CROWD else 60)
def test_the_known_peer_comes_up_in_the_middle_of_a_crowd(folder: Path) -> None:
    with running(folder, "a", "b") as a:
        port = a.bridge.listen_port
        before = memory_bytes()
        with crowd(port), running(folder, "b", "a", port=port) as b:
            a.wait_for(is_up, limit_s=UP_LIMIT_S)
            b.wait_for(is_up, limit_s=UP_LIMIT_S)
            wait_until(lambda: a.bridge.n_strangers > N_IDLE // 4)
        assert memory_bytes() - before < MEMORY_LIMIT_BYTES
        assert {event.site for event in a.events} == {"b"}
        counts = b.bridge.status()[0].counts
        assert counts.n_duplicates == counts.n_frames_lost == 0


def test_who_begins_a_handshake_and_goes_silent_is_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.lines.HANDSHAKE_LIMIT_NS", 200_000_000)
    with running(folder, "a", "b") as a:
        for beginning in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
            n_before = a.bridge.n_strangers
            with socket.create_connection(("127.0.0.1", a.bridge.listen_port), 10.0) as sock:
                sock.sendall(beginning)
                assert sock.recv(100) == b"", "closed without a word"
            wait_until(lambda n=n_before: a.bridge.n_strangers == n + 1)


@pytest.mark.parametrize("speaks_early", [False, True])
def test_a_known_key_without_a_greeting_is_closed_by_name(folder: Path, speaks_early: bool) -> None:
    short = LinkSettings(hello_ns=200_000_000)
    with running(folder, "a", "b", settings=short) as a:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.set_alpn_protocols(["spikebridge/1"])
        context.load_cert_chain(folder / "b.crt", folder / "b.key")
        context.load_verify_locations(folder / "a.crt")
        address = ("127.0.0.1", a.bridge.listen_port)
        with context.wrap_socket(socket.create_connection(address, 10.0)) as tls:
            if speaks_early:
                body = bodies.encode_spikes(0, spikes([(1, 1)]), 1)
                tls.sendall(encode_frame(Frame(FrameType.SPIKES, body, seq=1)))
            data = b"".join(iter(lambda: tls.recv(65_536), b""))
        greeting, goodbye = FrameDecoder().feed(data)
        assert (greeting.type, goodbye.type) == (FrameType.HELLO, FrameType.BYE)
        why = "SPIKES before HELLO" if speaks_early else "no HELLO in time"
        assert goodbye.body.decode() == why
        (down,) = a.wait_for(is_down)
        assert down.reason == why
        while not a.queue.empty():
            a.events.append(a.queue.get())
        assert {type(event) for event in a.events} == {StateChanged}, "no frame was taken"
        with running(folder, "b", "a", port=a.bridge.listen_port) as b:
            b.wait_for(is_up)


def test_a_flood_from_one_address_pushes_out_itself() -> None:
    door = Door()
    with ExitStack() as stack:

        def connection() -> Connection:
            ends = socket.socketpair()
            for end in ends:
                stack.callback(end.close)
            return Connection(ends[0], 0)

        peer = connection()
        assert door.admit(peer, "10.0.0.1") is None
        flood = [connection() for _ in range(MAX_UNKNOWN + 10)]
        losers = [door.admit(each, "10.6.6.6") for each in flood]
        assert [loser for loser in losers if loser is not None] == flood[:11]
        assert peer in door
        door.leave(peer)
        assert peer not in door
        assert len(door.empty()) == MAX_UNKNOWN - 1
