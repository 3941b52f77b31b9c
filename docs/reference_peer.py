"""A small peer of a SpikeBridge site: the specification in wire.md, in one file.

It needs nothing but Python's standard library and shares no code with SpikeBridge. It dials a site,
sends spikes of one neuron, answers what must be answered, and prints what it receives as lines of
JSON. It ends with code 0 once everything it sent is acknowledged.

    python reference_peer.py HOST PORT --site zurich --key zurich.key --certificate zurich.crt
        --peer southampton --peer-certificate southampton.crt --stream chip1 --neuron 63
"""

import argparse
import json
import math
import secrets
import select
import socket
import ssl
import struct
import sys
import time
from collections import OrderedDict, deque

MAGIC, VERSION, ALPN = 0x4B425053, 1, "spikebridge/1"
HEADER = struct.Struct("<IBBHIQQ")
BATCH = struct.Struct("<HHIq")
SPIKE = struct.Struct("<qqIfIBBH")
PSP = struct.Struct("<qQIIfIHBBI")
HEARTBEAT = struct.Struct("<QqqB3xI")
ACK = struct.Struct("<Q")
GAP = struct.Struct("<QQ")
EMPTY = struct.Struct("")
HELLO, HELLO_OK, SPIKES, PSPS, ACK_TYPE, HB, GAP_TYPE, BYE = range(1, 9)
RESEND = 1
MAX_BODY, MAX_RECORDS, MAX_SEQ, MAX_TIME_NS = 65_536, 1024, 2**48 - 1, 2**62
HEARTBEAT_S, ACK_S, DOWN_S, LATE_S, KEPT_S = 0.05, 0.05, 2.0, 0.4, 60.0
SPONTANEOUS = 2


class ProtocolError(Exception):
    """The other end broke the specification; the connection must be closed."""


# --- frames ---------------------------------------------------------------------------------------


def encode(kind, body=b"", *, flags=0, seq=0, echo=0):
    """Return a frame's bytes."""
    return HEADER.pack(MAGIC, VERSION, kind, flags, len(body), seq, echo) + body


def decode(buffer):
    """Take whole frames off a bytearray; return them as (type, flags, seq, echo, body)."""
    frames = []
    while len(buffer) >= HEADER.size:
        magic, version, kind, flags, length, seq, echo = HEADER.unpack_from(buffer)
        if magic != MAGIC or version != VERSION:
            raise ProtocolError(f"not a frame of version {VERSION}")
        if not HELLO <= kind <= BYE or flags not in (0, RESEND) or length > MAX_BODY:
            raise ProtocolError(f"type {kind}, flags {flags:#x}, {length} bytes")
        if len(buffer) < HEADER.size + length:
            break
        frames.append((kind, flags, seq, echo, bytes(buffer[HEADER.size : HEADER.size + length])))
        del buffer[: HEADER.size + length]
    return frames


def encode_batch(stream, complete_until_ns, layout, records):
    """Return the body of SPIKES or PSPS; `records` are tuples as `layout` packs them."""
    head = BATCH.pack(stream, len(records), 0, complete_until_ns)
    return head + b"".join(layout.pack(*record) for record in records)


def decode_batch(body, layout):
    """Return (stream, complete_until_ns, records)."""
    if len(body) < BATCH.size:
        raise ProtocolError("no batch")
    stream, count, _, complete_until_ns = BATCH.unpack_from(body)
    if count > MAX_RECORDS or len(body) != BATCH.size + count * layout.size:
        raise ProtocolError(f"{count} records in {len(body)} bytes")
    records = list(layout.iter_unpack(body[BATCH.size :]))
    is_sound = is_sound_spike if layout is SPIKE else is_sound_psp
    if abs(complete_until_ns) > MAX_TIME_NS or not all(map(is_sound, records)):
        raise ProtocolError("a value that cannot be")
    return stream, complete_until_ns, records


def is_sound_spike(record):
    """Say whether a spike's values can be."""
    time_ns, _, _, amplitude_uv, _, kind, _, _ = record
    return abs(time_ns) <= MAX_TIME_NS and kind <= SPONTANEOUS and not math.isinf(amplitude_uv)


