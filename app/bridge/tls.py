"""TLS 1.3 with pinned certificates: who may connect, and how we prove who we are."""

import datetime as dt
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.bridge.keys import KeyFileError, check_key_file, fingerprint, load_certificate

ALPN = "spikebridge/1"


class StrangerError(Exception):
    """The other end's certificate is not the one that is pinned."""


@dataclass(frozen=True, slots=True)
class TlsPipe:
    """TLS between two buffers: bytes from the network in, bytes for the network out."""

    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO


class Pin:
    """The certificate of one peer that was pinned when we started, and whether it still is.

    `spikebridge revoke` removes the file and `trust` may put another one there: the key of before
    must not come back with it.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `KeyFileError`."""
        self._path = path
        self._seen = _stamp_of(path)
        self.fingerprint = fingerprint(path)
        self._why_not = ""

    def why_not(self) -> str:
        """Say why it counts no more; empty if it does. Reads the file only when it is another."""
        seen = _stamp_of(self._path)
        if seen != self._seen:
            self._seen = seen
            self._why_not = self._compared()
        return self._why_not

    def _compared(self) -> str:
        try:
            is_same = fingerprint(self._path) == self.fingerprint
        except KeyFileError:
            self._seen = None  # gone, or half written: look again as soon as there is something
            return "revoked: its certificate is no longer pinned here"
        if is_same:
            return ""
        return "revoked: another certificate is pinned now, which counts from the next start on"


class TlsIdentity:
    """Our key, and the peers' pinned certificates. Contexts are made once, for all connections."""

    def __init__(self, key_file: Path, certificate_file: Path, peers: Mapping[str, Path]) -> None:
        """Read the files. Raises `KeyFileError`."""
        check_key_file(key_file)
        load_certificate(certificate_file)
        own = fingerprint(certificate_file)
        self._site_of: dict[str, str] = {}
        self._pins = {site: Pin(path) for site, path in peers.items()}
        self._expires: dict[str, dt.datetime] = {
            site: load_certificate(path).not_valid_after_utc for site, path in peers.items()
        }
        self.expires = load_certificate(certificate_file).not_valid_after_utc
        """End of our own certificate, UTC."""
        for site, path in peers.items():
            pinned = self._pins[site].fingerprint
            if pinned == own:
                raise KeyFileError(f"{path}: is our own certificate, pinned as {site}'s")
            if pinned in self._site_of:
                raise KeyFileError(f"{path}: the same certificate is {self._site_of[pinned]}'s")
            self._site_of[pinned] = site
        files = list(peers.values())
        self._server = _context(ssl.PROTOCOL_TLS_SERVER, key_file, certificate_file, files)
        self._client = _context(ssl.PROTOCOL_TLS_CLIENT, key_file, certificate_file, files)

    def expires_of(self, site: str) -> dt.datetime:
        """Return the end of a peer's certificate, UTC."""
        return self._expires[site]

    def why_not_pinned(self, site: str) -> str:
        """Say why a peer's key counts no more, though it did at our start; empty if it does."""
        return self._pins[site].why_not()

    def pipe(self, *, is_server: bool) -> TlsPipe:
        """Return the TLS side of a new connection; the handshake is still to come."""
        context = self._server if is_server else self._client
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=is_server)
        return TlsPipe(tls, incoming, outgoing)

    def peer_of(self, connection: ssl.SSLObject) -> str:
        """Return the site whose pinned certificate the other end has proved to own.

        Call it after the handshake, before a byte is taken for a frame. Raises `StrangerError`.
        """
        certificate = connection.getpeercert(binary_form=True)
        if certificate is None:
            raise StrangerError("no certificate")
        pinned = hashlib.sha256(certificate).hexdigest()
        site = self._site_of.get(pinned)
        if site is None or self.why_not_pinned(site):
            raise StrangerError(f"certificate {pinned[:16]}... is not pinned here")
        if connection.selected_alpn_protocol() != ALPN:
            raise StrangerError(f"speaks {connection.selected_alpn_protocol()}, not {ALPN}")
        return site


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is written or replaced; None if it cannot be had."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _context(
    protocol: int, key_file: Path, certificate_file: Path, peers: list[Path]
) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a site is its certificate, wherever it is
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols([ALPN])
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # no resumption: each connection proves its key
    try:
        context.load_cert_chain(certificate_file, key_file)
        for path in peers:
            context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as exc:
        raise KeyFileError(f"{certificate_file}, {key_file}: {exc}") from exc
    return context
