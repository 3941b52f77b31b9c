"""Keys of a site: made here, pinned by the others, compared on the telephone.

A site is known by the SHA-256 of its whole self-signed Ed25519 certificate (DER). There is no
authority and no automatic trust at first contact.
"""

import datetime as dt
import hashlib
import os
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME_DAYS = 3652
MAX_CERTIFICATE_BYTES = 65_536

_SYLLABLES = tuple(a + b for a in "bdfghjklmnprstvz" for b in ("a", "e", "i", "o"))
"""64 syllables, two of which a person can say and hear for every 12 bits."""


class KeyFileError(Exception):
    """A key or certificate file that cannot be used; the message names it and the remedy."""


def keygen(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a key and a self-signed certificate for `name`; return (key file, certificate file).

    Raises
    ------
    KeyFileError
        The files exist already (a site's key is never overwritten), or cannot be written.
    """
    key_file, certificate_file = folder / f"{name}.key", folder / f"{name}.crt"
    for path in (key_file, certificate_file):
        if path.exists():
            raise KeyFileError(
                f"{path}: exists already and is not overwritten; peers have pinned it. Move both "
                "files away if the site shall really get a new identity"
            )
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = _certificate(key, name).public_bytes(serialization.Encoding.PEM)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(key_file, private, 0o600)
        _write(certificate_file, public, 0o644)
    except OSError as exc:
        raise KeyFileError(f"{folder}: key cannot be written: {exc}") from exc
    return key_file, certificate_file


def check_key_file(path: Path) -> None:
    """Raise `KeyFileError` unless the private key exists and only its owner can read it."""
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise KeyFileError(f"{path}: no key ({exc}); make one with `spikebridge keygen`") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"{path}: readable by others (mode {stat.S_IMODE(mode):04o}); chmod 600 it, and make a "
            "new key if anybody may have read it"
        )


def load_certificate(path: Path) -> x509.Certificate:
    """Return the certificate in a PEM file. Raises `KeyFileError`."""
    try:
        data = path.read_bytes()[:MAX_CERTIFICATE_BYTES]
        return x509.load_pem_x509_certificate(data)
    except OSError as exc:
        raise KeyFileError(
            f"{path}: no certificate ({exc}); `spikebridge keygen` makes a site's own, "
            "`spikebridge trust` pins a peer's"
        ) from exc
    except ValueError as exc:
        raise KeyFileError(f"{path}: not a certificate: {exc}") from exc


def fingerprint(path: Path) -> str:
    """Return the SHA-256 (hex) by which a certificate is pinned. Raises `KeyFileError`."""
    certificate = load_certificate(path).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(certificate).hexdigest()


def fingerprint_text(path: Path) -> str:
    """Return a certificate's fingerprint for reading aloud: eight groups, and as syllables."""
    digest = fingerprint(path)
    groups = " ".join(digest[i : i + 8] for i in range(0, 64, 8))
    number = int(digest[:24], 16)
    words = [
        _SYLLABLES[(number >> shift) & 63] + _SYLLABLES[(number >> (shift + 6)) & 63]
        for shift in range(0, 96, 12)
    ]
    return f"{groups}  ({'-'.join(words)})"


def days_left(path: Path, now: dt.datetime) -> float:
    """Return in how many days a certificate expires; negative if it has."""
    return (load_certificate(path).not_valid_after_utc - now) / dt.timedelta(days=1)


def pin(source: Path, destination: Path) -> Path:
    """Copy a peer's certificate to where it is trusted; return that place.

    Raises
    ------
    KeyFileError
        No certificate, or another one is pinned there already: replacing an identity in silence
        is what pinning is against.
    """
    certificate = load_certificate(source)
    if destination.exists():
        if fingerprint(destination) == fingerprint(source):
            return destination  # a running engine looks at it: it is not written again
        raise KeyFileError(
            f"{destination}: another certificate is pinned; compare fingerprints on the telephone "
            "and `spikebridge revoke` the old one if the peer really has a new key"
        )
    try:
        destination.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        destination.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    except OSError as exc:
        raise KeyFileError(f"{destination}: cannot be written: {exc}") from exc
    return destination


def unpin(path: Path) -> str:
    """Remove a pinned certificate; return the fingerprint that is no longer trusted.

    Raises
    ------
    KeyFileError
        Nothing is pinned there, or it cannot be removed.
    """
    try:
        gone = fingerprint(path)
    except KeyFileError:
        if not path.exists():
            raise
        gone = "unreadable"  # what cannot be read must be removable all the same
    try:
        path.unlink()
    except OSError as exc:
        raise KeyFileError(f"{path}: cannot be removed: {exc}") from exc
    return gone


def _certificate(key: Ed25519PrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    public = key.public_key()
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # the peers' clocks may be behind
        .not_valid_after(now + dt.timedelta(days=LIFETIME_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, None)
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
