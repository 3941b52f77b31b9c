"""`spikebridge detect`: open, find, write, and say how it went."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.config.electrode_map import read_positions_um
from app.config.load import ConfigError
from app.core.detector import Detector, warm_up
from app.detect import results
from app.detect.scan import Found, scan
from app.detect.settings import DetectSettings, columns_of
from app.exit_codes import ExitCode
from drivers.errors import InstrumentError
from drivers.mea.playback.open_recording import open_recording
from drivers.mea.playback.plain_files import open_raw
from drivers.mea.playback.recording import Recording

REPORT_INTERVAL_S = 0.2


def run_detect(settings: DetectSettings) -> int:
    """Run the detector over a recording and write the results.

    Raises
    ------
    ConfigError
        The recording, the channels or the settings cannot be used; one sentence says why.
    """
    try:
        recording, positions_um = _open(settings)
        detector = Detector(recording.stream_format, settings.detector, settings.bad_channels)
        results.prepare_folder(settings.out, is_overwriting=settings.is_overwriting)
        progress = _Progress(recording, is_shown=settings.shows_progress)
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


def _open(settings: DetectSettings) -> tuple[Recording, npt.NDArray[np.float64] | None]:
    """Open the recording with the chosen channels; the map of all of them is read before."""
    if settings.raw_layout is not None:
        whole = open_raw(settings.recording, settings.raw_layout)
    else:
        whole = open_recording(
            settings.recording,
            reader=settings.reader,
            wav_microvolts_per_count=settings.wav_microvolts_per_count,
        )
    if not len(whole.samples):
        raise ConfigError(f"{settings.recording}: holds no samples")
    names = whole.stream_format.channel_names
    columns = columns_of(settings.channels, names)
    positions_um = whole.positions_um
    if settings.probe is not None:
        positions_um = read_positions_um(settings.probe, names)
    if positions_um is not None:
        positions_um = positions_um[columns]
    return whole.select(columns), positions_um


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
        "gaps": [asdict(gap) for gap in found.gaps],
        "bad_channels": _names(recording, status.is_bad),
        "dead_channels": _names(recording, status.is_dead & ~status.is_bad),
        "unsettled_channels": _names(recording, np.isnan(status.sigma_uv) & ~status.is_bad),
        "suspended_channels": _names(recording, found.n_suspensions > 0),
        "is_cold_start": settings.is_cold_start,
        "detector": asdict(settings.detector),
        "elapsed_s": elapsed_s,
        "times_real_time": recording.duration_s / max(elapsed_s, 1e-9),
    }


def _names(recording: Recording, which: npt.NDArray[np.bool_]) -> list[str]:
    names = recording.stream_format.channel_names
    return [name for name, is_chosen in zip(names, which.tolist(), strict=True) if is_chosen]


class _Progress:
    """Writes to standard error: a line that moves on a terminal, one line in ten per cent else."""

    def __init__(self, recording: Recording, *, is_shown: bool) -> None:
        self._recording = recording
        self._is_shown = is_shown
        self._is_terminal = sys.stderr.isatty()
        self._started_s = self._shown_s = time.monotonic()
        self._shown_tenth = 0
        self.elapsed_s = 0.0

    def begin(self) -> None:
        """Count time from here."""
        self._started_s = self._shown_s = time.monotonic()

    def say(self, text: str) -> None:
        """Write a line."""
        if self._is_shown:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def show(self, n_rows: int) -> None:
        """Tell how far the detector is."""
        now_s = time.monotonic()
        self.elapsed_s = now_s - self._started_s
        done = n_rows / len(self._recording.samples)
        if not self._is_shown or not self._is_due(done, now_s):
            return
        at_s = n_rows / self._recording.stream_format.sample_rate_hz
        times = at_s / max(self.elapsed_s, 1e-9)
        text = f"{done:4.0%}  {at_s:8.1f} s of {self._recording.duration_s:.1f} s  {times:.0f} x"
        ending = "\r" if self._is_terminal and done < 1 else "\n"
        print(text, end=ending, file=sys.stderr, flush=True)  # noqa: T201

    def result(self, summary: dict[str, Any], out: Path) -> None:
        """Say what came out, always."""
        artefacts = f" ({summary['n_artefacts']} artefacts not counted)"
        print(  # noqa: T201
            f"{summary['n_spikes']} spikes on {summary['n_channels']} channels in "
            f"{summary['duration_s']:.1f} s{artefacts if summary['n_artefacts'] else ''}, "
            f"{summary['times_real_time']:.0f} times real time; see {out}",
            file=sys.stderr,
        )
        if summary["unsettled_channels"]:
            print(  # noqa: T201
                f"the noise of {len(summary['unsettled_channels'])} channels never became known, "
                "so none of their spikes did: too short a recording, or pegged channels",
                file=sys.stderr,
            )

    def _is_due(self, done: float, now_s: float) -> bool:
        if self._is_terminal:
            is_due = now_s - self._shown_s >= REPORT_INTERVAL_S or done >= 1
            self._shown_s = now_s if is_due else self._shown_s
            return is_due
        tenth = int(10 * done)
        is_due, self._shown_tenth = tenth > self._shown_tenth, tenth
        return is_due
