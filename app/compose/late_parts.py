"""The knots of the composition: what earlier parts hand to parts that are made after them."""

from dataclasses import dataclass

from app.bridge.bridge import Bridge
from app.core.spikes import PspRecords, SpikeBatch
from app.engine.record_faults import RecordFaults
from app.synapse.inputs import Input
from app.synapse.network_worker import NetworkWorker


@dataclass(slots=True)
class LateParts:
    """Parts that callbacks name before they exist; called only once the engine has started."""

    network: NetworkWorker | None = None
    """None: this site hosts no synapse."""
    bridge: Bridge | None = None
    """None: this site has no peers."""
    faults: RecordFaults | None = None

    def room_ran_out(self, sentence: str) -> None:
        """Pass on that the event log used the reserve."""
        if self.faults is not None:
            self.faults.room_ran_out(sentence)

    def submit(self, item: Input) -> None:
        """Hand an input to the synapses that live here, if there are any."""
        if self.network is not None:
            self.network.submit(item)

    def decide(self, item: Input) -> None:
        """Do so, and let them decide on the caller's thread if that is possible now."""
        if self.network is not None:
            self.network.decide(item)

    def send_spikes(self, site: str, batch: SpikeBatch) -> None:
        """Send own events to another site. Raises RuntimeError if there is no peer."""
        self._bridge(f"spikes for site {site}").send_spikes(site, batch)

    def send_psps(self, site: str, records: PspRecords, made_ns: int) -> None:
        """Send PSPs to another site. Raises RuntimeError if there is no peer."""
        self._bridge(f"PSPs for site {site}").send_psps(site, records, made_ns)

    def _bridge(self, what: str) -> Bridge:
        if self.bridge is None:
            raise RuntimeError(f"{what}, and this site has no peers")
        return self.bridge
