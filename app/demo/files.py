"""The files of the demonstration: what it was asked for, turned into three sites and their keys."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from app.bridge import keys
from app.config.amplifiers import PlaybackAmplifier
from app.config.experiment import Experiment
from app.config.load import ConfigError, as_toml, load_experiment, load_site
from app.config.overrides import OverrideFile, read_overrides
from app.config.site import Site, Smu
from app.demo.units import ARC_ONE, bench_units, moved_to_units, refuse_short_pulses
from drivers.errors import InstrumentError

CHAIN = Path(__file__).parent / "chain2020"
HUB = "southampton"
SITES = (HUB, "padova", "zurich")
"""The hub first: the others dial it."""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the user asked for."""

    out: Path
    seconds_per_phase: float = 10.0
    seed: int = 1
    recording: Path | None = None
    shows_progress: bool = True
    prints_json: bool = False
    smu: str = ARC_ONE
    """What holds the memristors: an ArC ONE, or what `app.demo.units.KINDS` has."""
    shows_window: bool = False
    """Open the operator's window, and go on until it is closed."""


def prepare_files(settings: DemoSettings) -> tuple[Experiment, dict[str, Path]]:
    """Write the sites' files below `out` and make and exchange their keys.

    Raises
    ------
    ConfigError
        The recording is not there, or none that can be played; the source-measure unit cannot make
        the experiment's pulses.
    """
    experiment = load_experiment(CHAIN / "experiment.toml")
    refuse_short_pulses(settings.smu, experiment)
    experiment = _with_durations(experiment, settings)
    site_files: dict[str, Path] = {}
    for index, name in enumerate(SITES):
        site = _demo_site(load_site(CHAIN / f"{name}.toml"), settings, index)
        folder = settings.out / "sites" / name
        folder.mkdir(parents=True, exist_ok=True)
        site_files[name] = folder / "site.toml"
        _write_toml(site_files[name], site)
        _write_toml(folder / "experiment.toml", experiment)
        _write_overrides(CHAIN / f"{name}.toml", folder, site)
        if not (folder / "keys" / f"{name}.crt").exists():
            keys.keygen(folder / "keys", name)
    for name in SITES:
        for other in SITES:
            if name != other:
                certificate = site_files[other].parent / "keys" / f"{other}.crt"
                keys.pin(certificate, site_files[name].parent / "keys" / "peers" / f"{other}.crt")
    return experiment, site_files


def _with_durations(experiment: Experiment, settings: DemoSettings) -> Experiment:
    if experiment.protocol is None:
        raise ConfigError("the chain's experiment has no protocol")
    phases = tuple(
        msgspec.structs.replace(phase, duration_s=settings.seconds_per_phase)
        for phase in experiment.protocol.phases
    )
    protocol = msgspec.structs.replace(experiment.protocol, phases=phases)
    return msgspec.structs.replace(experiment, protocol=protocol)


def _demo_site(site: Site, settings: DemoSettings, index: int) -> Site:
    """Return a site with the demo's seeds and any free port."""

    def seeded(instrument: Any) -> Any:
        mock = {**instrument.mock, "seed": 1000 * settings.seed + index}
        return msgspec.structs.replace(instrument, mock=mock)

    listen = site.listen
    if listen is not None:
        listen = msgspec.structs.replace(listen, port=0)
    amplifiers, about = tuple(map(seeded, site.amplifiers)), site.about
    if settings.recording is not None:
        # What was recorded there is not known here: no site says that it was the example's culture.
        about = msgspec.structs.replace(about, culture=None)
        amplifiers = (_playback(site, settings.recording),) if site.amplifiers else ()
    return msgspec.structs.replace(
        site,
        about=about,
        listen=listen,
        amplifiers=amplifiers,
        smus=tuple(map(seeded, _smus(site, settings))),
        chips=tuple(map(seeded, site.chips)),
        is_recording_raw=bool(site.amplifiers),
    )


def _smus(site: Site, settings: DemoSettings) -> tuple[Smu, ...]:
    """Return the site's source-measure units, or those of the wanted kind."""
    return site.smus if settings.smu == ARC_ONE else bench_units(settings.smu, site.smus)


def _playback(site: Site, recording: Path) -> PlaybackAmplifier:
    """Return a recording as Padova's amplifier: its first channel is BN's."""
    from drivers.mea.playback.open_recording import open_recording  # noqa: PLC0415

    amplifier = site.amplifiers[0]
    try:
        channel = open_recording(recording).stream_format.channel_names[0]
    except InstrumentError as exc:
        raise ConfigError(str(exc)) from exc
    neuron = msgspec.structs.replace(amplifier.neurons[0], channel=channel)
    return PlaybackAmplifier(
        name=amplifier.name,
        folder=str(recording.resolve()),
        is_looping=True,
        neurons=(neuron,),
        detection=amplifier.detection,
        patterns=amplifier.patterns,
    )


def _write_overrides(template: Path, folder: Path, site: Site) -> None:
    """Write the signed limits, without those of an amplifier that a recording replaces."""
    if site.limits_override is None:
        return
    file, _ = read_overrides(template, site)
    limited = {a.name for a in site.amplifiers if not isinstance(a, PlaybackAmplifier)}
    limited |= {smu.name for smu in site.smus} | {chip.name for chip in site.chips}
    entries = moved_to_units(file.overrides, limited)
    kept = tuple(entry for entry in entries if entry.instrument in limited)
    _write_toml(folder / site.limits_override, msgspec.structs.replace(file, overrides=kept))


def _write_toml(path: Path, content: Site | Experiment | OverrideFile) -> None:
    path.write_bytes(as_toml(content))


def set_hub_port(site_file: Path, port: int) -> None:
    """Write into a site's file at which port the hub listens."""
    site = load_site(site_file)
    peers = tuple(
        msgspec.structs.replace(peer, port=port) if peer.site == HUB else peer
        for peer in site.peers
    )
    _write_toml(site_file, msgspec.structs.replace(site, peers=peers))