def is_sound_psp(record):
    """Say whether a PSP's values can be; a weight that is no number is outside."""
    time_ns, _, _, _, weight, _, _, kind, flags, _ = record
    is_known = kind <= SPONTANEOUS and flags & 3 < 3
    return abs(time_ns) <= MAX_TIME_NS and 0 <= weight <= 1 and is_known


def fixed(layout, body):
    """Return the fields of a body of fixed length."""
    if len(body) != layout.size:
        raise ProtocolError(f"{len(body)} bytes, expected {layout.size}")
    return layout.unpack(body)


def decode_heartbeat(body):
    """Return (nonce, sent_ns, echoed_received_ns, arm_state, stop_mark)."""
    beat = nonce, sent_ns, received_ns, arm_state, _ = fixed(HEARTBEAT, body)
    is_timely = abs(sent_ns) <= MAX_TIME_NS and abs(received_ns) <= MAX_TIME_NS
    if nonce == 0 or arm_state > 3 or not is_timely:
        raise ProtocolError("a heartbeat that cannot be")
    return beat


def decode_gap(body):
    """Return the newest number that is declared missing."""
    first, last = fixed(GAP, body)
    if not 1 <= first <= last <= MAX_SEQ:
        raise ProtocolError(f"GAP from {first} to {last}")
    return last


# --- one peer -------------------------------------------------------------------------------------


