"""A bench session: one instrument of a site, its Gate, and a session folder with everything.

A notebook needs five lines: see `docs/bench.md`.
"""

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from app.bench.abort import Abort, PatientCalls
from app.bench.adoption import adopt
from app.bench.array_view import ArrayView, array_file
from app.bench.bench import Bench, BenchSeams
from app.bench.errors import BenchError
from app.bench.keeping import line_of
from app.bench.progress import Progress
from app.config.load import ConfigError, as_toml, load_site
from app.config.paths import history_file, session_root
from app.config.site import Site, Smu
from app.core.clock import clock_identity, monotonic_ns, utc_anchor
from app.core.input_log import InputLog
from app.core.measured import Point
from app.core.spikes import Provenance
from app.engine.ledger import Ledger
from app.engine.past_doses import tell_past
from app.instruments import profiles_of, provenance_of
from app.mock_rig import MockRig, with_addresses
from app.recording.event_log import EventLog
from app.recording.history import DoseHistory, PastDose
from app.recording.session import BENCH_POINTS_NAME, Session, create_session
from app.recording.software import software_versions
from app.run_folder import RigLock, RunFolder
from app.safety.gate import Gate
from app.safety.profiles import limits_in_force
from app.signed_site import SignedSite, load_signed_site, tell_limits_end
from app.smu_drivers import make_smu
from drivers.errors import InstrumentError
from drivers.safe_state import SafeReport
from drivers.smu.protocol import DeviceAddress, Reading, SourceMeasureUnit

log = logging.getLogger(__name__)

ARMED_S = 8 * 3600.0
FORMING_S = 600.0
JOIN_LIMIT_S = 10.0
Confirm = Callable[[str], bool]
"""Shows a person what will be armed and says whether the person agrees."""


@dataclass(slots=True)
class OpenBench:
    """What `open_session` gives: the bench, and what belongs to its session."""

    bench: Bench
    folder: Path
    smu: Smu
    arm_forming: Callable[[str], None]
    note: Callable[[str], None]
    """Takes a sentence into the record."""
    begin_safe: Callable[[], None]
    """Begins to switch the output off, and waits for nothing: first on every way out."""
    mocks: MockRig | None = None
    """The simulated instrument, for who wants to know what really happened."""


