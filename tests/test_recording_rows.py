"""Batches of spikes as rows: the same rows, however many there are."""

import numpy as np
import pytest

from app.core.spikes import FEW_RECORDS, SPIKE_RECORD
from app.recording.rows import SpikeRow, SpikeRows


@pytest.mark.parametrize("n", [0, 1, FEW_RECORDS, FEW_RECORDS + 1, 500])
def test_each_record_becomes_its_row_in_order_with_plain_python_numbers(n: int) -> None:
    rng = np.random.default_rng(n)
    records = np.frombuffer(rng.bytes(n * SPIKE_RECORD.itemsize), SPIKE_RECORD)
    rows = SpikeRows("padova", 3, 17, records).rows()
    assert len(rows) == n
    for row, record in zip(rows, records, strict=True):
        expected = SpikeRow(
            time_ns=int(record["time_ns"]),
            site="padova",
            stream=3,
            neuron=int(record["neuron"]),
            kind=int(record["kind"]),
            amplitude_uv=float(record["amplitude_uv"]),
            sample_index=int(record["sample_index"]),
            age_bound_us=int(record["age_bound_us"]),
            flags=int(record["flags"]),
            origin_seq=17,
        )
        assert repr(row) == repr(expected), "compared as text, in which a NaN equals itself"
