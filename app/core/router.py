"""Which of this site's events go where: to each site that hosts a synapse which needs them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.core.spikes import NeuronSet, SpikeBatch

IDLE_BATCH_NS = 50_000_000
"""A stream without events says so to another site this often."""


@dataclass(frozen=True, slots=True)
class Route:
    """What one remote site needs of one of our streams."""

    site: str
    neurons: frozenset[int]


class StreamRouter:
    """Splits the batches of one stream by destination. One thread calls it."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._wanted = {route.site: NeuronSet(route.neurons) for route in routes}
        self._last_sent_ns: dict[str, int] = {}

    def split(self, batch: SpikeBatch) -> Mapping[str, SpikeBatch]:
        """Return what each site gets now; idle stretches are thinned out, events never wait."""
        out: dict[str, SpikeBatch] = {}
        for site, wanted in self._wanted.items():
            records = wanted.only(batch.records)
            last_ns = self._last_sent_ns.get(site)
            is_due = last_ns is None or batch.made_ns - last_ns >= IDLE_BATCH_NS
            if len(records) or is_due:
                self._last_sent_ns[site] = batch.made_ns
                out[site] = SpikeBatch(
                    batch.stream, records, batch.complete_until_ns, batch.made_ns
                )
        return out