@contextlib.contextmanager
def open_bench(
    site_file: Path,
    *,
    who: str,
    reason: str,
    smu: str | None = None,
    is_mock: bool = False,
    confirm: Confirm = lambda _: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Iterator[Bench]:
    """Open a site's source-measure unit for procedures; see `open_session`."""
    with open_session(
        site_file,
        who=who,
        reason=reason,
        smu=smu,
        is_mock=is_mock,
        confirm=confirm,
        on_progress=on_progress,
    ) as session:
        yield session.bench


@contextlib.contextmanager
def open_session(
    site_file: Path,
    *,
    who: str,
    reason: str,
    smu: str | None = None,
    is_mock: bool = False,
    confirm: Confirm = lambda _: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Iterator[OpenBench]:
    """Take a site's rig, arm it, and give a bench; leave with the output off, whatever happens.

    `smu` names the instrument where there are several. On real instruments `confirm` must agree to
    the arming, and `who` must be an operator of the site.

    Raises
    ------
    ConfigError
        The site's files or limits are not in order.
    RigBusyError
        An engine or another bench has the rig.
    BenchError
        The instrument does not answer, or the Gate does not arm.
    """
    signed = load_signed_site(site_file, is_mock=is_mock)
    if signed.conflicts:
        raise ConfigError("; ".join(signed.conflicts))
    with ExitStack() as stack:
        folder = RunFolder(site_file, signed.site)
        folder.make()
        stack.enter_context(RigLock(folder.lock))
        site = _only(signed.site, smu)
        mocks = MockRig() if is_mock else None
        if mocks is not None:
            stack.callback(mocks.stop)
            mocks.start(site)
            site = with_addresses(site, mocks.addresses)
        (chosen,) = site.smus
        driver = make_smu(chosen)
        stack.callback(driver.close)
        _boot(driver)
        opening = _Opening(
            site_file, site, signed, chosen, _only(load_site(site_file), chosen.name), is_mock
        )
        opened = opening.compose(stack, driver, who, reason, confirm, on_progress)
        opened.mocks = mocks
        yield opened


def _only(site: Site, name: str | None) -> Site:
    """Return the site with one source-measure unit and nothing else that could move."""
    smus = [smu for smu in site.smus if name in (None, smu.name)]
    if len(smus) != 1:
        known = ", ".join(smu.name for smu in site.smus) or "none"
        raise ConfigError(f"site {site.site}: name one source-measure unit with --smu: {known}")
    return msgspec.structs.replace(site, amplifiers=(), chips=(), smus=tuple(smus))


def _boot(driver: SourceMeasureUnit) -> None:
    """Switch the output off before anything else; then open, which takes back that it was shut."""
    report = driver.make_safe()
    log.info("boot: %s: %s (%s)", report.instrument, report.state.value, report.detail)
    try:
        driver.open()
    except InstrumentError as exc:
        raise BenchError(f"{driver.name}: does not answer: {exc}") from exc


@dataclass(frozen=True, slots=True)
class _Opening:
    """Puts a session together, each part ended by the stack in the opposite order."""

    site_file: Path
    site: Site
    signed: SignedSite
    smu: Smu
    configured: Site
    """As in the file, with this instrument alone: what the Gate's limits are read from."""
    is_mock: bool

    def compose(
        self,
        stack: ExitStack,
        driver: SourceMeasureUnit,
        who: str,
        reason: str,
        confirm: Confirm,
        on_progress: Callable[[Progress], None],
    ) -> OpenBench:
        """Return the open bench."""
        provenance = provenance_of(self.site, is_mock=self.is_mock)
        with DoseHistory(history_file(self.site_file, self.site)) as history:
            unread = history.take_in(session_root(self.site_file, self.site), self.site.site)
            past = history.doses(), unread
        session = self._session(provenance)
        event_log = EventLog(
            session.events_path,
            on_failure=_failed,
            release_reserve=session.release_reserve,
        )
        event_log.start()
        stack.callback(self._end, event_log, session)
        ledger = Ledger(event_log, self.site.site, monotonic_ns)
        gate = self._gate(provenance, ledger, past)
        self._arm(gate, ledger, who, reason, confirm)
        stack.callback(lambda: gate.disarm(who, "the bench ends", monotonic_ns()))
        abort = Abort()
        calls = PatientCalls(driver, abort, lambda: gate.disarm(who, "aborted", monotonic_ns()))
        stack.callback(lambda: _tell_end(ledger, calls.close()))
        points = stack.enter_context(
            (session.folder / BENCH_POINTS_NAME).open("w", encoding="utf-8", buffering=1)
        )
        array = ArrayView(array_file(self.site_file, self.site.site, is_mock=self.is_mock))
        stack.callback(array.save)
        adopt(array, gate, driver.name, self.smu.devices, monotonic_ns())

        def keep(point: Point) -> None:
            points.write(line_of(point))

        def read(reading: Reading, why: str) -> None:
            limited = ", at compliance" if reading.is_limited else ""
            ledger.reading(driver.name, reading, f"bench {why}{limited}")

        bench = Bench(
            driver,
            {device.name: device for device in self.smu.devices},
            gate,
            array,
            BenchSeams(
                await_audit=ledger.await_audit,
                on_reading=read,
                on_point=keep,
                on_progress=on_progress,
                on_frozen=lambda device, why: _tell(ledger, device, why),
            ),
            site=self.site.site,
            provenance=provenance[driver.name],
            read_voltage_v=self.smu.read_voltage_v,
            min_change=self.site.synapses.min_change,
            abort=abort,
            call=calls,
        )
        return OpenBench(
            bench,
            session.folder,
            self.smu,
            self._forming_arm(gate, who, reason),
            lambda sentence: ledger.note(who, sentence),
            calls.begin_safe,
        )

    def _session(self, provenance: Mapping[str, Provenance]) -> Session:
        return create_session(
            session_root(self.site_file, self.site),
            site=self.site.site,
            session=secrets.token_hex(16),
            config=as_toml(self.configured),
            experiment=b"",
            experiment_sha256="",
            software=software_versions(),
            clock=clock_identity(),
            anchor=utc_anchor(),
            limits=limits_in_force(profiles_of(self.site, dict(provenance))),
            provenance={name: p.value for name, p in provenance.items()},
            limits_override=self.signed.override_bytes,
        )

    def _gate(
        self,
        provenance: Mapping[str, Provenance],
        ledger: Ledger,
        past: tuple[list[PastDose], list[str]],
    ) -> Gate:
        inputs = InputLog(ledger.input)
        gate = Gate(
            self.site.site,
            profiles_of(self.site, dict(provenance)),
            (),
            clock_ns=monotonic_ns,
            on_audit=ledger.audit,
            on_input=partial(_record, inputs),
            on_dose=ledger.doses,
        )
        doses, unread = past
        _, utc_ns, _ = utc_anchor()
        tell_past(gate, doses, provenance, now_ns=monotonic_ns(), utc_ns=utc_ns)
        if unread:
            gate.set_block("dose history", "; ".join(unread), monotonic_ns())
        tell_limits_end(gate, self.signed.until)
        gate.boot_done(monotonic_ns())
        return gate

    def _arm(self, gate: Gate, ledger: Ledger, who: str, reason: str, confirm: Confirm) -> None:
        is_operator = any(operator.name == who for operator in self.site.operators)
        if not self.is_mock:
            devices = ", ".join(device.name for device in self.smu.devices)
            if not confirm(f"{who} arms {self.smu.name} ({devices}) at {self.site.site}"):
                raise BenchError("not armed: nobody confirmed it")
        now_ns = monotonic_ns()
        refusal = gate.arm(
            who,
            reason,
            now_ns,
            now_ns + round(ARMED_S * 1e9),
            by_program=self.is_mock and not is_operator,
            is_operator=is_operator,
        )
        if refusal is not None:
            raise BenchError(f"not armed: {refusal.sentence}")
        ledger.arming("armed", who, reason, now_ns)

    def _forming_arm(self, gate: Gate, who: str, reason: str) -> Callable[[str], None]:
        places = {d.name: DeviceAddress(d.wordline, d.bitline) for d in self.smu.devices}
        is_operator = any(operator.name == who for operator in self.site.operators)

        def arm(name: str) -> None:
            now_ns = monotonic_ns()
            refusal = gate.arm_forming(
                who,
                reason,
                self.smu.name,
                places[name],
                now_ns,
                now_ns + round(FORMING_S * 1e9),
                is_operator=is_operator,
            )
            if refusal is not None:
                raise BenchError(f"forming of {name} is not armed: {refusal.sentence}")

        return arm

    def _end(self, event_log: EventLog, session: Session) -> None:
        event_log.request_stop()
        if not event_log.join(JOIN_LIMIT_S):
            log.error("event log did not end within %g s", JOIN_LIMIT_S)
        session.close(utc_anchor())
        with DoseHistory(history_file(self.site_file, self.site)) as history:
            history.take_session(session.folder)


def _record(inputs: InputLog, kind: str, body: Mapping[str, object], now_ns: int) -> None:
    inputs.record(f"gate {kind}", msgspec.msgpack.encode(body), now_ns)


def _tell(ledger: Ledger, device: str, why: str) -> None:
    log.warning("%s %s", device, why)
    ledger.note("bench", f"{device} {why}")


def _tell_end(ledger: Ledger, report: SafeReport) -> None:
    state, detail = report.state.value, report.detail
    ledger.note("bench", f"make safe (the bench ends): {report.instrument} {state}: {detail}")


def _failed(name: str, exc: BaseException) -> None:
    log.error("%s failed: %s; no pulse is permitted any more", name, exc)
