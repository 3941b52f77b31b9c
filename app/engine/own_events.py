"""Where the events of this site's own neurons go: the record, the synapses here, other sites."""

from collections.abc import Callable, Collection, Iterable

from msgspec.structs import replace

from app.config.experiment import Experiment
from app.core.detector_results import DetectionFlag
from app.core.router import Route, StreamRouter
from app.core.spikes import Provenance, SpikeBatch
from app.engine.ledger import Ledger
from app.synapse.network import SpikeArrival


def routes_of(
    experiment: Experiment | None, neurons: Iterable[int], may_receive: Collection[str]
) -> list[Route]:
    """Return which sites host a synapse that needs one of these neurons, and which ones.

    A site that is not in `may_receive` gets none: `check` and the start name that as a conflict.
    """
    if experiment is None:
        return []
    ours = set(neurons)
    wanted: dict[str, set[int]] = {}
    for synapse in experiment.synapses:
        wanted.setdefault(synapse.site, set()).update(ours & {synapse.pre, synapse.post})
    return [
        Route(site, frozenset(needed))
        for site, needed in wanted.items()
        if needed and site in may_receive
    ]


class OwnStream:
    """One stream of own events. `take` is called by the stream's own thread and never waits."""

    def __init__(
        self,
        site: str,
        name: str,
        stream: int,
        neurons: Iterable[int],
        provenance: Provenance,
        *,
        experiment: Experiment | None,
        may_receive: Collection[str],
        ledger: Ledger,
        send: Callable[[str, SpikeBatch], None],
        submit: Callable[[SpikeArrival], None],
    ) -> None:
        self.site = site
        self.name = name
        self.stream = stream
        self.neurons = tuple(sorted(set(neurons)))
        self._neuron_set = frozenset(neurons)
        self.provenance = provenance
        self._ledger = ledger
        self._send = send
        self._submit = submit
        self._router = StreamRouter(routes_of(experiment, self.neurons, {site, *may_receive}))

    def take(self, batch: SpikeBatch) -> None:
        """Hand to each site, ours too, what its synapses need of a batch, then record it.

        What detection vetoed as an artefact is recorded and moves nothing.
        """
        for site, part in self._router.split(_without_artefacts(batch)).items():
            if site == self.site:
                self._submit(self._arrival(part))
            else:
                self._send(site, part)
        self._ledger.own_spikes(batch)

    def _arrival(self, batch: SpikeBatch) -> SpikeArrival:
        return SpikeArrival(
            site=self.site,
            stream=self.stream,
            neurons=self._neuron_set,
            provenance=self.provenance,
            records=batch.records,
            complete_until_ns=batch.complete_until_ns,
            received_ns=batch.made_ns,
        )


def _without_artefacts(batch: SpikeBatch) -> SpikeBatch:
    records = batch.records
    # Most batches have no flag at all, which a list shows sooner than NumPy's arithmetic.
    if not any(records["flags"].tolist()):
        return batch
    is_artefact = (records["flags"] & DetectionFlag.ARTEFACT) != 0
    if not is_artefact.any():
        return batch
    return replace(batch, records=records[~is_artefact])
