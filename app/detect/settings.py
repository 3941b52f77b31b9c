"""What a user asks of `spikebridge detect`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.config.load import ConfigError
from app.core.detector_settings import DetectorSettings
from drivers.mea.playback.plain_files import RawLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSettings:
    """One run over one recording."""

    recording: Path
    out: Path
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    raw_layout: RawLayout | None = None
    """Read the file as plain int16 rows."""
    reader: str = ""
    stream: str = ""
    wav_microvolts_per_count: float = 1.0
    probe: Path | None = None
    channels: tuple[str, ...] = ()
    """Names, positions from 0 or ranges of them ("0-15"); none: all."""
    bad_channels: tuple[str, ...] = ()
    """Told like `channels`; none: none."""
    is_cold_start: bool = False
    """Begin as a live engine does: no spikes before the noise is known."""
    is_overwriting: bool = False
    shows_progress: bool = True
    prints_json: bool = False


def settings_from(arguments: argparse.Namespace) -> DetectSettings:
    """Return what the command line asks for. Raises `ConfigError`."""
    given = {
        "threshold_sigma": arguments.threshold_sigma,
        "polarity": arguments.polarity,
        "has_common_reference": arguments.common_reference,
        "dead_time_s": None if arguments.dead_time_ms is None else arguments.dead_time_ms / 1e3,
        "band_hz": None if arguments.band is None else tuple(arguments.band),
    }
    return DetectSettings(
        recording=arguments.recording,
        out=arguments.out or Path(f"{arguments.recording.resolve().name}-spikes"),
        detector=DetectorSettings(**{k: v for k, v in given.items() if v is not None}),
        raw_layout=_raw_layout(arguments),
        reader=arguments.reader,
        stream=arguments.stream,
        wav_microvolts_per_count=arguments.uv_per_bit or 1.0,
        probe=arguments.probe,
        channels=tuple(arguments.channels),
        bad_channels=tuple(arguments.bad_channels),
        is_cold_start=arguments.cold_start,
        is_overwriting=arguments.overwrite,
        shows_progress=not arguments.no_progress,
        prints_json=arguments.json,
    )


def _raw_layout(arguments: argparse.Namespace) -> RawLayout | None:
    needed = {
        "--rate": arguments.rate,
        "--n-channels": arguments.n_channels,
        "--uv-per-bit": arguments.uv_per_bit,
    }
    if not arguments.raw:
        extra = [flag for flag in ("--rate", "--n-channels") if needed[flag] is not None]
        if extra:
            raise ConfigError(f"{', '.join(extra)}: only with --raw; other files say it themselves")
        return None
    missing = [flag for flag, value in needed.items() if value is None]
    if missing:
        raise ConfigError(f"--raw needs {', '.join(missing)}: plain samples do not say it")
    return RawLayout(arguments.rate, arguments.n_channels, arguments.uv_per_bit)


def columns_of(words: Sequence[str], channel_names: Sequence[str]) -> list[int]:
    """Return the columns that a user named, in the order of the recording; all for no words.

    Raises
    ------
    ConfigError
        A word is neither a name nor a position nor a range of positions.
    """
    if not words:
        return list(range(len(channel_names)))
    chosen: set[int] = set()
    for word in (part for given in words for part in given.split(",") if part):
        if word in channel_names:
            chosen.add(channel_names.index(word))
            continue
        first, _, last = word.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise ConfigError(f"channel {word!r} is not in the recording: {_known(channel_names)}")
        found = range(int(first), int(last or first) + 1)
        if not found or found[-1] >= len(channel_names):
            raise ConfigError(
                f"channels {word!r}: the recording has {len(channel_names)}, counted from 0"
            )
        chosen |= set(found)
    return sorted(chosen)


def _known(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{names[0]}, {names[1]} ... {names[-1]}"
