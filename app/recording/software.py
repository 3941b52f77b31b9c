"""Which software wrote a session."""

import importlib.metadata
import platform
import sqlite3


def software_versions() -> dict[str, str]:
    """Return the versions that a reader of the session may need to know."""
    names = ("spikebridge", "numpy", "numba", "msgspec", "cryptography", "pyserial", "pyzmq")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {
        **versions,
        "sqlite": sqlite3.sqlite_version,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
