"""Two bridges over real TLS on loopback, and strangers at the door."""

import datetime as dt
import queue
import shutil
import socket
import ssl
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from bridge_rig import SESSIONS, folder, is_down, is_spikes, is_up, pair, running, wait_until
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from app.bridge import keys
from app.bridge.bridge import Bridge
from app.bridge.events import LinkEvent, LinkState, PspsReceived, SpikesReceived
from app.bridge.keys import KeyFileError
from app.bridge.peers import PeerAddress
from app.bridge.settings import LocalSite
from app.bridge.tls import Pin, TlsIdentity
from app.core.clock import monotonic_ns
from app.core.spikes import PSP_RECORD, SPIKE_RECORD, SpikeBatch

__all__ = ["folder"]


def batch(number: int) -> SpikeBatch:
    records = np.zeros(1, SPIKE_RECORD)
    records["neuron"] = 1
    records["time_ns"] = number
    return SpikeBatch(0, records, number, monotonic_ns())


def numbers(events: list[LinkEvent]) -> list[int]:
    return [int(e.batch.records[0]["time_ns"]) for e in events if isinstance(e, SpikesReceived)]


def test_spikes_and_psps_arrive_once_in_order_with_an_age(folder: Path) -> None:
    with pair(folder) as (a, b):
        wait_until(lambda: a.bridge.status()[0].rtt_ns is not None)  # heartbeats both ways
        for number in range(1, 501):
            a.bridge.send_spikes("b", batch(number))
        psps = np.zeros(3, PSP_RECORD)
        psps["weight"] = 0.5
        b.bridge.send_psps("a", psps, time.monotonic_ns())
        got = b.wait_for(is_spikes, 500)
        assert numbers(got) == list(range(1, 501))
        assert [e.seq for e in got] == list(range(1, 501))
        assert all(e.age_bound_ns is not None and e.age_bound_ns >= 0 for e in got)
        (received,) = a.wait_for(lambda e: isinstance(e, PspsReceived))
        assert len(received.records) == 3
        wait_until(lambda: a.bridge.status()[0].counts.n_events_sent == 500)


def test_acknowledged_only_when_recorded(folder: Path) -> None:
    with pair(folder) as (a, b):
        a.bridge.send_spikes("b", batch(1))
        (event,) = b.wait_for(is_spikes)
        assert a.bridge.status()[0].counts.n_unacknowledged in (0, 1)
        b.bridge.recorded("a", event.session, event.seq)
        deadline = time.monotonic() + 5
        while True:
            counts = a.bridge.status()[0].counts
            if counts.n_events_sent == 1 and counts.n_unacknowledged == 0:
                break
            assert time.monotonic() < deadline


def test_receiver_restart_resends_what_was_not_recorded_without_duplicates(folder: Path) -> None:
    with running(folder, "a", "b") as a:
        port = a.bridge.listen_port
        with running(folder, "b", "a", port=port) as b:
            b.wait_for(is_up)
            for number in range(1, 11):
                a.bridge.send_spikes("b", batch(number))
            b.wait_for(is_spikes, 10)
        a.wait_for(is_down)
        for number in range(11, 16):
            a.bridge.send_spikes("b", batch(number))
        with running(folder, "b", "a", port=port, session="c" * 32,
                     last_seqs={SESSIONS["a"]: 7}) as b:  # fmt: skip
            got = b.wait_for(is_spikes, 8)
            assert numbers(got) == list(range(8, 16))
            assert all(e.is_resend for e in got if e.seq <= 10)


def test_second_connection_of_a_site_takes_over(folder: Path) -> None:
    with running(folder, "a", "b") as a:
        port = a.bridge.listen_port
        with running(folder, "b", "a", port=port) as first:
            first.wait_for(is_up)
            with running(folder, "b", "a", port=port, session="d" * 32) as second:
                second.wait_for(is_up)
                first.wait_for(is_down)


def raw_connection(port: int | None) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port or 0), timeout=5)
    made.settimeout(5)
    return made


