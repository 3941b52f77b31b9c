"""Signals of a made-up session: the same every time. Numbers only; no engine, no Qt."""

import numpy as np
import numpy.typing as npt

from app.console.feed import (
    FEED_SNIPPET,
    FEED_SPIKE,
    NEURON_EVENT,
    ChannelCondition,
    ChannelStates,
    EnvelopeBatch,
    FeedFormat,
    NeuronEvents,
    Snippets,
    Span,
    SpanKind,
    SpikeMarks,
)
from app.console.feed_wire import columns_per_body
from app.core.spikes import EventKind

SEED = 2020
LENGTH_S = 12.0
END_NS = 1_000 * 1_000_000_000
"""Site time at which the scene stands still."""
SAMPLES_PER_COLUMN = 10
RATE_HZ = 20_000.0
SCALE_UV = 0.195
N_SNIPPET, N_BEFORE = 60, 20
BURSTS_S = (2.2, 6.1, 10.6)
PHASES = ((0.0, 10.0), (4.0, 30.0))
"""From so many seconds on the first neuron is driven at this rate."""
PITCH_UM = 200.0


def scene_format(
    site: str,
    channels: tuple[str, ...],
    sites: tuple[str, ...],
    neurons: tuple[tuple[int, str, str], ...],
) -> FeedFormat:
    """Return the format of a site's feed; electrodes lie on a square grid without corners."""
    grid = [(x, y) for y in range(8) for x in range(8) if (x, y) not in _CORNERS]
    positions = np.array(grid[: len(channels)], np.float32).reshape(-1, 2) * PITCH_UM
    return FeedFormat(
        site=site,
        channel_names=channels,
        sample_rate_hz=RATE_HZ,
        microvolts_per_count=SCALE_UV,
        samples_per_column=SAMPLES_PER_COLUMN,
        position_um=positions,
        sites=sites,
        neurons=neurons,
    )


_CORNERS = {(0, 0), (7, 0), (0, 7), (7, 7)}


def spike_times_s(rng: np.random.Generator, rate_hz: float) -> npt.NDArray[np.float64]:
    """Return times of a channel that fires at random, and more in every burst."""
    times = [rng.uniform(0, LENGTH_S, rng.poisson(rate_hz * LENGTH_S))]
    times += [at + rng.exponential(0.08, rng.poisson(9)) for at in BURSTS_S]
    merged = np.sort(np.concatenate(times))
    return merged[merged < LENGTH_S - 0.01]


def amplifier_items(feed_format: FeedFormat) -> list[object]:
    """Return what an amplifier's feed brought in the scene's seconds, in the order of drawing."""
    rng = np.random.default_rng(SEED)
    n_columns = round(LENGTH_S * RATE_HZ / SAMPLES_PER_COLUMN)
    n_channels = feed_format.n_channels
    low = -rng.gamma(6.0, 0.9, (n_columns, n_channels)) / SCALE_UV
    high = rng.gamma(6.0, 0.9, (n_columns, n_channels)) / SCALE_UV
    spikes, rates_hz = [], rng.gamma(1.2, 2.2, n_channels)
    for channel in range(n_channels):
        times_s = spike_times_s(rng, float(rates_hz[channel]))
        size_uv = rng.normal(rng.uniform(45, 95), 6.0, len(times_s))
        at = (times_s * RATE_HZ / SAMPLES_PER_COLUMN).astype(int)
        low[at, channel] = -size_uv / SCALE_UV
        high[np.minimum(at + 1, n_columns - 1), channel] = 0.35 * size_uv / SCALE_UV
        spikes.append(_marks(times_s, channel, -size_uv))
    items: list[object] = list(_batches(low, high))
    marks = np.concatenate(spikes)
    items.append(SpikeMarks(marks[np.argsort(marks["time_ns"], kind="stable")]))
    items += [_stimulus(at) for at in _driven_s() if at > 4.5]
    items.append(_snippets(rng, channel=0))
    items.append(_states(rng, rates_hz))
    return items


