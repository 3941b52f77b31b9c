"""`keygen`, `fingerprint`, `trust`, `revoke`: a site's own key, and the peers that it pins."""

import argparse
from pathlib import Path

from app.bridge import keys
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
    pinned = keys.pin(arguments.certificate, _pin_of(arguments.site_file, name))
    say(f"pinned {name}: {keys.fingerprint_text(pinned)}")
    return ExitCode.OK


def revoke(arguments: argparse.Namespace) -> int:
    """Remove another site's pin."""
    gone = keys.unpin(_pin_of(arguments.site_file, arguments.peer))
    say(f"{arguments.peer} is no longer trusted here (it was {gone})")
    say("a running engine closes the link within a second; before the next start pin a new")
    say(f"certificate with `spikebridge trust`, or take {arguments.peer} out of [[peers]]")
    return ExitCode.OK


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
