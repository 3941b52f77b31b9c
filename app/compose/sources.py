"""Where samples and spikes come in: the amplifier's acquisition, its raw recording, the chips."""

from collections.abc import Callable, Sequence
from functools import partial

from app.compose.ground import Ground
from app.compose.late_parts import LateParts
from app.compose.record import Record
from app.core.acquisition import Acquisition
from app.core.chip_reader import ChipReader
from app.core.clock import monotonic_ns
from app.core.detector import Detector
from app.core.sample_clock import ClockMapping
from app.core.spikes import SpikeBatch
from app.engine.own_events import OwnStream
from app.engine.record_faults import RecordFaults
from app.engine.showing import Showing
from app.engine.wiring import detector_settings, electrode_use
from app.recording.raw_writer import RawWriter
from app.synapse.inputs import StreamBroken
from drivers.mea.protocol import MeaAmplifier, SampleBlock


def make_raw_writer(
    ground: Ground, amplifier: MeaAmplifier, record: Record, faults: RecordFaults
) -> RawWriter:
    """Return what writes an amplifier's samples to the disk."""
    recording = ground.site.recording
    faults.raw_writer = RawWriter(
        record.session.node_folder(),
        on_failure=faults.failed,
        record=record.ledger.raw_recording,
        release_reserve=record.session.release_reserve,
        on_warning=faults.warned,
        files=ground.disk.files,
        ring_s=recording.ring_s,
        n_pretrigger=round(recording.pretrigger_s * amplifier.stream_format.sample_rate_hz),
    )
    return faults.raw_writer


def make_acquisition(
    ground: Ground,
    amplifier: MeaAmplifier,
    stream: OwnStream,
    record: Record,
    raw_writer: RawWriter,
    late: LateParts,
) -> Acquisition:
    """Return what reads an amplifier and finds its spikes."""
    ledger, showing = record.ledger, record.showing

    def on_gap(first_sample: int, n_lost: int) -> None:
        """Record that samples are missing; rules here must not learn over what is not known."""
        ledger.gap(amplifier.name, first_sample, n_lost)
        showing.sample_gap(first_sample, n_lost)
        missing = "an unknown number of" if n_lost < 0 else str(n_lost)
        reason = f"{amplifier.name}: {missing} samples lost before sample {first_sample}"
        late.submit(StreamBroken(stream.neurons, reason))

    def on_mapping(mapping: ClockMapping) -> None:
        ledger.sample_mapping(amplifier.name, mapping)
        showing.mapping(mapping)

    config = ground.site.amplifiers[0]
    stream_format = amplifier.stream_format
    acquisition = Acquisition(
        amplifier,
        Detector(
            stream_format, detector_settings(config, stream_format.n_channels), config.bad_channels
        ),
        electrode_use(config, stream_format.channel_names),
        stream=stream.stream,
        on_block=partial(_take_block, raw_writer, showing),
        on_batch=_batch_taker(stream, showing),
        on_gap=on_gap,
        on_mapping=on_mapping,
        on_detected=showing.detected,
        on_details=showing.details,
        clock_ns=monotonic_ns,
        on_failure=ground.engine.failed,
    )
    showing.watch_detection(acquisition)
    return acquisition


def make_chip_readers(
    ground: Ground, streams: Sequence[OwnStream], showing: Showing
) -> list[ChipReader]:
    """Return what reads each chip's spikes; `streams` are the chips', in their order."""
    return [
        ChipReader(
            chip,
            stream=stream.stream,
            on_batch=_batch_taker(stream, showing),
            clock_ns=monotonic_ns,
            on_failure=ground.engine.failed,
        )
        for chip, stream in zip(ground.rig.chips.values(), streams, strict=True)
    ]


def _take_block(raw_writer: RawWriter, showing: Showing, block: SampleBlock) -> None:
    raw_writer.offer(block)
    if not raw_writer.is_pressed:  # pictures are given up before samples are
        showing.block(block)


def _batch_taker(stream: OwnStream, showing: Showing) -> Callable[[SpikeBatch], None]:
    def take(batch: SpikeBatch) -> None:
        stream.take(batch)
        showing.own_events(stream.site, batch)

    return take
