"""The site's Gate: what it may permit, what earlier sessions gave, and where its audit goes."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from app.compose.ground import Ground
from app.config.paths import history_file, session_root
from app.core.clock import monotonic_ns, utc_anchor
from app.core.input_log import InputLog
from app.engine.ledger import Ledger
from app.engine.past_doses import tell_past
from app.engine.watch import leases_of
from app.instruments import profiles_of
from app.recording.history import DoseHistory, PastDose
from app.safety.gate import Gate
from app.signed_site import tell_limits_end


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier sessions gave, and a sentence on each session that cannot be read."""

    doses: list[PastDose]
    unread: list[str]


def past_of(ground: Ground) -> Past:
    """Take earlier sessions into the dose history. Raises RecordingError."""
    site_file, site = ground.files.site_file, ground.site
    with DoseHistory(history_file(site_file, site)) as history:
        unread = history.take_in(session_root(site_file, site), site.site)
        return Past(history.doses(), unread)


def make_gate(ground: Ground, ledger: Ledger, input_log: InputLog, past: Past) -> Gate:
    """Return the Gate, in its state after boot, knowing the past."""

    def record_input(kind: str, body: Mapping[str, object], now_ns: int) -> None:
        input_log.record(f"gate {kind}", msgspec.msgpack.encode(body), now_ns)

    site = ground.site
    gate = Gate(
        site.site,
        profiles_of(site, ground.provenance),
        leases_of(bool(site.amplifiers), tuple(peer.site for peer in site.peers)),
        clock_ns=monotonic_ns,
        on_audit=ledger.audit,
        on_input=record_input,
        on_dose=None if ground.is_dry_run else ledger.doses,
        on_trip=ground.engine.tripped,
    )
    tell_limits_end(gate, ground.files.limits_until)
    _tell_past(ground, gate, past)
    return gate


def _tell_past(ground: Ground, gate: Gate, past: Past) -> None:
    """Let earlier sessions count. One that cannot be read forbids arming until it can."""
    now_ns, utc_ns, _ = utc_anchor()
    tell_past(gate, past.doses, ground.provenance, now_ns=now_ns, utc_ns=utc_ns)
    if past.unread:
        sentence = f"{'; '.join(past.unread)}; move it away to go on without what it gave"
        gate.set_block("dose history", sentence, now_ns)
