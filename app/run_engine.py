"""`spikebridge engine`: one engine's life, from the first connection to the exit code."""

import gc
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import chain

from app.bridge.keys import KeyFileError
from app.compose.compose import compose
from app.compose.ground import EngineFiles
from app.compose.kernels import StartCancelledError, make_kernels_ready
from app.config.load import ConfigError
from app.config.paths import history_file
from app.console.server import ConsoleServer, NetworkAccess
from app.core.clock import monotonic_ns
from app.core.heartbeat import Heartbeat
from app.core.real_time import PRIORITY, take_real_time
from app.core.worker import Worker
from app.dry_run import as_recorders
from app.engine.console_access import console_access
from app.engine.engine import Engine
from app.engine.expiry_watch import ExpiryWatch
from app.engine.metrics import MetricsServer, served
from app.engine.operator_commands import OperatorCommands
from app.engine.parts import EngineParts
from app.engine.process import ParentWatch, ended_by_signals
from app.engine.program_log import ProgramLogHandler
from app.engine.status import engine_status
from app.engine.watch import (
    AMPLIFIER_LEASE,
    AMPLIFIER_LIMIT_NS,
    CONSOLE_LEASE,
    EVENT_LOG_LEASE,
    IsAlive,
    Watch,
)
from app.exit_codes import ExitCode
from app.instruments import Rig, open_all, patterns_of, rig_at_hand
from app.recording.disk import Disk
from app.recording.errors import RecordingError
from app.recording.event_log import EventLog
from app.recording.history import DoseHistory
from app.recording.raw_writer import RawWriter
from app.recording.session_log import SessionLog
from app.run_folder import RigLock, RunFolder
from app.safety.actuator_worker import ActuatorWorker
from app.safety.leases import link_lease
from app.safety.make_safe import make_all_safe
from app.synapse.device_worker import DeviceWorker
from drivers.errors import InstrumentError
from drivers.safe_state import SafeReport, SafeState

log = logging.getLogger(__name__)

STUCK_NS = 3_000_000_000
"""A worker whose last step ended longer ago than this does not move any more."""
WAIT_FOR_DISK = (RawWriter, EventLog, SessionLog)
DISK_STUCK_NS = 30_000_000_000
"""Those may stand still with a disk: samples and events wait in memory, and what is not audited is
not delivered. A disk that hangs longer than any ring is a failure like another."""
COMMIT_THEMSELVES = (ActuatorWorker, DeviceWorker)
"""Those write the audit row of their request: a disk may hold them while the log is written."""


SWITCH_INTERVAL_S = 0.5e-3
"""How long a thread may hold the interpreter while others wait. Python's 5 ms would be the loop's
whole latency."""


class UnsafeAtBootError(Exception):
    """An instrument's outputs could not be switched off before anything began."""


WHY_NO_START: Mapping[ExitCode, tuple[type[Exception], ...]] = {
    ExitCode.UNSAFE: (UnsafeAtBootError,),
    ExitCode.INSTRUMENT: (InstrumentError,),
    ExitCode.USAGE: (ConfigError, KeyFileError, ValueError),
    ExitCode.FAILED: (RecordingError, OSError),
}
"""What a user can do something about, by the code that says so; the first that fits."""


def run_engine(
    files: EngineFiles,
    *,
    is_mock: bool,
    heartbeat_fd: int | None,
    is_dry_run: bool = False,
    disk: Disk | None = None,
) -> ExitCode:
    """Run the engine of a site until it is told to end or something fails.

    `disk` is what it records through, if not the operating system.
    """
    folder = RunFolder(files.site_file, files.site)
    folder.make()
    engine = Engine()
    heartbeat = Heartbeat(heartbeat_fd)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals(engine.request_exit))
        if heartbeat_fd is None:  # else the supervisor holds the lock, and so do we
            stack.enter_context(RigLock(folder.lock))
        rig = rig_at_hand(files.site_file, files.site)
        if is_dry_run:
            rig = as_recorders(rig)
        stack.callback(rig.close)
        failures = open_all(rig)
        if failures:
            for failure in failures:
                _say(failure)
            return ExitCode.INSTRUMENT
        try:
            heartbeat.starting()
            engine.safe_reports = _boot(rig, files)
            heartbeat.starting()
            network = console_access(files.site_file, files.site)
            if rig.amplifiers:
                make_kernels_ready(engine, heartbeat, _say)
            parts = compose(
                files,
                rig,
                engine,
                is_mock=is_mock,
                is_dry_run=is_dry_run,
                on_step=heartbeat.starting,
                disk=disk or Disk(),
            )
            metrics = _metrics(engine, parts)
        except StartCancelledError:
            return ExitCode.OK
        except tuple(chain.from_iterable(WHY_NO_START.values())) as exc:
            _say(str(exc))
            return next(code for code, kinds in WHY_NO_START.items() if isinstance(exc, kinds))
        said = ProgramLogHandler(parts.feed, parts.event_log.append, monotonic_ns)
        for handler in (said, parts.session_log.handler):
            logging.getLogger().addHandler(handler)
            stack.callback(logging.getLogger().removeHandler, handler)
        with served(metrics):
            return _run(engine, parts, files, heartbeat, network)


def _metrics(engine: Engine, parts: EngineParts) -> MetricsServer | None:
    """Return what shows metrics, if the site wants any. Raises OSError."""
    if parts.site.metrics is None:
        return None
    server = MetricsServer(parts.site.metrics, engine.failed)
    server.show(lambda: engine_status(engine, parts), parts.session.folder)
    return server