class Peer:
    """Keeps what outlives a connection: our numbers, what is unacknowledged, what we received."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.session = secrets.token_hex(16)
        self.clock = f"reference-{self.session}"  # our clock is nobody else's
        self.unacknowledged = deque()  # (seq, type, body, echo, made_s, was it written)
        self.last_seq = 0
        self.n_cursor = 0  # how many of them have been written on this connection
        self.next_seq = 1  # the number that the other side expects next
        self.received = {}  # by session of the other side: newest number
        self.peer_nonce = 0
        self.peer_nonce_ns = 0
        self.nonces = OrderedDict()
        self.control = deque()

    # our side of the numbered frames

    def queue(self, kind, body):
        """Give a body its number and keep it until it is acknowledged, or a minute old."""
        self.last_seq += 1
        now_s = time.monotonic()
        self.unacknowledged.append([self.last_seq, kind, body, self.peer_nonce, now_s, False])
        while self.unacknowledged[0][4] < now_s - KEPT_S:
            self.forget_oldest()

    def queue_spike(self):
        """Queue one spike that fires now."""
        now_ns = time.monotonic_ns()
        record = (now_ns, -1, self.arguments.neuron, float("nan"), 0, SPONTANEOUS, 0, 0)
        self.queue(SPIKES, encode_batch(0, now_ns, SPIKE, [record]))

    def acknowledge(self, seq):
        """Forget what the other side has on record."""
        if seq > self.last_seq:
            raise ProtocolError(f"ACK of {seq}, which we never sent")
        while self.unacknowledged and self.unacknowledged[0][0] <= seq:
            self.forget_oldest()

    def forget_oldest(self):
        """Keep the oldest no more."""
        self.unacknowledged.popleft()
        self.n_cursor = max(0, self.n_cursor - 1)

    # connections

    def greet(self):
        """Begin a connection: HELLO goes first."""
        a = self.arguments
        hello = {
            "min_version": VERSION,
            "max_version": VERSION,
            "site": a.site,
            "session": self.session,
            "experiment_hash": a.experiment_hash,
            "clock": self.clock,
            "streams": [
                {"stream": 0, "name": a.stream, "provenance": "mock", "neurons": [a.neuron]}
            ],
            "last_seqs": dict(list(self.received.items())[-64:]),
        }
        self.control = deque([encode(HELLO, json.dumps(hello).encode())])
        self.hello, self.is_accepted = None, False
        self.peer_nonce, self.n_cursor = 0, 0
        self.next_heartbeat_s = self.next_ack_s = 0.0
        self.acknowledged = 0

    @property
    def is_up(self):
        """Say whether numbered frames may go."""
        return self.hello is not None and self.is_accepted

    def tick(self, now_s):
        """Queue the heartbeats and acknowledgements that are due."""
        if not self.is_up:
            return
        if now_s >= self.next_heartbeat_s:
            self.next_heartbeat_s = now_s + HEARTBEAT_S
            nonce = secrets.randbits(63) | 1
            self.nonces[nonce] = time.monotonic_ns()
            while len(self.nonces) > 1200:
                self.nonces.popitem(last=False)
            body = HEARTBEAT.pack(nonce, self.nonces[nonce], self.peer_nonce_ns, 1, 0)
            self.control.append(encode(HB, body, echo=self.peer_nonce))
        newest = self.received.get(self.hello["session"], 0)
        if now_s >= self.next_ack_s and newest > self.acknowledged:
            # An ACK means "on record". Here that is our standard output, flushed.
            sys.stdout.flush()
            self.next_ack_s, self.acknowledged = now_s + ACK_S, newest
            self.control.append(encode(ACK_TYPE, ACK.pack(newest)))

    def outgoing(self):
        """Return the bytes that go next; empty if there are none."""
        if self.control:
            return self.control.popleft()
        if not self.is_up or self.n_cursor >= len(self.unacknowledged):
            return b""
        entry = self.unacknowledged[self.n_cursor]
        seq, kind, body, echo, made_s, was_written = entry
        if seq > self.next_seq:  # what was before it is kept no more
            first, self.next_seq = self.next_seq, seq
            return encode(GAP_TYPE, GAP.pack(first, seq - 1))
        self.n_cursor, self.next_seq = self.n_cursor + 1, seq + 1
        entry[5] = True
        is_late = was_written or time.monotonic() - made_s > LATE_S
        return encode(kind, body, flags=RESEND if is_late else 0, seq=seq, echo=echo)

    def take(self, kind, flags, seq, echo, body):
        """Take one frame."""
        if kind == HELLO:
            self.take_hello(json.loads(body))
        elif self.hello is None:
            raise ProtocolError(f"type {kind} before HELLO")
        elif kind == HELLO_OK:
            fixed(EMPTY, body)
            self.is_accepted = True
        elif kind in (SPIKES, PSPS):
            self.take_numbered(kind, flags, seq, echo, body)
        elif kind == HB:
            self.peer_nonce, self.peer_nonce_ns = decode_heartbeat(body)[0], time.monotonic_ns()
        elif kind == ACK_TYPE:
            self.acknowledge(fixed(ACK, body)[0])
        elif kind == GAP_TYPE:
            self.take_gap(decode_gap(body))
        else:
            raise ProtocolError(f"goodbye: {body.decode('utf-8', 'replace')}")

    def take_hello(self, hello):
        """Learn who is there; what it has on record need not go again."""
        if self.hello is not None:
            raise ProtocolError("HELLO twice")
        if hello["site"] != self.arguments.peer or hello["session"] == self.session:
            raise ProtocolError(f"HELLO of {hello['site']!r}")
        if not hello["min_version"] <= VERSION <= hello["max_version"]:
            raise ProtocolError("no common version")
        self.hello = hello
        self.received.setdefault(hello["session"], 0)
        on_record = min(self.last_seq, hello["last_seqs"].get(self.session, 0))
        self.acknowledge(on_record)
        self.n_cursor, self.next_seq = 0, on_record + 1
        self.control.append(encode(HELLO_OK))

    def take_numbered(self, kind, flags, seq, echo, body):
        """Print a batch once; declare what is missing before it."""
        session = self.hello["session"]
        if not 0 < seq <= MAX_SEQ:
            raise ProtocolError(f"number {seq}")
        if seq <= self.received[session]:
            return  # a repetition
        if seq > self.received[session] + 1:
            self.take_gap(seq - 1)
        self.received[session] = seq
        stream, complete_ns, records = decode_batch(body, SPIKE if kind == SPIKES else PSP)
        sent_ns = self.nonces.get(echo)
        age_bound_ns = None if sent_ns is None else time.monotonic_ns() - sent_ns
        say(
            "spikes" if kind == SPIKES else "psps",
            seq=seq,
            is_resend=bool(flags & RESEND),
            age_bound_ns=age_bound_ns,
            stream=stream,
            complete_until_ns=complete_ns,
            records=records,
        )

    def take_gap(self, last):
        """Declare that nothing up to `last` will come that has not come yet."""
        first = self.received[self.hello["session"]] + 1
        if last >= first:
            self.received[self.hello["session"]] = last
            say("gap", first=first, last=last)


def say(what, **fields):
    """Print one line of JSON; NaN, which JSON has not, becomes null."""
    text = json.dumps({"what": what, **fields}).replace("NaN", "null")
    print(text, flush=True)


# --- the network ----------------------------------------------------------------------------------


def connect(arguments):
    """Return a TLS connection whose other end has proved the pinned certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a site is its certificate, wherever it is
    context.set_alpn_protocols([ALPN])
    context.load_cert_chain(arguments.certificate, arguments.key)
    context.load_verify_locations(arguments.peer_certificate)
    plain = socket.create_connection((arguments.host, arguments.port), timeout=5.0)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tls = context.wrap_socket(plain)
    with open(arguments.peer_certificate, encoding="ascii") as file:
        pinned = ssl.PEM_cert_to_DER_cert(file.read())
    if tls.getpeercert(binary_form=True) != pinned or tls.selected_alpn_protocol() != ALPN:
        tls.close()
        raise ProtocolError("the other end is not the pinned peer")
    tls.setblocking(False)
    return tls


