"""`spikebridge run`: start an engine, watch it, and make the rig safe when it dies.

The engine is a process of its own, so that whatever kills it leaves somebody who can still switch
outputs off. It proves that it lives by a byte a second on a pipe, sent only while its parts move;
each such byte, no timer, pushes systemd's watchdog back. While it starts it sends one for each step
instead, so that a slow start is told from a hung one. It learns of our death by the end of its
standard input. It is never started again by program: a trip means stop, and arming is a person's.
"""

import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.config.load import load_site
from app.config.site import Site
from app.core.alert import run_alert
from app.core.heartbeat import ALIVE, START_SILENCE_S, Patience
from app.core.real_time import leave_real_time, take_real_time
from app.core.systemd import SystemdNotifier
from app.exit_codes import ExitCode
from app.mock_rig import MockRig
from app.run_folder import RigLock, RunFolder

log = logging.getLogger(__name__)

STOP_LIMIT_S = 8.0
SAFE_OFF_LIMIT_S = 20.0
"""It gives instruments up by itself after some seconds, and takes 0.6 s to load; in ordinary
scheduling on a busy machine that took 26 s (measured), in real time no longer than else."""
ORDERLY = frozenset(
    {ExitCode.OK, ExitCode.USAGE, ExitCode.INSTRUMENT, ExitCode.WORKER, ExitCode.UNSAFE}
)
"""Exit codes with which an engine says that it made its instruments safe itself, or never had
them; any other end is a death."""


CALLS_FOR_HELP = {
    ExitCode.ENGINE_DIED: "the engine died; the supervisor switched all outputs off",
    ExitCode.UNSAFE: "NOT every output could be switched off; look at the rig",
}


def supervise(site_file: Path, engine_arguments: Sequence[str], *, is_mock: bool) -> ExitCode:
    """Run the engine of a site until it ends or a signal stops it; return why it ended."""
    site = load_site(site_file)
    folder = RunFolder(site_file, site)
    folder.make()
    with ExitStack() as stack:
        lock = stack.enter_context(RigLock(folder.lock))
        folder.addresses.unlink(missing_ok=True)
        if is_mock:
            rig = MockRig()
            stack.callback(rig.stop)
            rig.start(site)
            folder.write_json(folder.addresses, rig.addresses)
            folder.write_json(folder.mocks, _mock_facts(rig))
            stack.callback(folder.addresses.unlink, missing_ok=True)
            stack.callback(folder.mocks.unlink, missing_ok=True)
        watch = _Watch(site_file, site, engine_arguments, lock.fileno())
        code = watch.run()
        if code in CALLS_FOR_HELP and site.alert_command:
            run_alert(site.alert_command, site.site, f"site {site.site}: {CALLS_FOR_HELP[code]}")
        return code


def _mock_facts(rig: MockRig) -> dict[str, object]:
    return {name: {**ready, "pid": rig.processes[name].pid} for name, ready in rig.truth.items()}


class _Watch:
    """One engine's life, from start to safe."""

    def __init__(
        self,
        site_file: Path,
        site: Site,
        engine_arguments: Sequence[str],
        lock: int,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site_file = site_file
        self._site = site
        self._systemd = SystemdNotifier.from_environment()
        self._lock = lock
        self._arguments = engine_arguments
        self._clock_s = clock_s
        self._stop_signal: int | None = None

    def run(self) -> ExitCode:
        read_end, write_end = os.pipe()
        command = [
            sys.executable, "-m", "app.cli", "engine", str(self._site_file), *self._arguments,
            "--heartbeat-fd", str(write_end),
        ]  # fmt: skip
        with _signals_noted(self):
            # The engine holds the rig's lock too: it may outlive us by the time it takes to stop.
            inherited = (write_end, self._lock)
            engine = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=inherited)
            os.close(write_end)
            try:
                self._watch(engine, read_end)
            finally:
                os.close(read_end)
                if engine.stdin is not None:
                    engine.stdin.close()
            return self._verdict(engine)

    def note_signal(self, number: int) -> None:
        self._stop_signal = number

    def _watch(self, engine: "subprocess.Popen[bytes]", heartbeats: int) -> None:
        patience = Patience(self._clock_s())
        while engine.poll() is None:
            if self._stop_signal is not None:
                self._stop(engine)
                return
            if select.select([heartbeats], [], [], 0.1)[0]:
                said = os.read(heartbeats, 4096)
                if not said:
                    engine.wait()  # the pipe ends with the process
                    return
                self._pass_on(said, patience)
            why = patience.why_over(self._clock_s())
            if why:
                log.error("engine %s: killed", why)
                engine.kill()
                engine.wait()
                return

    def _pass_on(self, said: bytes, patience: Patience) -> None:
        was_starting = patience.is_starting
        patience.heard(said, self._clock_s())
        if patience.is_starting:
            self._systemd.starting(START_SILENCE_S)
            return
        if was_starting:
            self._systemd.ready()
            self._systemd.status(f"site {self._site.site} runs")
            _say(f"site {self._site.site} runs, disarmed; Ctrl-C ends it in order")
        if ALIVE in said:
            self._systemd.alive()

    def _stop(self, engine: "subprocess.Popen[bytes]") -> None:
        self._systemd.stopping()
        engine.send_signal(signal.SIGTERM)
        try:
            engine.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            log.error("engine did not stop within %g s: killed", STOP_LIMIT_S)  # noqa: TRY400
            engine.kill()
            engine.wait()

    def _verdict(self, engine: "subprocess.Popen[bytes]") -> ExitCode:
        code = engine.returncode
        if code in ORDERLY:
            return ExitCode(code)
        self._systemd.alive()  # safe-off may take as long as the watchdog waits
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        log.error("engine died (%s): switching outputs off", how)
        command = [sys.executable, "-m", "app.cli", "safe-off", str(self._site_file)]
        take_real_time()  # if it may: nothing on this machine is more urgent now
        try:
            done = subprocess.run(command, timeout=SAFE_OFF_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            log.error("safe-off did not end within %g s", SAFE_OFF_LIMIT_S)  # noqa: TRY400
            return ExitCode.UNSAFE
        finally:
            leave_real_time()
        return ExitCode.ENGINE_DIED if done.returncode == 0 else ExitCode.UNSAFE


def _say(sentence: str) -> None:
    print(f"spikebridge: {sentence}", file=sys.stderr)  # noqa: T201 - for whoever started it


@contextmanager
def _signals_noted(watch: _Watch) -> Iterator[None]:
    """Turn SIGTERM, SIGINT and SIGHUP into a request to stop, for as long as the engine runs."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    old = {n: signal.signal(n, lambda got, _frame: watch.note_signal(got)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
