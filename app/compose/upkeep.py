"""What may be done to a stopped amplifier, and what its patterns are in the site file now."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.compose.ground import Ground
from app.compose.record import Record
from app.config.amplifiers import IntanRhxAmplifier
from app.config.load import ConfigError, load_site
from app.core.acquisition import Acquisition
from app.core.clock import monotonic_ns
from app.engine.amplifier_upkeep import AmplifierUpkeep
from app.engine.impedance_words import as_csv, in_a_sentence
from app.instruments import patterns_of
from app.safety.audit import DeliveryOutcome
from app.safety.gate import Gate
from drivers.mea.protocol import ImpedanceCheck, MeaAmplifier, Pattern


def make_upkeep(
    ground: Ground, amplifier: MeaAmplifier, acquisition: Acquisition, record: Record, gate: Gate
) -> dict[str, AmplifierUpkeep]:
    """Return what serves the amplifier while it is stopped; nothing where none can stimulate."""
    config = ground.site.amplifiers[0]
    if not isinstance(config, IntanRhxAmplifier):
        return {}
    folder = record.session.folder / "impedance"

    def keep(check: ImpedanceCheck) -> str:
        """Write the check beside the session's other files; return it in a sentence."""
        limits = config.impedance
        if limits is None:
            raise RuntimeError(f"{config.name}: measured without limits for it")
        folder.mkdir(exist_ok=True)
        file = folder / f"{config.name}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}.csv"
        file.write_text(as_csv(check, limits), encoding="utf-8")
        return f"{in_a_sentence(check, limits)}; {folder.name}/{file.name}"

    as_done = DeliveryOutcome.DRY_RUN if ground.is_dry_run else DeliveryOutcome.DELIVERED
    made = AmplifierUpkeep(
        amplifier,
        acquisition,
        patterns_of(config),
        gate=gate,
        await_audit=record.ledger.await_audit,
        note=record.ledger.note,
        keep=keep,
        delivered_as=as_done,
        clock_ns=monotonic_ns,
        on_failure=ground.engine.failed,
    )
    return {config.name: made}


class FilePatterns:
    """The patterns that the site file lists now; it is read again when it has changed.

    One thread calls it. A file that cannot be read, as while it is being edited, lists none.
    """

    def __init__(self, site_file: Path) -> None:
        self._site_file = site_file
        self._read_at_ns: int | None = None
        self._listed: Mapping[str, Sequence[Pattern]] = {}

    def listed(self) -> Mapping[str, Sequence[Pattern]]:
        """Return the patterns by amplifier."""
        try:
            changed_ns = self._site_file.stat().st_mtime_ns
            if changed_ns != self._read_at_ns:
                self._read_at_ns = changed_ns
                self._listed = {}
                site = load_site(self._site_file)
                self._listed = {a.name: patterns_of(a) for a in site.amplifiers}
        except (OSError, ConfigError):
            self._listed = {}
        return self._listed
