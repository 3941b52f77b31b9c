"""Intervals and stimulus histograms: counted once, whatever the batches; gaps are not intervals."""

import numpy as np
import pytest
from feed_maker import column_ns, feed_format, spikes
from hypothesis import given, settings
from hypothesis import strategies as st

from app.console.feed import NEURON_EVENT, Span, SpanKind
from app.gui.drawing.histogram_views import IntervalHistogram, StimulusHistogram
from app.gui.drawing.interval_counts import INTERVAL_EDGES_S, IntervalCounts, StimulusCounts
from app.gui.drawing.palette import DARK, LIGHT
from app.gui.drawing.spike_histograms import SpikeHistograms

MS = 1_000_000


def ns(*ms: float) -> np.ndarray:
    return np.array([round(m * MS) for m in ms], np.int64)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 20_000), min_size=2, max_size=60, unique=True), st.integers(1, 10))
def test_intervals_do_not_depend_on_the_batches(times_ms, n_batches):
    times = np.sort(np.array(times_ms, np.int64) * MS)
    counts = IntervalCounts()
    for part in np.array_split(times, n_batches):
        counts.add(part[::-1])
    expected, _ = np.histogram(np.diff(times) * 1e-9, INTERVAL_EDGES_S)
    np.testing.assert_array_equal(counts.counts, expected)
    assert counts.n_intervals == len(times) - 1
    assert counts.n_outside == counts.n_intervals - expected.sum()


def test_an_interval_over_a_gap_is_none():
    counts = IntervalCounts()
    counts.add(ns(0, 10))
    counts.mark_gap()
    counts.add(ns(500, 501.5))
    assert counts.n_intervals == 2
    assert counts.n_refractory == 1


def test_rates_around_stimuli_are_those_of_the_definition():
    rng = np.random.default_rng(5)
    spikes = np.sort(rng.integers(0, 20_000 * MS, 3000))
    stimuli = np.arange(500, 19_000, 400) * MS
    counts = StimulusCounts()
    for now in range(0, 20_001, 130):  # in batches; spikes up to 100 ms late
        counts.add(spikes[(spikes >= (now - 230) * MS) & (spikes < (now - 100) * MS)])
        counts.add_stimuli(stimuli[(stimuli >= (now - 130) * MS) & (stimuli < now * MS)])
        counts.advance(now * MS)
    counts.add(spikes[spikes >= (now - 100) * MS])
    expected = np.zeros(50)
    for s in stimuli:
        expected += np.histogram((spikes - s) * 1e-9, counts.edges_s)[0]
    assert counts.n_stimuli == len(stimuli)
    np.testing.assert_array_equal(counts.counts, expected)
    np.testing.assert_allclose(counts.rate_hz, expected / len(stimuli) / 0.005)


def test_a_stimulus_waits_until_its_window_has_passed():
    counts = StimulusCounts()
    counts.add_stimuli(ns(1000))
    counts.advance(1600 * MS)
    assert counts.n_stimuli == 0
    assert np.isnan(counts.rate_hz).all()
    counts.add(ns(1012))
    counts.advance(1700 * MS)
    assert counts.n_stimuli == 1
    assert counts.counts[12] == 1  # the bin of 10 to 15 ms


def test_spikes_that_no_stimulus_can_reach_are_forgotten():
    counts = StimulusCounts()
    for second in range(100):
        counts.add(np.arange(100, dtype=np.int64) * 10 * MS + second * 1000 * MS)
        counts.advance((second + 1) * 1000 * MS)
    assert len(counts._recent) < 200


@pytest.mark.parametrize("kind", [IntervalHistogram, StimulusHistogram])
def test_widgets_show_their_counts_and_begin_anew(kind, qtbot):
    widget = kind(LIGHT)
    qtbot.addWidget(widget)
    widget.resize(500, 400)
    with qtbot.waitExposed(widget):
        widget.show()
    widget.set_source("zurich silicon 7")
    widget.add_times(ns(0, 1, 30, 60, 90))
    if kind is StimulusHistogram:
        widget.add_stimuli(ns(25))
        widget.advance(1000 * MS)
        expected = ("zurich silicon 7: 1 stimuli", 400.0)  # 0 and 1 ms share a bin
    else:
        expected = ("zurich silicon 7: 4 intervals, 25.0 % below 2 ms", 3)
    widget.refresh()
    assert widget.title.text() == expected[0]
    assert widget.curve.getData()[1].max() == pytest.approx(expected[1])
    widget.reset_button.click()
    assert widget.curve.getData()[1].max() == 0


def test_both_histograms_count_what_is_selected_and_nothing_else(qtbot):
    both = SpikeHistograms()
    qtbot.addWidget(both)
    with qtbot.waitExposed(both):
        both.show()
    both.set_format(feed_format())
    both.add_spikes(spikes([1, 2], [3, 3]))
    both.select_channel(3)
    taken = spikes([100, 105, 110, 120, 130], [3, 3, 4, 3, 3])
    taken["flags"][1] = 1  # an artefact
    both.add_spikes(taken)
    both.add_span(Span(SpanKind.STIMULUS, column_ns(95), column_ns(97)))
    both.set_now(column_ns(2000))
    both.refresh()
    assert both.intervals.title.text().startswith("A-003: 2 intervals")
    assert both.around_stimuli.title.text() == "A-003: 1 stimuli"
    assert both.around_stimuli.counts.counts.sum() == 3
    both.select_channel(3)  # again: nothing begins anew
    assert both.intervals.counts.n_intervals == 2


@pytest.mark.parametrize(
    ("gap", "n_intervals"),
    [
        (Span(SpanKind.GAP, 0, 1, site="zurich"), 2),
        (Span(SpanKind.GAP, 0, 1), 3),
        (Span(SpanKind.ARTEFACT, 0, 1, site="zurich"), 3),
    ],
)
def test_a_gap_of_the_selected_neurons_site_parts_its_intervals(qtbot, gap, n_intervals):
    both = SpikeHistograms(LIGHT)
    qtbot.addWidget(both)
    both.set_format(feed_format())
    both.select_neuron(7)
    events = np.zeros(2, NEURON_EVENT)
    events["neuron"] = 7
    for begin in (0, 100):
        events["time_ns"] = ns(begin, begin + 10)
        both.add_events(events)
        both.add_span(gap)
    both.set_colours(DARK)
    assert both.intervals.counts.n_intervals == n_intervals
    both.set_format(feed_format())
    assert both.intervals.title.text() == "Select an electrode or a neuron"