def neuron_items(neurons: dict[str, tuple[int, int]]) -> list[object]:
    """Return events of the chain's neurons; `neurons` are (id, site number) by name."""
    rng = np.random.default_rng(SEED + 1)
    driven = _driven_s()
    answered = driven[driven > 4.7] + rng.uniform(0.004, 0.012, int((driven > 4.7).sum()))
    rows = [
        (driven, *neurons["ANpre"], EventKind.SPONTANEOUS_SPIKE),
        (driven + 0.003, *neurons["BN"], EventKind.PSP_DELIVERED),
        (answered, *neurons["BN"], EventKind.STIMULATED_SPIKE),
        (answered + 0.02, *neurons["ANpost"], EventKind.SPONTANEOUS_SPIKE),
    ]
    events = np.concatenate([_events(*row) for row in rows])
    return [NeuronEvents(events[np.argsort(events["time_ns"], kind="stable")])]


def _driven_s() -> npt.NDArray[np.float64]:
    ends = [*(start for start, _ in PHASES[1:]), LENGTH_S]
    return np.concatenate(
        [np.arange(start, end, 1 / rate) for (start, rate), end in zip(PHASES, ends, strict=True)]
    )


def _times_ns(times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return END_NS + np.rint((times_s - LENGTH_S) * 1e9).astype(np.int64)


def _marks(
    times_s: npt.NDArray[np.float64], channel: int, amplitude_uv: npt.NDArray[np.float64]
) -> npt.NDArray[np.void]:
    records = np.zeros(len(times_s), FEED_SPIKE)
    records["time_ns"] = _times_ns(times_s)
    records["sample_index"] = (times_s * RATE_HZ).astype(np.int64)
    records["channel"] = channel
    records["amplitude_uv"] = amplitude_uv
    return records


def _events(
    times_s: npt.NDArray[np.float64], neuron: int, site: int, kind: EventKind
) -> npt.NDArray[np.void]:
    records = np.zeros(len(times_s), NEURON_EVENT)
    records["time_ns"] = _times_ns(times_s)
    records["neuron"], records["site"], records["kind"] = neuron, site, kind
    return records[times_s < LENGTH_S]


def _batches(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> list[EnvelopeBatch]:
    step = columns_per_body(low.shape[1])
    batches = []
    for start in range(0, len(low), step):
        first = start * SAMPLES_PER_COLUMN
        part = slice(start, start + step)
        time_ns = int(_times_ns(np.array([first / RATE_HZ]))[0])
        counts = [values[part].astype(np.int16) for values in (low, high)]
        batches.append(EnvelopeBatch(first, time_ns, SAMPLES_PER_COLUMN, True, *counts))
    return batches


def _stimulus(at_s: float) -> Span:
    from_ns = int(_times_ns(np.array([at_s + 0.003]))[0])
    return Span(SpanKind.STIMULUS, from_ns, from_ns + 2_000_000)


def _snippets(rng: np.random.Generator, channel: int) -> Snippets:
    n = 60
    t_ms = (np.arange(N_SNIPPET) - N_BEFORE) / RATE_HZ * 1e3
    shape = -1.0 * np.exp(-((t_ms / 0.12) ** 2)) + 0.35 * np.exp(-(((t_ms - 0.45) / 0.28) ** 2))
    sizes_uv = rng.normal(72.0, 6.0, n)[:, None]
    samples_uv = sizes_uv * shape + rng.normal(0.0, 3.4, (n, N_SNIPPET))
    records = np.zeros(n, FEED_SNIPPET)
    records["channel"] = channel
    records["time_ns"] = END_NS - 50_000_000 * np.arange(n, 0, -1)
    return Snippets(records, samples_uv.astype(np.float32), N_BEFORE)


def _states(rng: np.random.Generator, rates_hz: npt.NDArray[np.float64]) -> ChannelStates:
    n = len(rates_hz)
    sigma_uv = rng.normal(3.6, 0.25, n).astype(np.float32)
    condition = np.full(n, ChannelCondition.GOOD, np.uint8)
    condition[17] = ChannelCondition.DEAD
    return ChannelStates(
        threshold_uv=5 * sigma_uv,
        sigma_uv=sigma_uv,
        rate_hz=(rates_hz + 2.0).astype(np.float32),
        condition=condition,
    )