def test_strangers_get_nothing_and_the_known_peer_still_comes_up(folder: Path) -> None:
    with running(folder, "a", "b") as a, ExitStack() as stack:
        port = a.bridge.listen_port
        silent = [stack.enter_context(raw_connection(port)) for _ in range(12)]
        plain = stack.enter_context(raw_connection(port))
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert_closed_without_a_frame(plain)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.load_cert_chain(folder / "b.crt", folder / "b.key")  # so that only its age is wrong
        with pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(stack.enter_context(raw_connection(port)))
        for name in ("stranger", "a", "nobody"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if name != "nobody":
                context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
            with context.wrap_socket(stack.enter_context(raw_connection(port))) as tls:
                assert_closed_without_a_frame(tls)
        with running(folder, "b", "a", port=port) as b:
            b.wait_for(is_up)
        assert a.bridge.n_strangers >= 5
        assert {event.site for event in a.events} <= {"b"}
        assert silent


def assert_closed_without_a_frame(sock: socket.socket) -> None:
    try:
        data = sock.recv(100)
    except (ssl.SSLError, ConnectionError):
        return
    assert data == b"" or data[0] in (0x15, 0x16), "an alert at most, never a frame"


def test_dialler_refuses_a_stranger_at_the_address(folder: Path) -> None:
    with (
        running(folder, "a", "b", key_of="stranger") as wrong,
        running(folder, "b", "a", port=wrong.bridge.listen_port) as b,
    ):
        deadline = time.monotonic() + 5
        while "another certificate than the pinned" not in b.bridge.status()[0].reason:
            assert time.monotonic() < deadline, b.bridge.status()
        assert b.bridge.status()[0].state is LinkState.DOWN


def test_a_revoked_peer_is_cut_off_and_does_not_come_back(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        for kind in ("key", "crt"):
            shutil.copy(folder / f"{name}.{kind}", tmp_path)
    with running(tmp_path, "a", "b") as a, running(
        folder, "b", "a", port=a.bridge.listen_port
    ) as b:  # fmt: skip
        a.wait_for(is_up)
        keys.unpin(tmp_path / "b.crt")
        a.wait_for(is_down)
        b.wait_for(is_down)
        n_strangers = a.bridge.n_strangers
        wait_until(lambda: a.bridge.n_strangers > n_strangers)  # it tried again
        assert a.bridge.status()[0].state is LinkState.DOWN
        assert "no longer pinned" in a.bridge.status()[0].reason


def test_a_new_pin_does_not_let_the_revoked_key_in_again(folder: Path, tmp_path: Path) -> None:
    for kind in ("a.key", "a.crt", "b.crt"):
        shutil.copy(folder / kind, tmp_path)
    with running(tmp_path, "a", "b") as a, running(
        folder, "b", "a", port=a.bridge.listen_port
    ) as b:  # fmt: skip
        a.wait_for(is_up)
        keys.unpin(tmp_path / "b.crt")  # its key was stolen: another one takes its place at once
        keys.pin(folder / "stranger.crt", tmp_path / "b.crt")
        a.wait_for(is_down)
        b.wait_for(is_down)
        n_strangers = a.bridge.n_strangers
        wait_until(lambda: a.bridge.n_strangers > n_strangers)  # the stolen key tries again
        assert a.bridge.status()[0].state is LinkState.DOWN
        assert "another certificate is pinned" in a.bridge.status()[0].reason
        keys.unpin(tmp_path / "b.crt")
        keys.pin(folder / "b.crt", tmp_path / "b.crt")  # it was a mistake: the same one again
        a.wait_for(is_up, 2)


@pytest.mark.parametrize("is_over", [True, False], ids=["expired", "not yet valid"])
def test_a_certificate_out_of_its_time_is_refused(tmp_path: Path, is_over: bool) -> None:
    keys.keygen(tmp_path, "a")
    make_certificate(tmp_path, "b", days=(-20, -1) if is_over else (5, 20))
    with running(tmp_path, "a", "b") as a, running(
        tmp_path, "b", "a", port=a.bridge.listen_port
    ):  # fmt: skip
        wait_until(lambda: a.bridge.n_strangers >= 2)
        assert a.bridge.status()[0].state is LinkState.DOWN


@pytest.mark.parametrize(
    ("dated", "days", "key_of", "words"),
    [
        ("b", (-20, -1), "b", "our certificate has expired, says the other side"),
        ("a", (-20, -1), "b", "its certificate has expired"),
        ("a", (5, 20), "b", "its certificate is not valid yet"),
        ("b", (-1, 20), "stranger", "our certificate is not pinned over there"),
    ],
)
def test_the_dialler_hears_why_in_words_that_say_what_to_do(
    tmp_path: Path, dated: str, days: tuple[int, int], key_of: str, words: str
) -> None:
    for name in {"a", "b", "stranger"} - {dated}:
        keys.keygen(tmp_path, name)
    make_certificate(tmp_path, dated, days=days)
    with running(tmp_path, "a", "b") as a, running(
        tmp_path, "b", "a", port=a.bridge.listen_port, key_of=key_of
    ) as b:  # fmt: skip
        wait_until(lambda: b.bridge.status()[0].reason.startswith(words))


def test_a_pin_that_is_half_written_counts_again_when_it_is_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.crt"
    shutil.copy(folder / "b.crt", path)
    pin = Pin(path)
    assert pin.why_not() == ""
    monkeypatch.setattr("app.bridge.tls._stamp_of", lambda _path: (1, 2, 3))  # nothing tells
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert "no longer pinned" in pin.why_not()
    path.write_bytes(whole)
    assert pin.why_not() == ""


def test_a_dialler_whose_key_was_revoked_is_told_to_ask(folder: Path, tmp_path: Path) -> None:
    for kind in ("a.key", "a.crt", "b.crt"):
        shutil.copy(folder / kind, tmp_path)
    with running(tmp_path, "a", "b") as a, running(
        folder, "b", "a", port=a.bridge.listen_port
    ) as b:  # fmt: skip
        b.wait_for(is_up)
        keys.unpin(tmp_path / "b.crt")
        wait_until(lambda: "still trusted there" in b.bridge.status()[0].reason)


def make_certificate(folder: Path, name: str, days: tuple[int, int]) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None)
    )
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = folder / f"{name}.key"
    private.touch(0o600)
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def test_keys_are_private_never_overwritten_and_compared_aloud(tmp_path: Path) -> None:
    key, certificate = keys.keygen(tmp_path, "x")
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(KeyFileError, match="not overwritten"):
        keys.keygen(tmp_path, "x")
    text = keys.fingerprint_text(certificate)
    assert text.replace(" ", "").startswith(keys.fingerprint(certificate))
    assert keys.days_left(certificate, dt.datetime.now(dt.UTC)) > 3600
    key.chmod(0o640)
    with pytest.raises(KeyFileError, match="readable by others"):
        keys.check_key_file(key)


