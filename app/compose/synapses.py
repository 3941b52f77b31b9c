"""The synapses that live here, and where their decisions go."""

from collections.abc import Sequence

from app.compose.ground import Ground
from app.compose.late_parts import LateParts
from app.core.clock import monotonic_ns
from app.core.input_log import InputLog
from app.engine.ledger import Ledger
from app.engine.peer_rights import psp_rights
from app.engine.reception import PspReception
from app.engine.synapse_outputs import SynapseOutputs
from app.engine.wiring import devices_of, network_of
from app.synapse.device_worker import DeviceWorker
from app.synapse.network_worker import NetworkWorker


def make_network(
    ground: Ground,
    ledger: Ledger,
    input_log: InputLog,
    reception: PspReception,
    devices: Sequence[DeviceWorker],
    late: LateParts,
) -> NetworkWorker | None:
    """Return the worker of this site's synapses; None if it hosts none.

    `devices` are in the order of the site's SMUs.
    """
    site, experiment = ground.site, ground.experiment
    network = network_of(experiment, site, ground.provenance)
    if network is None:
        return None
    outputs = SynapseOutputs(
        site=site.site,
        ledger=ledger,
        reception=reception,
        send_psps=late.send_psps,
        submit_pulse={
            synapse: worker.submit
            for smu, worker in zip(site.smus, devices, strict=True)
            for synapse in devices_of(experiment, site, smu.name)
        },
        rights=psp_rights(site.peers),
    )
    return NetworkWorker(
        network,
        input_log,
        on_output=outputs.take,
        clock_ns=monotonic_ns,
        on_failure=ground.engine.failed,
    )
