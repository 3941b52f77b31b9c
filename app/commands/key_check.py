"""What `check` says of a site's keys: those that are missing, spoilt, or end soon."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from app.bridge.expiry import expiry_warning
from app.bridge.keys import KeyFileError, days_left
from app.bridge.tls import TlsIdentity
from app.config.paths import certificate_file, key_file, peer_certificate_file
from app.config.site import Site


def key_conflicts(path: Path, site: Site) -> list[str]:
    """Return why the engine would refuse the keys that are there; files that are not: warnings."""
    peers = {p.site: peer_certificate_file(path, site, p.site) for p in site.peers}
    own = key_file(path, site), certificate_file(path, site)
    if not (site.peers and all(file.exists() for file in own)):
        return []
    try:
        TlsIdentity(*own, {name: file for name, file in peers.items() if file.exists()})
    except KeyFileError as exc:
        return [f"site {site.site}: {exc}"]
    return []


def key_warnings(path: Path, site: Site) -> list[str]:
    """Return what is missing, which a partner's site need not have here, and what ends soon."""
    return [*_missing(path, site), *_ending(path, site)]


def _missing(path: Path, site: Site) -> Iterator[str]:
    if not site.peers:
        return
    for file in (key_file(path, site), certificate_file(path, site)):
        if not file.exists():
            yield f"site {site.site}: no {file}; make it with `spikebridge keygen`"
    for peer in site.peers:
        pinned = peer_certificate_file(path, site, peer.site)
        if not pinned.exists():
            yield (
                f"site {site.site}: no certificate of {peer.site} is pinned ({pinned}), and the "
                "engine does not start without; pin it with `spikebridge trust`"
            )


def _ending(path: Path, site: Site) -> Iterator[str]:
    files = {f"site {site.site}: its own certificate": certificate_file(path, site)}
    for peer in site.peers:
        what = f"site {site.site}: the certificate of {peer.site}"
        files[what] = peer_certificate_file(path, site, peer.site)
    for operator in site.operators:
        if operator.certificate is not None:
            what = f"site {site.site}: the certificate of operator {operator.name}"
            files[what] = path.parent / operator.certificate
    now = dt.datetime.now(dt.UTC)
    for what, file in files.items():
        try:
            warning = expiry_warning(what, days_left(file, now))
        except KeyFileError:
            continue  # missing, or spoilt: said already
        if warning:
            yield warning
