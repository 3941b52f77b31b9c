"""What moves things: a worker per stimulator and chip, one per source-measure unit.

Only this file hands a driver's delivering methods on, each to the worker that asks the Gate first.
"""

from collections.abc import Callable, Mapping
from functools import partial

from app.compose.ground import Ground
from app.config.site import Smu
from app.core.clock import monotonic_ns
from app.engine.ledger import Ledger
from app.engine.peer_rights import psp_rights
from app.engine.reception import PspReception
from app.engine.refusal_lines import RefusalLines
from app.engine.wiring import devices_of, targets_of
from app.safety.actuator_worker import ActuatorWorker
from app.safety.audit import DeliveryOutcome
from app.safety.gate import Gate
from app.synapse.device_worker import DeviceWorker
from app.synapse.inputs import DeviceRead, Input
from drivers.permit import Permit
from drivers.smu.protocol import Reading


def make_actuators(ground: Ground, gate: Gate, ledger: Ledger) -> dict[str, ActuatorWorker]:
    """Return the workers that stimulate and drive, by instrument."""

    def worker(
        name: str, deliver: Callable[[Permit], int], reopen: Callable[[], None]
    ) -> ActuatorWorker:
        return ActuatorWorker(
            name,
            deliver=deliver,
            reopen=reopen,
            gate=gate,
            await_audit=ledger.await_audit,
            on_delivery=ledger.delivery,
            clock_ns=monotonic_ns,
            on_failure=ground.engine.failed,
            delivered_as=_as_done(ground, DeliveryOutcome.DELIVERED),
        )

    workers = {}
    for amplifier in ground.rig.amplifiers.values():
        # After make_safe it is the acquisition's restart that lets it take permits again.
        workers[amplifier.name] = worker(amplifier.name, amplifier.stimulate, _nothing)
    for chip in ground.rig.chips.values():
        workers[chip.name] = worker(chip.name, chip.drive, chip.open)
    return workers


def make_reception(
    ground: Ground, actuators: Mapping[str, ActuatorWorker], ledger: Ledger
) -> PspReception:
    """Return what turns PSPs for our neurons into jobs for the actuators."""
    lines = RefusalLines(
        lambda who, why: ledger.note(f"link {who}", f"PSP not used: {why}"), "PSPs"
    )
    return PspReception(
        () if ground.experiment is None else ground.experiment.synapses,
        targets_of(ground.site),
        psp_rights(ground.site.peers),
        {name: worker.submit for name, worker in actuators.items()},
        on_unusable=lines.refused,
    )


def make_devices(
    ground: Ground, gate: Gate, ledger: Ledger, submit: Callable[[Input], None]
) -> list[DeviceWorker]:
    """Return the workers that read and pulse memristors, in the order of the site's SMUs."""
    return [_device_worker(ground, smu, gate, ledger, submit) for smu in ground.site.smus]


def _device_worker(
    ground: Ground, smu: Smu, gate: Gate, ledger: Ledger, submit: Callable[[Input], None]
) -> DeviceWorker:
    def on_reading(synapse: int, reading: Reading, why: str) -> None:
        ledger.reading(smu.name, reading, why)
        submit(DeviceRead(synapse, reading.resistance_ohm))

    site = ground.site
    return DeviceWorker(
        ground.rig.smus[smu.name],
        devices_of(ground.experiment, site, smu.name),
        gate=gate,
        await_audit=ledger.await_audit,
        on_reading=on_reading,
        on_pulse=partial(ledger.device_pulse, smu.name),
        provenance=ground.provenance[smu.name],
        max_pulse_lag_ns=round(site.synapses.max_pulse_lag_s * 1e9),
        idle_read_interval_ns=round(site.synapses.idle_read_interval_s * 1e9),
        min_change=site.synapses.min_change,
        clock_ns=monotonic_ns,
        on_failure=ground.engine.failed,
        unconfirmed_as=_as_done(ground, DeliveryOutcome.UNCONFIRMED),
    )


def _as_done(ground: Ground, outcome: DeliveryOutcome) -> DeliveryOutcome:
    return DeliveryOutcome.DRY_RUN if ground.is_dry_run else outcome


def _nothing() -> None:
    """Do nothing: there is nothing to reopen."""
