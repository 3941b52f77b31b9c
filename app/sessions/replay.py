"""Decide a recorded session again, from its numbered inputs, and compare every decision.

Synapses and Gate are the same code as in the engine, made from the session's own copies of the
configuration. What they decide is turned into rows by the engine's own ledger, and each row must
be the next recorded one of its table.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.config.experiment import Experiment
from app.config.load import parse
from app.config.overrides import OverrideFile, with_overrides
from app.config.site import Site
from app.core.spikes import Provenance
from app.engine.ledger import Ledger
from app.engine.watch import leases_of
from app.engine.wiring import network_of
from app.instruments import profiles_of
from app.recording.commit_ticket import CommitTicket
from app.recording.errors import RecordingError
from app.recording.reader import SessionReader
from app.recording.rows import (
    AuditRecordRow,
    Entry,
    HoleRow,
    InputRow,
    PspRow,
    PspRows,
    Row,
    SpikeRows,
    WantedPulseRow,
    WithheldPspRow,
)
from app.recording.schema import TABLES
from app.recording.session import BENCH_POINTS_NAME, OVERRIDE_NAME
from app.recording.uncommitted import OnCommitted
from app.safety.decider import Decider
from app.safety.inputs import from_record
from app.safety.profiles import ActuatorProfile, limits_in_force
from app.synapse.inputs import KINDS, apply, decode
from app.synapse.network import HoleDeclared, PspsOut, PspWithheld, PulseWanted, SynapseNetwork

DECISIONS: tuple[type[Row], ...] = (
    PspRow, WantedPulseRow, HoleRow, WithheldPspRow, AuditRecordRow,
)  # fmt: skip
"""The tables that hold decisions; each is written in the order of deciding."""
GATE_PREFIX = "gate "
TAIL_NS = 1_000_000_000
"""A session that was cut off may lack the rows of decisions upon its last inputs."""


class _Differs(Exception):  # noqa: N818 - the answer of a comparison, not a fault
    """The first decision that came out differently."""


@dataclass(slots=True)
class ReplayReport:
    """What deciding again showed."""

    n_inputs: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    """Compared rows, by table."""
    n_cut_off: int = 0
    """Decisions upon the last inputs of a session that was cut off before they were written."""
    difference: str = ""
    """The first one; empty: all decisions are identical."""


def replay(folder: Path) -> ReplayReport:
    """Decide a session again.

    Raises
    ------
    RecordingError
        The session cannot be read, or its inputs are none.
    ConfigError
        Its copies of the configuration cannot be used.
    """
    report = ReplayReport()
    with SessionReader(folder) as session:
        site = _site_of(session)
        network, decider = _as_new(session, site)
        in_force = msgspec.json.decode(limits_in_force(decider.profiles))
        if in_force != msgspec.json.decode(session.info.limits):
            report.difference = (
                "the limits in force: session.json has others than this program reads out of "
                "config.toml; use the version named in session.json"
            )
            return report
        recorded = _Recorded(session, report)
        ledger = Ledger(recorded, site.site, lambda: 0)
        try:
            for row in session.each(InputRow):
                recorded.begin(row)
                _decide(row, network, decider, ledger)
            recorded.must_be_over()
        except _Differs as exc:
            report.difference = str(exc)
    return report


def _site_of(session: SessionReader) -> Site:
    """Return the site as it was in force, with every limit that was signed for then."""
    path = session.folder / "config.toml"
    site = parse(path.read_bytes(), Site, str(path))
    signed = session.folder / OVERRIDE_NAME
    if not signed.exists():
        return site
    is_mock = Provenance.LIVE.value not in session.info.provenance.values()
    entries = parse(signed.read_bytes(), OverrideFile, str(signed)).overrides
    return with_overrides(site, [entry for entry in entries if is_mock or not entry.mock_only])


def _as_new(session: SessionReader, site: Site) -> tuple[SynapseNetwork | None, Decider]:
    provenance = {name: Provenance(word) for name, word in session.info.provenance.items()}
    path = session.folder / "experiment.toml"
    data = path.read_bytes()
    experiment = parse(data, Experiment, str(path)) if data else None
    profiles: Mapping[str, ActuatorProfile] = profiles_of(site, provenance)
    leases = leases_of(bool(site.amplifiers), tuple(peer.site for peer in site.peers))
    if (session.folder / BENCH_POINTS_NAME).exists():
        leases = []
    return network_of(experiment, site, provenance), Decider(site.site, profiles, leases)


def _decide(
    row: InputRow, network: SynapseNetwork | None, decider: Decider, ledger: Ledger
) -> None:
    try:
        if row.kind.startswith(GATE_PREFIX):
            body = msgspec.msgpack.decode(row.body)
            event = from_record(row.kind.removeprefix(GATE_PREFIX), body)
            decision = decider.apply(event, row.time_ns)
            if decision.row is not None:
                ledger.audit(decision.row)
        elif row.kind in KINDS and network is not None:
            for output in apply(network, decode(row.kind, row.body), row.time_ns):
                match output:
                    case PspsOut():
                        ledger.sent_psps(output.site, output.records, row.time_ns)
                    case PulseWanted():
                        ledger.wanted_pulse(output, row.time_ns)
                    case HoleDeclared():
                        ledger.hole(output, row.time_ns)
                    case PspWithheld():
                        ledger.withheld_psp(output, row.time_ns)
        else:
            raise RecordingError(f"input {row.number}: kind {row.kind!r} is not known")
    except (msgspec.MsgspecError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise RecordingError(f"input {row.number} ({row.kind}) cannot be read: {exc}") from exc


class _Recorded:
    """Takes the rows of a replay and holds each against the next recorded one of its table."""

    def __init__(self, session: SessionReader, report: ReplayReport) -> None:
        self._report = report
        self._is_whole = session.info.state == "closed"
        self._last_ns = session.last_time_ns(InputRow)
        self._input = InputRow(0, 0, "", b"")
        self._next: dict[type[NamedTuple], Iterator[NamedTuple]] = {
            row_type: iter(session.each(row_type)) for row_type in DECISIONS
        }
        self._next[PspRow] = (r for r in session.each(PspRow) if r.direction == "sent")
        self._place: Counter[type[NamedTuple]] = Counter()

    def begin(self, row: InputRow) -> None:
        """Note which input is decided upon."""
        if row.number != self._input.number + 1:
            raise _Differs(
                f"input {self._input.number + 1} is missing: after it nothing can be decided again"
            )
        self._input = row
        self._report.n_inputs += 1

    def append(
        self, entry: Entry, on_committed: OnCommitted | None = None, number: int = 0
    ) -> None:
        """Compare."""
        del on_committed, number
        rows = entry.rows() if isinstance(entry, SpikeRows | PspRows) else [entry]
        for row in rows:
            self._compare(row)

    def append_many(
        self, entries: Sequence[Entry], on_committed: OnCommitted | None = None, number: int = 0
    ) -> None:
        """Compare."""
        del on_committed, number
        for entry in entries:
            self.append(entry)

    def append_durably(self, *entries: Entry) -> CommitTicket:
        """Compare."""
        self.append_many(entries)
        return CommitTicket()

    def must_be_over(self) -> None:
        """Find decisions that were recorded and did not come again."""
        for row_type, rows in self._next.items():
            left = next(rows, None)
            if left is not None:
                raise _Differs(
                    f"{TABLES[row_type]} row {self._place[row_type] + 1} was recorded and does not "
                    f"come again: {left}"
                )

    def _compare(self, row: NamedTuple) -> None:
        row_type = type(row)
        recorded = next(self._next[row_type], None)
        where = f"upon input {self._input.number} ({self._input.kind})"
        if recorded is None:
            if not self._is_whole and self._last_ns - self._input.time_ns <= TAIL_NS:
                self._report.n_cut_off += 1
                return
            raise _Differs(f"{TABLES[row_type]}: {where} comes a row that was not recorded: {row}")
        self._place[row_type] += 1
        self._report.decisions[TABLES[row_type]] += 1
        for name, then, now in zip(row_type._fields, recorded, row, strict=True):
            if then != now:
                raise _Differs(
                    f"{TABLES[row_type]} row {self._place[row_type]}, {where}: "
                    f"{name} was {then!r}, is {now!r}"
                )
