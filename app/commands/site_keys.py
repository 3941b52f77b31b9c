"""`keygen`, `fingerprint`, `trust`, `revoke`: a site's own key, and the peers that it pins."""

import argparse
import datetime as dt
from pathlib import Path

from app.bridge import keys
from app.bridge.expiry import expiry_warning
from app.commands.guarded import say
from app.config.load import ConfigError, load_site
from app.config.paths import certificate_file, peer_certificate_file
from app.exit_codes import ExitCode


def keygen(arguments: argparse.Namespace) -> int:
    """Make a site's key and certificate."""
    site = load_site(arguments.site_file)
    folder = arguments.site_file.parent / site.key_folder
    _, certificate = keys.keygen(folder, site.site)
    say(f"made {certificate}")
    say(f"fingerprint {keys.fingerprint_text(certificate)}")
    say("send the .crt file to your partners; compare the fingerprint on the telephone")
    return ExitCode.OK


def fingerprint(arguments: argparse.Namespace) -> int:
    """Print a certificate's fingerprint."""
    path: Path = arguments.file
    if path.suffix == ".toml":
        site = load_site(path)
        path = certificate_file(path, site)
    say(keys.fingerprint_text(path))
    return ExitCode.OK


def trust(arguments: argparse.Namespace) -> int:
    """Pin another site's certificate."""
    name = arguments.peer or arguments.certificate.stem
    destination = _pin_of(arguments.site_file, name)
    _refuse_if_known(arguments.site_file, name, arguments.certificate)
    pinned = keys.pin(arguments.certificate, destination)
    say(f"pinned {name}: {keys.fingerprint_text(pinned)}")
    say(f"compare it on the telephone with what `spikebridge fingerprint` says at {name}")
    left_days = keys.days_left(pinned, dt.datetime.now(dt.UTC))
    if warning := expiry_warning(f"the certificate of {name}", left_days):
        say(f"warning: {warning}")
    return ExitCode.OK


def revoke(arguments: argparse.Namespace) -> int:
    """Remove another site's pin."""
    gone = keys.unpin(_pin_of(arguments.site_file, arguments.peer))
    say(f"{arguments.peer} is no longer trusted here (it was {gone})")
    say("a running engine closes the link within a second; before the next start pin a new")
    say(f"certificate with `spikebridge trust`, or take {arguments.peer} out of [[peers]]")
    return ExitCode.OK


def _refuse_if_known(site_file: Path, name: str, certificate: Path) -> None:
    """Raise `KeyFileError` if a certificate is our own, or another peer's: nobody is two sites."""
    site = load_site(site_file)
    known = {"this site's own": certificate_file(site_file, site)} | {
        f"already pinned as {peer.site}'s": peer_certificate_file(site_file, site, peer.site)
        for peer in site.peers
        if peer.site != name
    }
    for whose, file in known.items():
        if file.exists() and keys.fingerprint(file) == keys.fingerprint(certificate):
            raise keys.KeyFileError(f"{certificate}: is {whose}; ask {name} for the one it made")


def _pin_of(site_file: Path, name: str) -> Path:
    """Return where a peer's certificate is pinned. Raises `ConfigError` if there is no such."""
    site = load_site(site_file)
    if not any(peer.site == name for peer in site.peers):
        known = ", ".join(p.site for p in site.peers) or "none"
        raise ConfigError(
            f"{site_file}: no peer {name!r} (peers: {known}); add it under [[peers]], "
            "or name it with --peer"
        )
    return peer_certificate_file(site_file, site, name)
