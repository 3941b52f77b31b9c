"""Where the events of a site's own neurons go, and what does not go there."""

import numpy as np

from app.core.detector_results import DetectionFlag
from app.core.router import Route, StreamRouter
from app.core.spikes import SPIKE_RECORD, Provenance, SpikeBatch
from app.engine.own_events import OwnStream
from app.synapse.network import SpikeArrival


class RecordedBatches:
    """The one thing that a stream asks of the ledger."""

    def __init__(self) -> None:
        self.batches: list[SpikeBatch] = []

    def own_spikes(self, batch: SpikeBatch) -> None:
        self.batches.append(batch)


def test_a_vetoed_event_is_recorded_and_reaches_neither_a_synapse_nor_a_site() -> None:
    ledger, sent, submitted = RecordedBatches(), [], []

    def submit(arrival: SpikeArrival) -> None:
        submitted.append(arrival)

    stream = OwnStream(
        "padova",
        "mea",
        1,
        (10, 11),
        Provenance.MOCK,
        experiment=None,
        may_receive=("zurich",),
        ledger=ledger,  # type: ignore[arg-type]
        send=lambda site, batch: sent.append((site, batch)),
        submit=submit,
    )
    neurons = frozenset((10, 11))
    stream._router = StreamRouter([Route("padova", neurons), Route("zurich", neurons)])
    records = np.zeros(4, SPIKE_RECORD)
    records["neuron"] = (10, 11, 10, 11)
    records["time_ns"] = (1, 2, 3, 4)
    artefact, truncated = DetectionFlag.ARTEFACT, DetectionFlag.TRUNCATED
    records["flags"] = (0, artefact, truncated, artefact | truncated)
    stream.take(SpikeBatch(1, records, complete_until_ns=5, made_ns=6))
    assert [len(batch.records) for batch in ledger.batches] == [4]
    ((site, batch),) = sent
    (arrival,) = submitted
    assert site == "zurich"
    for handed_on in (batch, arrival):
        assert handed_on.records["time_ns"].tolist() == [1, 3]
        assert handed_on.complete_until_ns == 5
