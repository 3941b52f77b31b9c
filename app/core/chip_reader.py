"""The thread that reads a neuron chip's spikes and gives them the host's receive time."""

from collections.abc import Callable

import numpy as np

from app.core.clock import ClockNs
from app.core.spikes import SPIKE_RECORD, EventKind, SpikeBatch
from app.core.worker import OnFailure, Worker
from drivers.neuron.protocol import NeuronChip

IDLE_BATCH_S = 0.05
"""A quiet chip says "nothing happened" so often; rules wait for it."""


class ChipReader(Worker):
    """Reads one chip. `on_batch(batch)` is called from this thread and must not wait.

    Completeness rests on the host's receive time: what arrives later is stamped later. What UDP
    lost on its way cannot be seen by anybody.
    """

    def __init__(
        self,
        chip: NeuronChip,
        *,
        stream: int,
        on_batch: Callable[[SpikeBatch], None],
        clock_ns: ClockNs,
        on_failure: OnFailure,
    ) -> None:
        super().__init__(f"chip reader {chip.name}", on_failure)
        self._chip = chip
        self._stream = stream
        self._on_batch = on_batch
        self._clock_ns = clock_ns
        self.n_spikes = 0

    def step(self) -> None:
        """Hand on what arrived, or that nothing did."""
        spikes = self._chip.read_spikes(timeout_s=IDLE_BATCH_S)
        made_ns = self._clock_ns()
        records = np.zeros(len(spikes), SPIKE_RECORD)
        for record, spike in zip(records, spikes, strict=True):
            record["time_ns"] = spike.received_ns
            record["sample_index"] = -1
            record["neuron"] = spike.neuron
            record["amplitude_uv"] = np.nan
            record["age_bound_us"] = max(0, made_ns - spike.received_ns) // 1000 + 1
            record["kind"] = EventKind.SPONTANEOUS_SPIKE
        self.n_spikes += len(records)
        self._on_batch(SpikeBatch(self._stream, records, made_ns, made_ns))