def write_all(peer, tls, unsent):
    """Write what there is; return what the connection did not take."""
    while data := unsent or peer.outgoing():
        try:
            unsent = data[tls.send(data) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return data
    return b""


def serve(peer, tls, source):
    """Run one connection until it breaks or everything is done; return whether it is done."""
    peer.greet()
    buffer, unsent, heard_s = bytearray(), b"", time.monotonic()
    while True:
        now_s = time.monotonic()
        if now_s - heard_s > DOWN_S:
            raise ProtocolError("silent for 2 s")
        if peer.is_up:
            source.fire(peer, now_s)
        peer.tick(now_s)
        unsent = write_all(peer, tls, unsent)
        if source.is_done(peer, now_s) and not unsent:
            tls.send(encode(BYE, b"done"))
            return True
        if not tls.pending():
            select.select([tls], [tls] if unsent else [], [], 0.01)
        try:
            data = tls.recv(65_536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            continue
        if not data:
            raise ProtocolError("closed by the other end")
        heard_s = time.monotonic()
        buffer += data
        for frame in decode(buffer):
            peer.take(*frame)


class Source:
    """When to fire, and when to stop."""

    def __init__(self, arguments):
        self.left, self.rate_hz = arguments.spikes, arguments.rate_hz
        self.until_s = time.monotonic() + arguments.seconds
        self.next_s = 0.0

    def fire(self, peer, now_s):
        """Queue a spike if one is due; an idle stream says so every 50 ms."""
        if now_s < self.next_s:
            return
        if self.left:
            self.left -= 1
            self.next_s = now_s + 1 / self.rate_hz
            peer.queue_spike()
        else:
            self.next_s = now_s + 0.05
            peer.queue(SPIKES, encode_batch(0, time.monotonic_ns(), SPIKE, []))

    def is_done(self, peer, now_s):
        """Say whether all spikes have fired and are on record over there."""
        is_fired = self.left == 0 and now_s >= self.until_s
        return is_fired and all(len(e[2]) == BATCH.size for e in peer.unacknowledged)


def main():
    """Dial until everything is done."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    for name in ("site", "key", "certificate", "peer", "peer-certificate", "stream"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--neuron", type=int, required=True)
    parser.add_argument("--spikes", type=int, default=10)
    parser.add_argument("--rate-hz", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=0.0, help="stay at least so long")
    parser.add_argument("--experiment-hash", default="")
    arguments = parser.parse_args()
    peer, source = Peer(arguments), Source(arguments)
    while True:
        try:
            with connect(arguments) as tls:
                if serve(peer, tls, source):
                    return 0
        except (OSError, ProtocolError, ValueError, KeyError) as exc:
            say("down", reason=str(exc))
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
