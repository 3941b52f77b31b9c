"""Engines that a window starts, as `spikebridge run` would: they outlive it unless told not to."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from app.config.load import load_site
from app.console.unix_address import connect_unix
from app.core.child_process import wait_or_kill
from app.run_folder import RunFolder

END_LIMIT_S = 20.0
N_TOLD_LINES = 3


@dataclass(slots=True)
class _Started:
    name: str
    process: "subprocess.Popen[bytes]"
    log_file: Path
    is_told: bool = False


class StartedEngines:
    """Finds or starts engines of this machine, and notices when one that it started has ended."""

    def __init__(self) -> None:
        self._started: list[_Started] = []

    @property
    def has_own(self) -> bool:
        """Say whether any engine was started from here."""
        return bool(self._started)

    def ensure(
        self, site_file: Path, *, experiment: Path | None, is_mock: bool, may_start: bool
    ) -> tuple[str, Path]:
        """Return a site's name and console socket; start its engine if none answers there.

        Raises `ConfigError` if the site file is not well.
        """
        site = load_site(site_file)
        folder = RunFolder(site_file, site)
        if may_start and not _answers(folder.console_socket):
            folder.make()
            command = [sys.executable, "-m", "app.cli", "--log-level", "info", "run"]
            command.append(str(site_file))
            if experiment is not None:
                command += ["--experiment", str(experiment)]
            if is_mock:
                command.append("--mock")
            log_file = folder.path / f"{site.site}.log"
            with log_file.open("ab") as log:
                # A session of its own: Ctrl-C in the window's terminal is not for the engine.
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._started.append(_Started(site.site, process, log_file))
        return site.site, folder.console_socket

    def ended(self) -> list[str]:
        """Return a sentence for each engine that has ended since the last call."""
        sentences = []
        for engine in self._started:
            code = engine.process.poll()
            if code is None or engine.is_told:
                continue
            engine.is_told = True
            said = _last_lines(engine.log_file) or "it said nothing"
            sentences.append(
                f"The engine of site {engine.name} has ended (code {code}): {said}. "
                f"Everything it said is in {engine.log_file}."
            )
        return sentences

    def end(self) -> None:
        """End the engines that were started here, in order; return when they have ended."""
        for engine in self._started:
            if engine.process.poll() is None:
                engine.process.terminate()
        for engine in self._started:
            wait_or_kill(engine.process, END_LIMIT_S)


def _answers(socket_file: Path) -> bool:
    try:
        connect_unix(socket_file, 1.0).close()
    except OSError:
        return False
    return True


def _last_lines(log_file: Path) -> str:
    try:
        lines = log_file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    told = [line for line in lines if line.strip()]
    return " / ".join(told[-N_TOLD_LINES:])