def test_a_pin_is_not_replaced_in_silence(tmp_path: Path) -> None:
    _, one = keys.keygen(tmp_path / "1", "x")
    _, two = keys.keygen(tmp_path / "2", "x")
    pinned = keys.pin(one, tmp_path / "peers" / "x.crt")
    assert keys.pin(one, pinned) == pinned
    with pytest.raises(KeyFileError, match="telephone"):
        keys.pin(two, pinned)
    garbage = tmp_path / "g.crt"
    garbage.write_text("not a certificate")
    with pytest.raises(KeyFileError, match="not a certificate"):
        keys.pin(garbage, tmp_path / "y.crt")


def test_own_and_doubled_certificates_are_refused(tmp_path: Path) -> None:
    key, certificate = keys.keygen(tmp_path, "x")
    with pytest.raises(KeyFileError, match="our own"):
        TlsIdentity(key, certificate, {"y": certificate})
    _, other = keys.keygen(tmp_path, "y")
    with pytest.raises(KeyFileError, match="same certificate"):
        TlsIdentity(key, certificate, {"y": other, "z": other})


def test_a_peer_that_sends_faster_than_we_record_is_held_back_not_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.bridge.MAX_UNRECORDED", 50)
    with pair(folder) as (a, b):
        for number in range(1, 2001):
            a.bridge.send_spikes("b", batch(number))
        wait_until(lambda: not b.bridge._lines.lines["a"].open_connection.wants_read)
        got: list[SpikesReceived] = []
        while len(got) < 2000:
            event = b.queue.get(timeout=10)
            if isinstance(event, SpikesReceived):
                got.append(event)
                b.bridge.recorded("a", event.session, event.seq)
        assert numbers(got) == list(range(1, 2001))


def test_a_peer_is_dialled_by_name(folder: Path) -> None:
    with running(folder, "a", "b") as a, running(
        folder, "b", "a", port=a.bridge.listen_port, dial_host="localhost"
    ) as b:  # fmt: skip
        b.wait_for(is_up)


def test_a_name_service_that_takes_its_time_holds_up_no_other_link(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()

    def slow(host: str, *_more: object, **_options: object) -> list:
        is_over.wait(30)
        raise socket.gaierror(-2, f"no such name: {host}")

    with running(folder, "a", "b") as a:
        port = a.bridge.listen_port
        monkeypatch.setattr("app.bridge.sockets.socket.getaddrinfo", slow)
        keys_of = {"a": folder / "a.crt", "stranger": folder / "stranger.crt"}
        events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
        bridge = Bridge(
            LocalSite("b", "b" * 32, "", "clock", ()),
            TlsIdentity(folder / "b.key", folder / "b.crt", keys_of),
            (
                PeerAddress("stranger", "nowhere.example.org", 1),
                PeerAddress("a", "127.0.0.1", port),
            ),
            listen=None, last_seqs={}, on_event=events.put, clock_ns=monotonic_ns,
            on_failure=lambda *_failure: None,
        )  # fmt: skip
        bridge.start()
        try:
            a.wait_for(is_up)
            is_over.set()
            wait_until(lambda: "no such name" in bridge.status()[0].reason)
        finally:
            is_over.set()
            bridge.request_stop()
            assert bridge.join(5)
