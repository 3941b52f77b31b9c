"""`spikebridge detect`: open, find, write, and say how it went."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from app.config.electrode_map import read_positions_um
from app.config.load import ConfigError
from app.core.detector import Detector, warm_up
from app.detect import results
from app.detect.progress import Progress
from app.detect.scan import Found, scan
from app.detect.settings import DetectSettings, columns_of
from app.exit_codes import ExitCode
from drivers.errors import InstrumentError
from drivers.mea.playback.open_recording import open_recording
from drivers.mea.playback.plain_files import open_raw
from drivers.mea.playback.recording import Recording

RAW_SUFFIXES = {".bin", ".dat", ".raw"}


def run_detect(settings: DetectSettings) -> int:
    """Run the detector over a recording and write the results.

    Raises
    ------
    ConfigError
        The recording, the channels or the settings cannot be used; one sentence says why.
    """
    try:
        recording, positions_um, bad_channels = _open(settings)
        detector = Detector(recording.stream_format, settings.detector, bad_channels)
        results.prepare_folder(settings.out, is_overwriting=settings.is_overwriting)
        progress = Progress(recording, is_shown=settings.shows_progress)
        progress.say("preparing the detector (compiles once after installation)")
        warm_up()
        progress.begin()
        found = scan(recording, detector, progress.show, is_cold_start=settings.is_cold_start)
    except (InstrumentError, ValueError) as exc:
        raise ConfigError(str(exc)) from exc
    summary = _summary(settings, recording, found, progress.elapsed_s)
    progress.say("writing tables and figure")
    try:
        _write(settings, recording, found, positions_um, summary)
    except OSError as exc:
        raise ConfigError(f"{settings.out}: cannot be written: {exc}") from exc
    if settings.prints_json:
        print(json.dumps(summary, indent=1))  # noqa: T201 - asked for on standard output
    progress.result(summary, settings.out)
    return ExitCode.OK


def _open(
    settings: DetectSettings,
) -> tuple[Recording, npt.NDArray[np.float64] | None, list[str]]:
    """Open the recording with the chosen channels, and name the bad ones among them.

    Channels count as in the whole recording, and so does its map.
    """
    whole = _open_whole(settings)
    if not len(whole.samples):
        raise ConfigError(f"{settings.recording}: holds no samples")
    names = whole.stream_format.channel_names
    columns = columns_of(settings.channels, names)
    positions_um = whole.positions_um
    if settings.probe is not None:
        positions_um = read_positions_um(settings.probe, names)
    if positions_um is not None:
        positions_um = positions_um[columns]
    bad = columns_of(settings.bad_channels, names) if settings.bad_channels else []
    if set(columns) <= set(bad):
        raise ConfigError(f"{settings.recording}: every channel that was chosen is a bad one")
    return whole.select(columns), positions_um, [names[c] for c in bad]


def _open_whole(settings: DetectSettings) -> Recording:
    if settings.raw_layout is not None:
        return open_raw(settings.recording, settings.raw_layout)
    try:
        return open_recording(
            settings.recording,
            reader=settings.reader,
            stream=settings.stream,
            wav_microvolts_per_count=settings.wav_microvolts_per_count,
        )
    except InstrumentError as exc:
        if settings.recording.is_file() and settings.recording.suffix in RAW_SUFFIXES:
            raise ConfigError(f"{exc}; if these are plain int16 rows, say so with --raw") from exc
        raise


def _write(
    settings: DetectSettings,
    recording: Recording,
    found: Found,
    positions_um: npt.NDArray[np.float64] | None,
    summary: dict[str, Any],
) -> None:
    from app.detect.figure import draw_figure  # noqa: PLC0415 - matplotlib takes a second

    out = settings.out
    results.write_sorting(out / results.SORTING, recording, found)
    results.write_spikes(out / results.SPIKES, recording, found)
    results.write_channels(out / results.CHANNELS, recording, found, positions_um)
    title = (
        f"{settings.recording.name}: {summary['n_spikes']} spikes in "
        f"{summary['duration_s']:.1f} s on {summary['n_channels']} channels, threshold "
        f"{settings.detector.threshold_sigma:g} sigma, {settings.detector.polarity}"
    )
    figure = out / results.FIGURE
    draw_figure(recording, found, settings.detector, positions_um, title, figure)
    results.write_summary(out / results.SUMMARY, summary)


def _summary(
    settings: DetectSettings, recording: Recording, found: Found, elapsed_s: float
) -> dict[str, Any]:
    status = found.status
    return {
        "recording": str(settings.recording),
        "duration_s": recording.duration_s,
        "sample_rate_hz": recording.stream_format.sample_rate_hz,
        "n_channels": recording.stream_format.n_channels,
        "n_samples": len(recording.samples),
        "n_spikes": int((~found.is_artefact).sum()),
        "n_artefacts": int(found.is_artefact.sum()),
        "not_read": list(recording.not_read),
        "gaps": [asdict(gap) for gap in found.gaps],
        "bad_channels": _names(recording, status.is_bad),
        "dead_channels": _names(recording, status.is_dead & ~status.is_bad),
        "unsettled_channels": _names(recording, np.isnan(status.sigma_uv) & ~status.is_bad),
        "suspended_channels": _names(recording, found.n_suspensions > 0),
        "blanked_channels": _names(recording, found.n_blanked > 0.05 * len(recording.samples)),
        "is_cold_start": settings.is_cold_start,
        "detector": asdict(settings.detector),
        "elapsed_s": elapsed_s,
        "times_real_time": recording.duration_s / max(elapsed_s, 1e-9),
    }


def _names(recording: Recording, which: npt.NDArray[np.bool_]) -> list[str]:
    names = recording.stream_format.channel_names
    return [name for name, is_chosen in zip(names, which.tolist(), strict=True) if is_chosen]
