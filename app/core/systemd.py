"""What a service says to systemd: one datagram a word, no package needed (sd_notify(3))."""

import os
import socket


class SystemdNotifier:
    """Speaks to the service manager that started this process; silent if none did."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    @classmethod
    def from_environment(cls) -> "SystemdNotifier":
        """Return one that speaks to `$NOTIFY_SOCKET`, and keep children from doing so."""
        return cls(os.environ.pop("NOTIFY_SOCKET", None))

    def ready(self) -> None:
        """Say that start-up has ended well."""
        self._say("READY=1")

    def starting(self, next_within_s: float) -> None:
        """Say that start-up goes on; it may take longer if this comes again within that time."""
        self._say(f"EXTEND_TIMEOUT_USEC={round(next_within_s * 1e6)}")

    def alive(self) -> None:
        """Push the watchdog's deadline back. Only whoever has proof of health may call it."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._say("STOPPING=1")

    def status(self, text: str) -> None:
        """Show a line in `systemctl status`."""
        self._say(f"STATUS={text}")

    def _say(self, word: str) -> None:
        if self._address is None:
            return
        name = self._address
        address = f"\0{name[1:]}" if name.startswith("@") else name
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto(word.encode(), address)
        except OSError:
            return  # a manager that does not listen will notice by its own watchdog
