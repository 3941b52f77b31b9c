"""Unix socket addresses of any length: the kernel allows 107 bytes, folders may be deeper."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Yield a name for `path` that is short enough, valid inside the block.

    It goes through a descriptor of the socket's folder (/proc/self/fd), so only the socket's own
    name counts.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def connect_unix(path: Path, timeout_s: float) -> socket.socket:
    """Return a connected stream socket. Raises OSError if nobody listens at `path`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        with short_address(path) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def listen_unix(path: Path) -> socket.socket:
    """Return a listening socket that only this user may reach (mode 0600).

    A socket file that a dead engine left behind is replaced; the rig's lock has made sure that
    the engine is dead.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        old_mask = os.umask(0o177)
        try:
            with short_address(path) as address:
                listener.bind(address)
        finally:
            os.umask(old_mask)
        listener.listen(8)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
