"""Ways to carry spikes from one process to another, behind one small seam, to be compared.

Every receiver hands `SPIKE_RECORD` arrays to a sink, every sender takes them: so each pays for the
same packing, and the figures differ by the transport alone.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from app.bridge import keys
from app.bridge.bodies import StreamInfo
from app.bridge.bridge import Bridge
from app.bridge.events import LinkEvent, LinkState, SpikesReceived
from app.bridge.peers import PeerAddress
from app.bridge.settings import LocalSite
from app.bridge.tls import TlsIdentity
from app.core.clock import clock_identity, monotonic_ns
from app.core.spikes import SPIKE_RECORD, Provenance, SpikeBatch, SpikeRecords

LENGTH = struct.Struct("<I")
READY_LIMIT_S = 20.0

Sink = Callable[[SpikeRecords], None]


class Sender(Protocol):
    """The sending end, connected."""

    def send(self, records: SpikeRecords) -> None: ...

    def n_waiting(self) -> int: ...

    def close(self) -> None: ...


def make_keys(folder: Path) -> None:
    """Make what the secured transports need, for the sites a and b."""
    for name in ("a", "b"):
        keys.keygen(folder, name)


# --- plain TCP ------------------------------------------------------------------------------------


class TcpReceiver:
    def __init__(self, _folder: Path, sink: Sink) -> None:
        self._sink = sink
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray()
        with connection:
            while data := connection.recv(65_536):
                buffer += data
                start = 0
                while len(buffer) - start >= LENGTH.size:
                    (length,) = LENGTH.unpack_from(buffer, start)
                    end = start + LENGTH.size + length
                    if len(buffer) < end:
                        break
                    body = bytes(buffer[start + LENGTH.size : end])
                    self._sink(np.frombuffer(body, SPIKE_RECORD))
                    start = end
                del buffer[:start]

    def close(self) -> None:
        self._listener.close()
        self._thread.join(5)


class TcpSender:
    def __init__(self, _folder: Path, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, READY_LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, records: SpikeRecords) -> None:
        self._socket.sendall(LENGTH.pack(records.nbytes) + records.tobytes())

    def n_waiting(self) -> int:
        return 0

    def close(self) -> None:
        self._socket.close()


# --- ZeroMQ ---------------------------------------------------------------------------------------


class CurveReceiver:
    """PULL with CURVE; no ZAP handler, so any client key is let in: the cheapest it can be."""

    def __init__(self, _folder: Path, sink: Sink) -> None:
        import zmq

        self._sink = sink
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        public, secret = zmq.curve_keypair()
        self._socket.curve_secretkey, self._socket.curve_publickey = secret, public
        self._socket.curve_server = True
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = (f"tcp://127.0.0.1:{port}", public)
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._socket.setsockopt(self._zmq().RCVTIMEO, 100)
        while not self._is_closing.is_set():
            try:
                self._sink(np.frombuffer(self._socket.recv(), SPIKE_RECORD))
            except self._zmq().Again:
                continue
        self._socket.close(0)

    @staticmethod
    def _zmq() -> Any:
        import zmq

        return zmq

    def close(self) -> None:
        self._is_closing.set()
        self._thread.join(5)
        self._context.term()


class CurveSender:
    def __init__(self, _folder: Path, address: tuple[str, bytes]) -> None:
        import zmq

        url, server = address
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        public, secret = zmq.curve_keypair()
        self._socket.curve_secretkey, self._socket.curve_publickey = secret, public
        self._socket.curve_serverkey = server
        self._socket.connect(url)

    def send(self, records: SpikeRecords) -> None:
        self._socket.send(records.tobytes())

    def n_waiting(self) -> int:
        return 0

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()


# --- Lab Streaming Layer --------------------------------------------------------------------------

LSL_FIELDS = ("time_ns", "sample_index", "neuron", "amplitude_uv")


class LslReceiver:
    """Inlet of four float64 channels. CLOCK_MONOTONIC in ns is exact in a double for 104 days."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        self._sink = sink
        self.address = f"spikebridge-benchmark-{folder.name}"
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        import pylsl

        found: list[Any] = []
        while not found and not self._is_closing.is_set():
            found = pylsl.resolve_byprop("source_id", self.address, timeout=0.5)
        if not found:
            return
        inlet = pylsl.StreamInlet(found[0], max_buflen=360)
        while not self._is_closing.is_set():
            sample, _ = inlet.pull_sample(timeout=0.2)
            if sample is not None:
                rest, _ = inlet.pull_chunk(timeout=0.0, max_samples=4096)
                self._sink(_lsl_records([sample, *rest]))
        inlet.close_stream()

    def close(self) -> None:
        self._is_closing.set()
        self._thread.join(5)