def _boot(rig: Rig, files: EngineFiles) -> list[SafeReport]:
    """Switch everything off before anything else, then upload the patterns. Nothing moves.

    Raises
    ------
    UnsafeAtBootError
        An output could not be switched off: a person must look before anything goes on.
    """
    reports = make_all_safe(rig.all())
    for report in reports:
        log.info("boot: %s: %s (%s)", report.instrument, report.state.value, report.detail)
        if report.state is SafeState.FAILED:
            raise UnsafeAtBootError(
                f"{report.instrument}: cannot be switched off at the start ({report.detail}); "
                "look at the instrument"
            )
    # A driver that was made safe takes no permit until it is opened again.
    for driver in rig.all():
        driver.open()
    for amplifier in files.site.amplifiers:
        rig.amplifiers[amplifier.name].prepare(patterns_of(amplifier))
    return reports


def _run(
    engine: Engine,
    parts: EngineParts,
    files: EngineFiles,
    heartbeat: Heartbeat,
    network: NetworkAccess | None,
) -> ExitCode:
    folder = RunFolder(files.site_file, files.site)
    commands = OperatorCommands(engine, parts)
    engine.parts = parts
    engine.console = ConsoleServer(
        folder.console_socket,
        commands,
        engine.failed,
        feed=parts.feed,
        network=network,
    )
    expiry = ExpiryWatch(
        lambda: {
            "certificate_days_left": parts.links.own_certificate_days_left,
            "links": parts.links.status(monotonic_ns()),
        },
        monotonic_ns,
    )

    def anchor() -> None:
        parts.ledger.utc()
        expiry.look()

    engine.watch = Watch(
        parts.gate,
        _lease_sources(parts, commands),
        _health(engine, parts.event_log),
        beat=heartbeat.alive,
        anchor=anchor,
        clock_ns=monotonic_ns,
        on_failure=engine.failed,
    )
    parent: Worker | None = None
    if heartbeat.is_heard:
        parent = ParentWatch(engine.request_exit, engine.failed)
    try:
        parts.gate.boot_done(monotonic_ns())
        _leave_out_of_garbage_collection()
        _run_in_real_time()
        engine.start()
        expiry.look()
        if parent is not None:
            parent.start()
        folder.write_json(folder.engine, _facts(parts))
        engine.wait()
    except BaseException as exc:  # noqa: BLE001 - whatever it is, everything must be switched off
        engine.failed("engine", exc)
    finally:
        folder.engine.unlink(missing_ok=True)
        if parent is not None:
            parent.request_stop()
        code = engine.stop()
        if parent is not None:
            parent.join(1.0)
    _keep_doses(files, parts)
    if engine.failure:
        _say(f"stopped: {engine.failure}")
    return code


def _keep_doses(files: EngineFiles, parts: EngineParts) -> None:
    """Take this session into the dose history; what fails here is done at the next start."""
    try:
        with DoseHistory(history_file(files.site_file, files.site)) as history:
            history.take_session(parts.session.folder)
    except RecordingError:
        log.exception("the doses of this session are taken in at the next start")


def _leave_out_of_garbage_collection() -> None:
    """Take all that exists now out of the collector's work.

    Modules and the compiled kernel are some 140,000 objects that live as long as the process; one
    full collection over them holds every thread for 45 to 70 ms (measured), without them for 5 us.
    """
    gc.collect()
    gc.freeze()


def _run_in_real_time() -> None:
    """Have all threads that start from now on run before the host's other programs."""
    refused = take_real_time()
    if refused is None:
        log.info("real-time scheduling, priority %d", PRIORITY)
    else:
        log.info("ordinary scheduling (%s): other programs can delay a spike by ms", refused)


def _lease_sources(parts: EngineParts, commands: OperatorCommands) -> dict[str, IsAlive]:
    sources: dict[str, IsAlive] = {
        EVENT_LOG_LEASE: lambda _now_ns: parts.event_log.is_writable,
        CONSOLE_LEASE: commands.renew_unattended,
    }
    acquisition = parts.acquisition
    if acquisition is not None:
        sources[AMPLIFIER_LEASE] = lambda now_ns: (
            now_ns - acquisition.status.last_block_ns <= AMPLIFIER_LIMIT_NS
        )
    for peer in parts.site.peers:
        sources[link_lease(peer.site)] = _link_is_fresh(parts, peer.site)
    return sources


def _link_is_fresh(parts: EngineParts, peer: str) -> IsAlive:
    return lambda now_ns: parts.links.is_fresh(peer, now_ns)


def _health(engine: Engine, event_log: EventLog) -> dict[str, IsAlive]:
    def all_move(now_ns: int) -> bool:
        is_writing = event_log.is_writing
        return all(
            worker.is_alive
            and now_ns - worker.last_step_ns < stuck_after_ns(worker, is_log_writing=is_writing)
            for worker in engine.permanent_workers()
        )

    return {"workers": all_move}


def stuck_after_ns(worker: Worker, *, is_log_writing: bool) -> int:
    """Return how long ago a worker's last step may have ended."""
    may_wait = isinstance(worker, WAIT_FOR_DISK) or (
        is_log_writing and isinstance(worker, COMMIT_THEMSELVES)
    )
    return DISK_STUCK_NS if may_wait else STUCK_NS


def _facts(parts: EngineParts) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "site": parts.site.site,
        "listen_port": parts.links.listen_port,
        "session_folder": str(parts.session.folder),
    }


def _say(sentence: str) -> None:
    print(f"spikebridge: {sentence}", file=sys.stderr)  # noqa: T201 - for whoever started it
