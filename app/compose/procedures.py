"""The desk of the bench: procedures on an engine's own source-measure units."""

from collections.abc import Sequence

from app.bench.array_view import ArrayView, array_file
from app.bench.desk import Desk
from app.bench.run import Ground as BenchGround
from app.bench.run import Unit
from app.compose.ground import Ground
from app.compose.record import Record
from app.core.clock import monotonic_ns
from app.core.spikes import Provenance
from app.engine.site_links import SiteLinks
from app.safety.gate import Gate
from app.synapse.device_worker import DeviceWorker


def make_desk(
    ground: Ground, record: Record, gate: Gate, links: SiteLinks, devices: Sequence[DeviceWorker]
) -> Desk | None:
    """Return the desk; None: there is no unit, or nothing is to move.

    `devices` are in the order of the site's SMUs. Raises `ConfigError` if what is known of the
    site's devices cannot be read.
    """
    site = ground.site
    if ground.is_dry_run or not site.smus:
        return None
    units = {
        smu.name: Unit(ground.rig.smus[smu.name], smu, worker, ground.provenance[smu.name])
        for smu, worker in zip(site.smus, devices, strict=True)
    }
    is_mock = all(unit.provenance is Provenance.MOCK for unit in units.values())

    def disarm(who: str, reason: str) -> None:
        gate.disarm(who, reason, monotonic_ns())
        record.ledger.arming(gate.snapshot().state.value, who, reason, monotonic_ns())
        links.publish_gate_state()

    bench = BenchGround(
        site=site.site,
        gate=gate,
        ledger=record.ledger,
        array=ArrayView(array_file(ground.files.site_file, site.site, is_mock=is_mock)),
        min_change=site.synapses.min_change,
        publish=record.showing.feed.happened,
        disarm=disarm,
        clock_ns=monotonic_ns,
        on_failure=ground.engine.failed,
    )
    return Desk(units, bench, record.session.folder)
