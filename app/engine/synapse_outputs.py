"""What a site does with the decisions of its synapses: record each, then carry it out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from app.core.spikes import PspRecords
from app.engine.ledger import Ledger
from app.engine.peer_rights import PspRights
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
    rights: Mapping[str, PspRights]
    """By site; how many PSPs may go there."""

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
        if output.site == self.site:
            self.ledger.sent_psps(output.site, output.records, now_ns)
            self.reception.take(self.site, output.records, age_bound_ns=0, received_ns=now_ns)
            return
        records = self._within_rate(output, now_ns)
        if len(records):
            self.send_psps(output.site, records, now_ns)
            self.ledger.sent_psps(output.site, records, now_ns)

    def _within_rate(self, output: PspsOut, now_ns: int) -> PspRecords:
        """Return the PSPs that may go now; record the others as withheld."""
        rights = self.rights[output.site]
        is_kept = np.ones(len(output.records), bool)
        for index, psp in enumerate(output.records):
            why = rights.why_too_many(now_ns)
            if why:
                is_kept[index] = False
                withheld = PspWithheld(int(psp["synapse"]), int(psp["pre_time_ns"]), why)
                self.ledger.withheld_psp(withheld, now_ns)
        return output.records[is_kept]