def _lsl_records(samples: list[list[float]]) -> SpikeRecords:
    records = np.zeros(len(samples), SPIKE_RECORD)
    values = np.array(samples)
    for column, name in enumerate(LSL_FIELDS):
        records[name] = values[:, column]
    return records


class LslSender:
    def __init__(self, _folder: Path, address: str) -> None:
        import pylsl

        info = pylsl.StreamInfo("spikes", "spikes", 4, 0, pylsl.cf_double64, address)
        self._outlet = pylsl.StreamOutlet(info)
        if not self._outlet.wait_for_consumers(READY_LIMIT_S):
            raise TimeoutError("LSL: no inlet in time")

    def send(self, records: SpikeRecords) -> None:
        rows = [[float(r[name]) for name in LSL_FIELDS] for r in records]
        if len(rows) == 1:
            self._outlet.push_sample(rows[0])
        else:
            self._outlet.push_chunk(rows)

    def n_waiting(self) -> int:
        return 0

    def close(self) -> None:
        del self._outlet


# --- the bare link --------------------------------------------------------------------------------


def make_bridge(
    folder: Path,
    name: str,
    peer: str,
    on_event: Callable[[LinkEvent], None],
    *,
    dials: tuple[str, int] | None = None,
    port: int = 0,
    session: str = "",
    last_seqs: dict[str, int] | None = None,
) -> Bridge:
    """Return one site's bridge, started: it listens on loopback, at `port`, unless it dials."""
    identity = TlsIdentity(
        folder / f"{name}.key", folder / f"{name}.crt", {peer: folder / f"{peer}.crt"}
    )
    stream = StreamInfo(stream=0, name="source", provenance=Provenance.MOCK, neurons=(63,))
    there = dials or (None, None)
    bridge = Bridge(
        LocalSite(name, session or name * 32, "", clock_identity(), (stream,)),
        identity,
        (PeerAddress(peer, *there),),
        listen=None if dials else ("127.0.0.1", port),
        last_seqs={peer: last_seqs or {}},
        on_event=on_event,
        clock_ns=monotonic_ns,
        on_failure=_end_loudly,
    )
    bridge.start()
    return bridge


def await_up(bridge: Bridge) -> None:
    """Wait until the bridge's only link is up."""
    deadline_s = time.monotonic() + READY_LIMIT_S
    while not any(link.state is LinkState.UP for link in bridge.status()):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"link not up: {bridge.status()}")
        time.sleep(0.01)


def _end_loudly(name: str, exc: BaseException) -> None:
    raise RuntimeError(f"{name} failed") from exc


class LinkReceiver:
    def __init__(self, folder: Path, sink: Sink) -> None:
        self._sink = sink
        self._bridge = make_bridge(folder, "b", "a", self._take)
        self.address = ("127.0.0.1", self._bridge.listen_port)

    def _take(self, event: LinkEvent) -> None:
        if isinstance(event, SpikesReceived):
            self._sink(event.batch.records)
            self._bridge.recorded(event.site, event.session, event.seq)

    def close(self) -> None:
        self._bridge.request_stop()
        self._bridge.join(5)


class LinkSender:
    def __init__(self, folder: Path, address: tuple[str, int]) -> None:
        self._bridge = make_bridge(folder, "a", "b", lambda _event: None, dials=address)
        await_up(self._bridge)

    def send(self, records: SpikeRecords) -> None:
        now_ns = monotonic_ns()
        self._bridge.send_spikes("b", SpikeBatch(0, records, now_ns, now_ns))

    def n_waiting(self) -> int:
        return self._bridge.status()[0].counts.n_unacknowledged

    def close(self) -> None:
        self._bridge.request_stop()
        self._bridge.join(5)
