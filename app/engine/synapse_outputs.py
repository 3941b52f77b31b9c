"""What a site does with the decisions of its synapses: record each, then carry it out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.core.spikes import PspRecords
from app.engine.ledger import Ledger
from app.engine.reception import PspReception
from app.synapse.network import HoleDeclared, Output, PspsOut, PspWithheld, PulseWanted


@dataclass(slots=True)
class SynapseOutputs:
    """Hands on. Called by the synapses' thread; nothing here waits.

    `send_psps(site, records, made_ns)` puts PSPs on a link; `submit_pulse` queues a wanted pulse
    at its device, by synapse.
    """

    site: str
    ledger: Ledger
    reception: PspReception
    send_psps: Callable[[str, PspRecords, int], None]
    submit_pulse: Mapping[int, Callable[[PulseWanted], None]]

    def take(self, output: Output, now_ns: int) -> None:
        """Carry out one decision that was made at `now_ns`."""
        match output:
            case PspsOut():
                self._psps(output, now_ns)
            case PulseWanted():
                self.ledger.wanted_pulse(output, now_ns)
                self.submit_pulse[output.synapse](output)
            case HoleDeclared():
                self.ledger.hole(output, now_ns)
            case PspWithheld():
                self.ledger.withheld_psp(output, now_ns)

    def _psps(self, output: PspsOut, now_ns: int) -> None:
        self.ledger.sent_psps(output.site, output.records, now_ns)
        if output.site != self.site:
            self.send_psps(output.site, output.records, now_ns)
        else:
            self.reception.take(self.site, output.records, age_bound_ns=0, received_ns=now_ns)
