"""The specification in docs/ is what the code does: its bytes, its session, its reference peer.

After a deliberate change: SPIKEBRIDGE_WRITE_VECTORS=1 pytest tests/test_wire_spec.py, then read
the difference.
"""

import importlib.util
import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bridge_rig import folder, running, wait_until
from link_world import MS, S, Wire, batch, pair, run
from test_link_mutations import DECODERS, damaged
from wire_frames import vectors

from app.bridge.events import GapDeclared, PspsReceived, SpikesReceived
from app.bridge.settings import LinkSettings
from app.core.frames import FrameDecoder, FrameError, FrameType
from app.core.spikes import PSP_RECORD

DOCS = Path(__file__).parents[1] / "docs"
PAGE, SESSION, REFERENCE = DOCS / "wire.md", DOCS / "wire_session.json", DOCS / "reference_peer.py"
IS_WRITING = os.environ.get("SPIKEBRIDGE_WRITE_VECTORS") == "1"
__all__ = ["folder"]


def hex_lines(data: bytes) -> str:
    """Header on a line of its own, then 32 bytes a line."""
    parts = [data[:28], *(data[i : i + 32] for i in range(28, len(data), 32))]
    return "\n".join(part.hex(" ", -4) for part in parts)


class LoggedWire(Wire):
    """Notes every write."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(*wire.ends, wire.delays[0])
        self.log: list[dict[str, Any]] = []

    def _write(self, sender: Any, receiver: Any, delay: Any, now_ns: int) -> None:
        before = len(receiver.arriving)
        super()._write(sender, receiver, delay, now_ns)
        for _, data in receiver.arriving[before:]:
            (frame,) = FrameDecoder().feed(data)
            name = sender.link._local.site
            self.log.append(
                {
                    "at_ms": now_ns // MS,
                    "from": name,
                    "type": frame.type.name,
                    "hex": data.hex(),
                }
            )


def session() -> list[dict[str, Any]]:
    """The session of section 9, on a virtual network with 5 ms one way."""
    nonces = itertools.count(0x1001)
    plain = pair(lambda: 5 * MS, LinkSettings(ring_age_ns=120 * MS), b_offset_ns=S)
    for end in plain.ends:
        end.link._freshness._new_nonce = lambda: next(nonces)
    wire = LoggedWire(plain)
    a, b = (end.link for end in wire.ends)
    run(wire, 0, 100 * MS)
    a.outbound.queue_spikes(batch([(99 * MS, 1), (100 * MS, 1)], 100 * MS), 100 * MS)
    run(wire, 100 * MS, 110 * MS)
    psp = np.zeros(1, PSP_RECORD)
    psp[0] = (99 * MS, (1 << 16), 7, 1, 0.5, 20_000, 0, 2, 1, 0)
    b.outbound.queue_psps(psp, 110 * MS + S, 110 * MS + S)
    run(wire, 110 * MS, 168 * MS)
    a.outbound.queue_spikes(batch([(168 * MS, 1)], 168 * MS), 168 * MS)
    run(wire, 168 * MS, 170 * MS)
    wire.cut(170 * MS)  # what left at 168 ms does not arrive, and is too old when it could
    a.outbound.queue_spikes(batch([(300 * MS, 1)], 300 * MS), 300 * MS)
    run(wire, 370 * MS, 381 * MS)
    wire.cut(381 * MS)  # what left at 380 ms does not arrive either, and goes again
    run(wire, 581 * MS, 660 * MS)
    bye = b.bye_bytes("the site shuts down")
    wire.log.append({"at_ms": 660, "from": "b", "type": "BYE", "hex": bye.hex()})
    received = [e for e in wire.ends[1].events if isinstance(e, SpikesReceived)]
    gaps = [e for e in wire.ends[1].events if isinstance(e, GapDeclared)]
    assert [(e.seq, e.is_resend) for e in received] == [(1, False), (3, True)]
    assert [(e.first_seq, e.last_seq) for e in gaps] == [(2, 2)]
    assert [e.seq for e in wire.ends[0].events if isinstance(e, PspsReceived)] == [1]
    return wire.log


def blocks(text: str) -> dict[str, str]:
    return dict(re.findall(r"<!-- vector: (.*?) -->\n```\n(.*?)```", text, re.S))


def test_every_byte_in_the_page_is_what_the_code_writes() -> None:
    text = PAGE.read_text()
    wanted = {name: hex_lines(data) + "\n" for name, data in vectors().items()}
    if IS_WRITING:
        for name, lines in wanted.items():
            head = f"<!-- vector: {name} -->\n```\n"
            text = re.sub(re.escape(head) + r".*?```", lambda _m, n=lines, h=head: h + n + "```",
                          text, flags=re.S)  # fmt: skip
        PAGE.write_text(text)
    assert blocks(text) == wanted
    assert {name.split(",")[0] for name in wanted} == {
        kind.name for kind in FrameType if kind < FrameType.COMMAND
    }


def test_the_session_is_what_two_links_say_to_each_other() -> None:
    log = session()
    if IS_WRITING:
        entries = ",\n".join(json.dumps(entry) for entry in log)
        SESSION.write_text(f"[\n{entries}\n]\n")
    assert json.loads(SESSION.read_text()) == log
    assert {entry["type"] for entry in log} == {
        kind.name for kind in FrameType if kind < FrameType.COMMAND
    }


# --- the reference peer ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_peer", REFERENCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_peer_reads_and_writes_every_vector(reference: ModuleType) -> None:
    for data in (*vectors().values(), *(bytes.fromhex(e["hex"]) for e in session())):
        buffer = bytearray(data)
        ((kind, flags, seq, echo, body),) = reference.decode(buffer)
        assert buffer == b""
        layout = {reference.SPIKES: reference.SPIKE, reference.PSPS: reference.PSP}.get(kind)
        fixed = {
            reference.HB: reference.HEARTBEAT,
            reference.ACK_TYPE: reference.ACK,
            reference.GAP_TYPE: reference.GAP,
        }.get(kind)
        if layout is not None:
            stream, complete_ns, records = reference.decode_batch(body, layout)
            assert reference.encode_batch(stream, complete_ns, layout, records) == body
        if fixed is not None:
            assert fixed.pack(*reference.fixed(fixed, body)) == body
        assert reference.encode(kind, body, flags=flags, seq=seq, echo=echo) == data


def test_the_reference_peer_and_the_code_refuse_the_same(reference: ModuleType) -> None:
    """Whoever reads one of the two, or the page, knows what the others take."""
    rng = random.Random(2)
    frames = [data for name, data in vectors().items() if name != "HELLO"]
    n_refused = 0
    for _ in range(20_000):
        data = damaged(rng, frames)
        is_refused = is_refused_by_the_code(data)
        assert is_refused_by_the_reference(reference, data) == is_refused, data.hex()
        n_refused += is_refused
    assert 4_000 < n_refused < 16_000


def is_refused_by_the_code(data: bytes) -> bool:
    try:
        for frame in FrameDecoder().feed(data):
            if frame.type >= FrameType.COMMAND or (frame.type is FrameType.HELLO_OK and frame.body):
                return True
            if frame.type in DECODERS and frame.type is not FrameType.HELLO:
                DECODERS[frame.type](frame.body)
    except FrameError:
        return True
    return False


def is_refused_by_the_reference(reference: ModuleType, data: bytes) -> bool:
    decoders = {
        reference.HELLO_OK: lambda body: reference.fixed(reference.EMPTY, body),
        reference.SPIKES: lambda body: reference.decode_batch(body, reference.SPIKE),
        reference.PSPS: lambda body: reference.decode_batch(body, reference.PSP),
        reference.ACK_TYPE: lambda body: reference.fixed(reference.ACK, body),
        reference.HB: reference.decode_heartbeat,
        reference.GAP_TYPE: reference.decode_gap,
    }
    try:
        for kind, _flags, _seq, _echo, body in reference.decode(bytearray(data)):
            if kind in decoders:
                decoders[kind](body)
    except reference.ProtocolError:
        return True
    return False


def test_the_reference_peer_declares_what_it_keeps_no_more(reference: ModuleType) -> None:
    peer = reference.Peer(
        SimpleNamespace(site="b", peer="zurich", stream="x", neuron=1, experiment_hash="")
    )
    (hello,) = FrameDecoder().feed(vectors()["HELLO"])

    def written_after(last_seqs: dict[str, int]) -> list[tuple[str, int, bytes]]:
        peer.greet()
        body = json.dumps({**json.loads(hello.body), "last_seqs": last_seqs}).encode()
        peer.take(reference.HELLO, 0, 0, 0, body)
        peer.take(reference.HELLO_OK, 0, 0, 0, b"")
        data = b"".join(iter(peer.outgoing, b""))
        return [
            (f.type.name, int(f.flags), f.seq, f.body if f.type is FrameType.GAP else b"")
            for f in FrameDecoder().feed(data)
        ][2:]

    for _ in range(5):
        peer.queue_spike()
    assert written_after({}) == [("SPIKES", 0, seq, b"") for seq in (1, 2, 3, 4, 5)]
    peer.take(reference.ACK_TYPE, 0, 0, 0, reference.ACK.pack(3))
    again = [("SPIKES", 1, seq, b"") for seq in (4, 5)]
    assert written_after({peer.session: 3}) == again
    assert written_after({}) == [("GAP", 0, 0, reference.GAP.pack(1, 3)), *again], (
        "the other side has lost its record"
    )
    for entry in peer.unacknowledged:
        entry[4] -= reference.KEPT_S
    peer.queue_spike()
    assert written_after({peer.session: 3}) == [
        ("GAP", 0, 0, reference.GAP.pack(4, 5)),
        ("SPIKES", 0, 6, b""),
    ]


def test_the_reference_peer_uses_the_standard_library_only() -> None:
    names = re.findall(r"^(?:import|from) (\w+)", REFERENCE.read_text(), re.M)
    assert set(names) <= sys.stdlib_module_names
    assert len(names) > 5


@contextmanager
def reference_running(keys: Path, port: int | None, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable, "-I", str(REFERENCE), "127.0.0.1", str(port), "--site", "b",
        "--key", str(keys / "b.key"), "--certificate", str(keys / "b.crt"), "--peer", "a",
        "--peer-certificate", str(keys / "a.crt"), "--stream", "x", "--neuron", "1", *more,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_reference_peer_talks_with_a_bridge_over_tls(folder: Path) -> None:
    with (
        running(folder, "a", "b") as a,
        reference_running(
            folder, a.bridge.listen_port, "--spikes", "200", "--rate-hz", "2000"
        ) as peer,
    ):

        def is_spike(event: object) -> bool:
            return isinstance(event, SpikesReceived) and len(event.batch.records) > 0

        got = a.wait_for(is_spike, 200)
        assert [e.seq for e in got] == sorted({e.seq for e in got})
        assert all(not e.is_resend for e in got)
        assert got[-1].age_bound_ns is not None
        wait_until(lambda: a.bridge.status()[0].uncertainty_ns is not None)
        a.bridge.send_spikes("b", batch([(5, 1)], 6))
        heard = next(line for line in map(json.loads, peer.stdout) if line["what"] == "spikes")
        assert heard["records"] == [[5, -1 + 1, 1, 0.0, heard["records"][0][4], 2, 0, 0]]
        assert peer.poll() is None, "nothing it sent is on record yet, so it stays"
        a.bridge.recorded("b", got[-1].session, got[-1].seq)
        assert peer.wait(10) == 0


def test_the_reference_peer_sends_again_after_a_cut(folder: Path) -> None:
    with running(folder, "a", "b") as a:
        port = a.bridge.listen_port
        with reference_running(folder, port, "--spikes", "50", "--rate-hz", "200") as peer:
            first = a.wait_for(lambda e: isinstance(e, SpikesReceived), 5)
            a.bridge.order(lambda _now_ns: a.bridge._lines.drop("b", "cut"))

            def n_spikes() -> int:
                spikes_of = [e for e in a.events if isinstance(e, SpikesReceived)]
                return sum(len(e.batch.records) for e in spikes_of)

            while n_spikes() < 50:
                a.events.append(a.queue.get(timeout=10))
            numbers = [e.seq for e in a.events if isinstance(e, SpikesReceived)]
            assert numbers == list(range(1, len(numbers) + 1))
            assert not [e for e in a.events if isinstance(e, GapDeclared)]
            assert first
            a.bridge.recorded("b", a.events[-1].session, numbers[-1])
            assert peer.wait(10) == 0
