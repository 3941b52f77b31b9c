"""Events of neurons made of detected spikes and of our own stimuli seen in the stream."""

import math

import numpy as np

from app.core.batch_maker import BatchMaker, ElectrodeUse
from app.core.detection_layout import DETECTED_SPIKE
from app.core.detector_results import DetectedSpikeRecords, DetectionFlag
from app.core.sample_clock import SampleClock
from app.core.spikes import EventKind
from drivers.mea.protocol import StimMark

RATE_HZ = 20_000.0
NOW_NS = 10_000_000_000
NEURON, POST = 7, 9
FIRST_MAPPED = 4000


def maker() -> BatchMaker:
    """Return one that knows channels 0 (a neuron's) and 2, 3 (one pattern's), 5 ms window."""
    clock = SampleClock(RATE_HZ)
    assert clock.observe(FIRST_MAPPED, NOW_NS) is not None
    use = ElectrodeUse({0: NEURON, 2: POST}, {2: POST, 3: POST}, 0.005)
    return BatchMaker(use, 1, clock, lambda: NOW_NS)


def spikes(*given: tuple[int, int, float, int]) -> DetectedSpikeRecords:
    records = np.zeros(len(given), DETECTED_SPIKE)
    for record, (index, channel, amplitude_uv, flags) in zip(records, given, strict=True):
        record["sample_index"], record["channel"] = index, channel
        record["amplitude_uv"], record["flags"] = amplitude_uv, flags
    return records


def test_a_spike_has_its_neuron_time_age_and_flags() -> None:
    found = spikes((3900, 0, -52.5, DetectionFlag.ARTEFACT), (3910, 1, -60.0, 0))
    batch = maker().batch(found, 3960)
    assert batch.records.tolist() == [
        (NOW_NS - 5_000_000, 3900, NEURON, -52.5, 5001, EventKind.SPONTANEOUS_SPIKE, 1, 0)
    ]
    assert (batch.stream, batch.made_ns) == (1, NOW_NS)
    assert batch.complete_until_ns == NOW_NS - 2_000_000


def test_an_empty_batch_still_says_how_far_it_is_complete() -> None:
    batch = maker().batch(spikes(), 4020)
    assert not len(batch.records)
    assert batch.complete_until_ns == NOW_NS + 1_000_000


def test_a_pattern_on_two_channels_is_one_delivered_psp_and_waits_for_its_turn() -> None:
    making = maker()
    making.note([StimMark(4010, 2, math.nan), StimMark(4011, 3, math.nan)])
    assert not len(making.batch(spikes(), 4010).records)
    (event,) = making.batch(spikes(), 4020).records
    assert (event["sample_index"], event["neuron"]) == (4010, POST)
    assert event["kind"] == EventKind.PSP_DELIVERED
    assert math.isnan(event["amplitude_uv"])


def test_spikes_within_the_window_after_a_stimulus_are_stimulated_and_in_order() -> None:
    making = maker()
    making.note([StimMark(4005, 2, math.nan)])
    found = spikes(
        (4000, 2, -30.0, 0), (4005, 2, -30.0, 0), (4105, 2, -30.0, 0), (4106, 2, -9.0, 0)
    )
    records = making.batch(found, 4200).records
    assert records["sample_index"].tolist() == [4000, 4005, 4005, 4105, 4106]
    assert records["kind"].tolist() == [
        EventKind.SPONTANEOUS_SPIKE,
        EventKind.PSP_DELIVERED,
        EventKind.STIMULATED_SPIKE,
        EventKind.STIMULATED_SPIKE,
        EventKind.SPONTANEOUS_SPIKE,
    ]
