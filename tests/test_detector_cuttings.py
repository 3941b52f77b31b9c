"""However a stream is cut into blocks, the detector says the same, bit for bit."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from detector_streams import (
    QUICK,
    cut,
    eventful_stream,
    flush,
    stream,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.detector import Detector, warm_up
from app.core.detector_results import DetectedSpikes
from app.core.detector_settings import DetectorSettings
from drivers.mea.protocol import SampleBlock, StimMark

pytestmark = pytest.mark.timeout(240)  # the first of them waits for the compilation


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    warm_up()


def outcome(
    blocks: Sequence[SampleBlock], detector_settings: DetectorSettings
) -> tuple[bytes, int, list[object]]:
    """Run all blocks, checking each `end_sample`; return what must not depend on the cutting."""
    detector = Detector(stream(8), detector_settings, bad_channels=("A-005",))
    results = [detector.process(block) for block in blocks]
    check_promises(results)
    status = detector.status()
    end_sample = results[-1].end_sample
    results.append(detector.process(flush(blocks)))
    totals = [
        sum(r.n_vetoed for r in results),
        sum(r.n_blanked for r in results),
        status.is_settled,
        *(a.tobytes() for a in (status.sigma_uv, status.threshold_uv, status.n_blanked)),
        *(a.tobytes() for a in (status.is_pegged, status.is_suspended, status.n_events)),
        status.n_suspensions.tobytes(),
    ]
    envelopes = detector.envelopes
    totals += [a.tobytes() for a in (envelopes.values, envelopes.marks, envelopes.extents)]
    totals += [envelopes.n_published]
    totals += [b"".join(r.details.records.tobytes() for r in results)]
    totals += [b"".join(r.details.snippets_uv.tobytes() for r in results)]
    spikes = np.concatenate([r.spikes for r in results])
    return spikes.tobytes(), end_sample, totals


def check_promises(results: Sequence[DetectedSpikes]) -> None:
    last_end = 0
    for result in results:
        index = result.spikes["sample_index"]
        assert np.all(np.diff(index) >= 0)
        assert np.all(index >= last_end)
        assert result.end_sample >= last_end
        assert np.all(index < result.end_sample)
        last_end = result.end_sample


VARIANTS = [
    DetectorSettings(**QUICK, settle_max_s=0.01, suspend_s=0.1, max_rate_hz=200.0),
    DetectorSettings(
        **QUICK, polarity="both", n_poles_per_edge=2, blank_before_s=0.0, suspend_s=0.1
    ),
    DetectorSettings(
        **QUICK,
        polarity="pos",
        blank_before_s=0.002,
        trough_window_s=0.0001,
        event_delay_s=0.002,
        noise_interval_s=0.00035,
        threshold_uv={"A-001": 30.0},
    ),
    DetectorSettings(**QUICK, has_common_reference=True, snippet_after_s=0.0001, column_s=0.005),
]


@st.composite
def cuttings(draw: st.DrawFn) -> tuple[int, list[int], list[StimMark], list[tuple[int, int]]]:
    row = st.integers(0, 11_999)
    marks = [
        StimMark(draw(row), draw(st.integers(-1, 7)), math.nan)
        for _ in range(draw(st.integers(0, 6)))
    ]
    gaps = draw(st.lists(st.tuples(row, st.integers(1, 30_000)), max_size=3))
    edges = draw(st.lists(row, max_size=12))
    near = [m.sample_index for m in marks] + [g for g, _ in gaps] + [3000]
    for at in near:  # cuts close to what happens are the ones that could matter
        edges += [at + d for d in draw(st.lists(st.integers(-25, 25), max_size=4))]
    edges = [edge for edge in edges if 0 < edge < 12_000]
    return draw(st.integers(0, 5)), edges, marks, gaps


def as_type(samples: np.ndarray, name: str) -> np.ndarray:
    """Return the same stream in another of the types that amplifiers deliver."""
    if name == "uint16":
        return (samples.astype(np.int32) + 32768).astype(np.uint16)
    if name == "float32":
        values = samples.astype(np.float32) + np.float32(0.3)
        values[5000:5020, 4] = np.nan
        return values
    return samples


@pytest.mark.parametrize("variant", VARIANTS)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cutting=cuttings(), dtype=st.sampled_from(["int16", "uint16", "float32"]))
def test_any_cutting_gives_the_same_bits(
    variant: DetectorSettings,
    cutting: tuple[int, list[int], list[StimMark], list[tuple[int, int]]],
    dtype: str,
) -> None:
    seed, edges, marks, gaps = cutting
    samples = as_type(eventful_stream(seed), dtype)
    whole = outcome(cut(samples, (), marks, gaps), variant)
    assert outcome(cut(samples, edges, marks, gaps), variant) == whole


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("n_rows", "dtype"),
    [(1, "int16"), (1, "float32"), (7, "uint16"), (128, "int16"), (1000, "float32")],
)
def test_even_cuttings_give_the_same_bits(
    variant: DetectorSettings, n_rows: int, dtype: str
) -> None:
    samples = as_type(eventful_stream(9), dtype)
    marks = [StimMark(4000, 3, 1e-6), StimMark(4001, 1, 1e-6), StimMark(9000, 0, 1e-6)]
    gaps = [(6003, 77)]
    whole = outcome(cut(samples, (), marks, gaps), variant)
    edges = range(n_rows, len(samples), n_rows)
    assert outcome(cut(samples, edges, marks, gaps), variant) == whole
    spikes, _, totals = whole
    assert len(spikes) > 100 * 32  # the streams compared are not empty
    assert totals[0] > 0 or variant.polarity == "pos" or variant.has_common_reference
