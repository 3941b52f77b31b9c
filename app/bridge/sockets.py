"""TCP sockets as links need them: non-blocking, without delay, with little room for old bytes."""

import ipaddress
import os
import socket
import threading
from collections.abc import Callable

USER_TIMEOUT_MS = 3000
NOTSENT_LOWAT_BYTES = 16_384
"""What is not sent yet waits in our ring, where it ages visibly, not in the kernel."""
_TCP_NOTSENT_LOWAT = 25

Endpoint = tuple[socket.AddressFamily, tuple[str, int]]


def listen(address: tuple[str, int]) -> socket.socket:
    """Return a listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def tune(sock: socket.socket) -> None:
    """Set what every connection of a link has. Raises OSError."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)


def check_connected(sock: socket.socket) -> None:
    """Raise the OSError with which an attempt to connect has ended, if it failed."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def literal(host: str, port: int) -> Endpoint | None:
    """Return the endpoint of a numeric address; None for a name, which must be looked up."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return (socket.AF_INET if version == 4 else socket.AF_INET6), (host, port)


def look_up(host: str, port: int, on_answer: Callable[[Endpoint | OSError], None]) -> None:
    """Ask the name service, which may take many seconds, on a thread of its own.

    `on_answer` is called from that thread, once. It is a daemon: the call cannot be cancelled and
    must not hold up an engine that ends.
    """

    def ask() -> None:
        try:
            (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            on_answer((family, (str(address[0]), int(address[1]))))
        except OSError as exc:
            on_answer(exc)

    threading.Thread(target=ask, name=f"look up {host}", daemon=True).start()
