"""Where the files that `site.toml` speaks of lie; relative paths count from its own folder."""

from pathlib import Path

from app.config.site import Site


def key_file(site_file: Path, site: Site) -> Path:
    """Return where this site's private key lies."""
    return site_file.parent / site.key_folder / f"{site.site}.key"


def certificate_file(site_file: Path, site: Site) -> Path:
    """Return where this site's own certificate lies."""
    return site_file.parent / site.key_folder / f"{site.site}.crt"


def peer_certificate_file(site_file: Path, site: Site, peer: str) -> Path:
    """Return where a peer's pinned certificate lies."""
    configured = next(p.certificate for p in site.peers if p.site == peer)
    if configured is not None:
        return site_file.parent / configured
    return site_file.parent / site.key_folder / "peers" / f"{peer}.crt"


def history_file(site_file: Path, site: Site) -> Path:
    """Return the file that counts what electrodes and devices received over all sessions."""
    return site_file.parent / f"{site.site}.history.sqlite"


def session_root(site_file: Path, site: Site) -> Path:
    """Return the folder that holds the site's session folders."""
    return site_file.parent / site.session_folder
