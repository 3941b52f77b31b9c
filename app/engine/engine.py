"""The one process of a site: what starts in which order, what ends in which order, and why."""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from app.console.server import ConsoleServer
from app.core.acquisition import Acquisition
from app.core.alert import TIME_LIMIT_S as ALERT_LIMIT_S
from app.core.chip_reader import ChipReader
from app.core.clock import utc_anchor
from app.core.worker import Worker
from app.engine.alerter import Alerter
from app.engine.amplifier_upkeep import AmplifierUpkeep
from app.engine.late_checker import LateChecker
from app.engine.parts import EngineParts
from app.engine.protocol_runner import ProtocolRunner
from app.exit_codes import ExitCode
from app.recording.errors import RecordingError
from app.recording.files import DiskFiles
from app.recording.sorting import sort_at_once
from app.safety.make_safe import make_all_safe
from drivers.safe_state import SafeReport, SafeState

log = logging.getLogger(__name__)

EMERGENCY = "emergency stop"
"""How the reason of a trip begins that a person asked for, here or at another site."""
JOIN_LIMIT_S = 3.0
DRAIN_LIMIT_S = 1.0


class Engine:
    """Starts sinks before sources, ends sources before sinks, and makes safe on every way out.

    `failed` may be called from any thread with the name of what failed; it trips the Gate at once
    and wakes `wait`.
    """

    def __init__(self) -> None:
        self.parts: EngineParts | None = None
        self.console: ConsoleServer | None = None
        self.watch: Worker | None = None
        self.protocol: ProtocolRunner | None = None
        self._wake = threading.Event()
        self._failure = ""
        self._lock = threading.Lock()
        self._started: list[Worker] = []
        self._are_sources_stopped = False
        self._switch_offs: deque[tuple[str, bool]] = deque()
        """Why, and whether the amplifier stops too."""
        self._is_ending = False
        self.safe_reports: Sequence[SafeReport] = ()
        """What the newest switching off achieved, by instrument."""
        self.switched_off: tuple[str, int] = ("", 0)
        """Why that was, and when (ns of site time)."""

    @property
    def failure(self) -> str:
        """Get what failed first; empty while all is well."""
        return self._failure

    def failed(self, name: str, exc: BaseException) -> None:
        """Note that a part failed: nothing may move any more, and the engine ends."""
        with self._lock:
            self._failure = self._failure or f"{name}: {str(exc) or type(exc).__name__}"
        parts = self.parts
        if parts is not None:
            parts.gate.trip(f"{name} failed: {exc}", parts.clock_ns())
        self._wake.set()

    @property
    def is_ending(self) -> bool:
        """Say whether an exit was asked for."""
        return self._is_ending

    def request_exit(self) -> None:
        """Ask the engine to end in order; safe in a signal handler."""
        self._is_ending = True
        self._wake.set()

    def tripped(self, reason: str) -> None:
        """Take the Gate's word that it tripped; called under its lock, so `wait` does the rest."""
        if not reason.startswith(EMERGENCY):  # who stops also switches off
            self._switch_offs.append((reason, False))
            self._wake.set()

    def stopped_by_peer(self, site: str) -> None:
        """Take the emergency stop of another site: trip now; `wait` switches off.

        Called by the thread of the links, which must not wait for an instrument.
        """
        parts = self._parts()
        parts.gate.trip(f"{EMERGENCY} at site {site}", parts.clock_ns())
        self._switch_offs.append((f"{EMERGENCY} at site {site}", True))
        self._wake.set()

    def wait(self) -> None:
        """Wait until something failed or an exit was asked for; meanwhile switch off what trips."""
        while not (self._is_ending or self._failure):
            self._wake.wait()
            self._wake.clear()
            while self._switch_offs and not self._failure:
                why, stops_amplifier = self._switch_offs.popleft()
                self._switch_off(why, stops_amplifier=stops_amplifier)
                self._call_for_help(f"tripped: {why}")

    def permanent_workers(self) -> list[Worker]:
        """Return the workers that run for as long as the engine does, but for its sources' end."""
        sources = (ProtocolRunner, Acquisition, ChipReader)
        # These wait for a person's command, for an instrument or for old files, however long.
        slow = (Alerter, AmplifierUpkeep, LateChecker)
        left_out = (*sources, *slow) if self._are_sources_stopped else slow
        return [w for w in self._started if not isinstance(w, left_out)]

    def start(self) -> None:
        """Start every part: record first, sources last."""
        parts = self._parts()
        for worker in self._sinks_first():
            self._started.append(worker)
            worker.start()
        can_record = parts.raw_writer is not None and parts.stream_format is not None
        if can_record and parts.site.is_recording_raw:
            self.record_raw(is_on=True)
        parts.ledger.utc()
        for report in self.safe_reports:
            text = f"{report.instrument}: {report.state.value} ({report.detail})"
            parts.ledger.note("engine", f"boot, outputs switched off: {text}")
        if parts.is_dry_run:
            parts.ledger.note("engine", "dry run: actuators are recorders, nothing moves")

    def record_raw(self, *, is_on: bool) -> None:
        """Start or stop the raw recording. Raises `RecordingError` if it cannot be."""
        parts = self._parts()
        if parts.raw_writer is None or parts.stream_format is None:
            raise RecordingError(f"site {parts.site.site} has no amplifier to record")
        if is_on:
            planned_s = parts.site.recording.planned_s
            parts.raw_writer.start_recording(parts.stream_format, planned_s)
        else:
            parts.raw_writer.stop_recording()

    def start_protocol(self, runner: ProtocolRunner) -> None:
        """Run a protocol; the caller has made sure that none runs."""
        self.protocol = runner
        runner.start()

    def stop_sources(self) -> None:
        """End what makes events; links and records go on with what is under way. Idempotent."""
        if self._are_sources_stopped:
            return
        self._are_sources_stopped = True
        parts = self._parts()
        sources: list[Worker] = [w for w in (self.protocol, parts.acquisition) if w is not None]
        self._end([*sources, *parts.chip_readers])

    def emergency_stop(self, who: str) -> list[SafeReport]:
        """Trip here and at every site that links reach, switch everything off, say what it did."""
        parts = self._parts()
        parts.gate.emergency_stop(who, parts.clock_ns())
        parts.links.announce_stop()
        return self._switch_off(f"{EMERGENCY} by {who}", stops_amplifier=True)

    def _switch_off(self, why: str, *, stops_amplifier: bool) -> list[SafeReport]:
        """Make safe and stay so until somebody acknowledges.

        An emergency stop stops the amplifier too, and no samples are expected. Any other trip
        leaves it running, so that the record goes on: it knows only finite trains, and no key is
        pressed while the Gate is tripped.
        """
        parts = self._parts()
        if stops_amplifier and parts.acquisition is not None:
            parts.acquisition.suspend()
        reports = self.make_safe(why, stops_amplifier=stops_amplifier)
        parts.ledger.arming(parts.gate.snapshot().state.value, "engine", why, parts.clock_ns())
        parts.links.publish_gate_state()
        return reports

    def reopen_instruments(self) -> None:
        """After an emergency stop was acknowledged: let instruments take permits again.

        Each is opened again by the thread that owns it; nothing moves before somebody arms.
        """
        parts = self._parts()
        for actuator in parts.actuators.values():
            actuator.request_reopen()
        for device in parts.devices:
            device.request_reopen()
        if parts.acquisition is not None and parts.acquisition.is_suspended:
            parts.acquisition.request_restart()

    def make_safe(self, why: str, *, stops_amplifier: bool = True) -> list[SafeReport]:
        """Switch everything off and record what that achieved."""
        parts = self._parts()
        going_on = None if stops_amplifier else parts.amplifier
        reports = make_all_safe([i for i in parts.instruments if i is not going_on])
        if going_on is not None:
            detail = "goes on recording; only finite trains exist, and no further one is started"
            reports.append(SafeReport(going_on.name, SafeState.BY_CONSTRUCTION, detail))
        self.safe_reports = reports
        self.switched_off = (why, parts.clock_ns())
        for report in reports:
            text = f"{report.instrument}: {report.state.value} ({report.detail})"
            log.warning("make safe (%s): %s", why, text)
            parts.ledger.note("engine", f"make safe ({why}): {text}")
        return reports

    def _call_for_help(self, what: str) -> None:
        """Run the operator's alert command; a stop that was pressed here needs none."""
        parts = self._parts()
        achieved = ", ".join(f"{r.instrument} {r.state.value}" for r in self.safe_reports)
        if parts.alerter is not None:
            parts.alerter.call(f"site {parts.site.site} {what}; outputs: {achieved or 'none'}")

    def stop(self) -> ExitCode:
        """End everything in order; return why the engine ended. The way out of every run."""
        parts = self._parts()
        parts.gate.disarm("engine", "the engine ends", parts.clock_ns())
        reports = self.make_safe(self._failure or "the engine ends")
        if self._failure:
            self._call_for_help(f"ends: {self._failure}")
        self.stop_sources()
        actuators = (*parts.actuators.values(), *parts.upkeep.values())
        workers = [parts.network, *parts.devices, *actuators]
        self._end([w for w in workers if w is not None])
        if parts.procedures is not None:
            self._end(parts.procedures.workers())
            parts.procedures.close()
        parts.links.drain(DRAIN_LIMIT_S)
        outer = (parts.late_checker, self.watch, self.console, parts.bridge)
        self._end([w for w in outer if w is not None])
        parts.close_instruments()
        parts.ledger.utc()
        if parts.alerter is not None:
            self._end([parts.alerter], JOIN_LIMIT_S + 2 * ALERT_LIMIT_S)
        if parts.raw_writer is not None:
            self._end([parts.raw_writer])  # its last word goes into the event log
        self._end([parts.event_log, parts.session_log])
        raw_is_whole = parts.raw_writer is None or not parts.raw_writer.is_incomplete
        is_whole = raw_is_whole and not parts.event_log.status().failure
        if is_whole:
            _sort(parts.session.folder)
        parts.session.close(utc_anchor(), is_whole=is_whole)
        if any(report.state is SafeState.FAILED for report in reports):
            return ExitCode.UNSAFE
        return ExitCode.WORKER if self._failure else ExitCode.OK

    def _parts(self) -> EngineParts:
        if self.parts is None:
            raise RuntimeError("the engine has not been composed")
        return self.parts

    def _sinks_first(self) -> list[Worker]:
        parts = self._parts()
        order: list[Worker | None] = [
            parts.session_log,
            parts.event_log,
            parts.alerter,
            parts.raw_writer,
            parts.network,
            *parts.actuators.values(),
            *parts.upkeep.values(),
            *parts.devices,
            parts.bridge,
            self.watch,
            self.console,
            *parts.chip_readers,
            parts.acquisition,
            parts.late_checker,
        ]
        return [worker for worker in order if worker is not None]

    def _end(self, workers: Sequence[Worker], limit_s: float = JOIN_LIMIT_S) -> None:
        """Stop workers that were started; name each that does not end."""
        for worker in workers:
            worker.request_stop()
        for worker in workers:
            if not worker.join(limit_s):
                log.error("%s did not end within %g s", worker.name, limit_s)
                self._failure = self._failure or f"{worker.name} did not end"


def _sort(folder: Path) -> None:
    """Give a closed session its sorting folder; without it nothing is lost."""
    try:
        sort_at_once(folder, DiskFiles())
    except (RecordingError, OSError):
        log.exception("%s: own spikes are not sorted; `spikebridge export` can", folder.name)
