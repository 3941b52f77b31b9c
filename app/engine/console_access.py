"""Who may attach a console over the network: the operators whose keys `site.toml` names."""

from pathlib import Path

from app.bridge.tls import TlsIdentity
from app.config.load import ConfigError
from app.config.paths import certificate_file, key_file
from app.config.site import Site
from app.console.server import NetworkAccess


def console_access(site_file: Path, site: Site) -> NetworkAccess | None:
    """Return where consoles may attach; None if the site file opens no port for them.

    Raises
    ------
    ConfigError
        A port is open and no operator has a certificate.
    KeyFileError
        A key or certificate is missing or damaged.
    """
    if site.console_listen is None:
        return None
    operators = {
        operator.name: site_file.parent / operator.certificate
        for operator in site.operators
        if operator.certificate is not None
    }
    if not operators:
        raise ConfigError(
            f"site {site.site}: console_listen is set, but no operator has a certificate; name "
            "one under [[operators]] (see `spikebridge operator-key`), or remove console_listen"
        )
    identity = TlsIdentity(key_file(site_file, site), certificate_file(site_file, site), operators)
    return NetworkAccess(site.console_listen.host, site.console_listen.port, identity)
