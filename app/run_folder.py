"""The short-lived files of a running rig: lock, addresses, console socket, who runs."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.config.site import Site
from app.core.lock_holder import holder_of, told_by


class RigBusyError(Exception):
    """Another engine runs this rig."""


class RunFolder:
    """Where a site keeps what only lives while it runs. Made with mode 0700."""

    def __init__(self, site_file: Path, site: Site) -> None:
        self.path = (site_file.parent / site.run_folder).resolve()
        self.console_socket = self.path / f"{site.site}.sock"
        self.addresses = self.path / f"{site.site}.addresses.json"
        self.mocks = self.path / f"{site.site}.mocks.json"
        self.engine = self.path / f"{site.site}.engine.json"
        self.lock = self.path / f"{site.site}.lock"

    def make(self) -> None:
        """Create the folder if it is not there."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write a file so that a reader sees all of it or none."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")
        part.replace(path)

    def read_addresses(self) -> dict[str, dict[str, Any]]:
        """Return the addresses of the mocks that run; empty without mock mode."""
        if not self.addresses.exists():
            return {}
        content: dict[str, dict[str, Any]] = json.loads(self.addresses.read_text("utf-8"))
        return content


class RigLock:
    """Held by the one engine of a rig; the kernel frees it when the process ends, however."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def holder(self) -> str | None:
        """Return the process id of the rig's engine or supervisor; None: nobody runs it."""
        if not self._path.exists():
            return None
        return holder_of(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC))

    def __enter__(self) -> Self:
        """Take the lock. Raises `RigBusyError`."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = told_by(self._file)
            os.close(self._file)
            raise RigBusyError(
                f"another engine (process {holder}) runs this rig; stop it first ({self._path})"
            ) from exc
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)
        return self

    def fileno(self) -> int:
        """Return the locked file's descriptor, for a child that shall hold the lock too."""
        return self._file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)
