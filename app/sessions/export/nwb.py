"""A session as one NWB 2 file: ElectricalSeries, Units, EventsTable. Taken up again if interrupted.

First everything but the samples is written, with room for them; then the samples are copied chunk
by chunk. A file beside it says how far that came, so an interrupted export goes on where it was.
(Source: NWB 2.9 core schema; times are seconds since the session began, on the site's clock.)
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from hdmf.backends.hdf5.h5_utils import H5DataIO
from pynwb import NWBHDF5IO, NWBFile
from pynwb.device import Device
from pynwb.ecephys import ElectricalSeries

from app.recording.errors import RecordingError
from app.recording.raw_reader import RawSamples
from app.recording.reader import SessionReader
from app.recording.session import ElectrodeInfo, Metadata
from app.sessions.export.nwb_events import event_tables
from app.sessions.export.nwb_samples import CHUNK_CHANNELS, CHUNK_SAMPLES, SeriesCopy, copy_samples
from app.sessions.export.nwb_subject import subject_of
from app.sessions.facts import experiment_of

COMPRESSED_FROM_BYTES = 50_000_000
"""Smaller series are left as they are: compressing them gains nothing."""

OnSamples = Callable[[int], None]


class Progress(msgspec.Struct):
    """How far an export has come: what it is of, and whole chunks of rows per series."""

    session: str
    n_samples: list[int]
    n_copied: list[int]


def export_nwb(session: SessionReader, path: Path, on_samples: OnSamples = lambda _n: None) -> None:
    """Write `path`; `on_samples` is told how many samples of all channels have been copied.

    Raises
    ------
    RecordingError
        The session has nothing that NWB could hold, or the disk refuses.
    """
    raw = [recording for recording in session.raw() if len(recording.samples)]
    part, state = path.with_suffix(".part.nwb"), path.with_suffix(".progress.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Progress(session.info.session, [len(r.samples) for r in raw], [0] * len(raw))
    progress = _interrupted(part, state, fresh)
    try:
        if progress is None:
            progress = fresh
            file = nwb_file(session, raw)
            with NWBHDF5IO(part, "w") as io:
                io.write(file)
            state.write_bytes(msgspec.json.encode(progress))
        copies = [SeriesCopy(name, r.samples) for name, r in zip(_names(raw), raw, strict=True)]

        def copied(index: int, n_samples: int) -> None:
            on_samples(n_samples - progress.n_copied[index])
            progress.n_copied[index] = n_samples
            state.write_bytes(msgspec.json.encode(progress))

        copy_samples(part, copies, progress.n_copied, copied)
        part.replace(path)
        state.unlink(missing_ok=True)
    except OSError as exc:
        raise RecordingError(f"{path}: export failed: {exc}; start it again to go on") from exc


def nwb_file(session: SessionReader, raw: list[RawSamples]) -> NWBFile:
    """Return the session as an NWB file in memory, without samples."""
    info = session.info
    about = info.metadata.about
    experiment = experiment_of(session)
    start_ns = info.anchors[0].monotonic_ns
    file = NWBFile(
        session_description=about.description
        or f"Session {info.number} of site {info.site}, recorded by SpikeBridge",
        identifier=info.session,
        session_start_time=dt.datetime.fromtimestamp(info.anchors[0].utc_ns / 1e9, dt.UTC),
        session_id=session.folder.name,
        experimenter=list(about.experimenters) or None,
        institution=about.institution,
        lab=about.laboratory,
        experiment_description=None if experiment is None else experiment.name,
        keywords=["hybrid neural network", "memristor", "microelectrode array"],
        notes=f"experiment SHA-256 {info.experiment_sha256}; software {info.software}",
    )
    file.subject = subject_of(info.metadata)
    devices = {
        name: file.create_device(name=name, description=f"{name} ({kind})")
        for name, kind in info.provenance.items()
    }
    electrodes = _add_electrodes(file, raw, devices, info.metadata)
    for name, recording in zip(_names(raw), raw, strict=True):
        file.add_acquisition(_series(session, file, name, recording))
    _add_units(session, file, electrodes, raw, start_ns)
    for table in event_tables(session, start_ns):
        file.add_events_table(table)
    return file


def _interrupted(part: Path, state: Path, fresh: Progress) -> Progress | None:
    if not (part.exists() and state.exists()):
        return None
    try:
        progress = msgspec.json.decode(state.read_bytes(), type=Progress)
    except (OSError, msgspec.MsgspecError):
        return None
    is_same = (progress.session, progress.n_samples) == (fresh.session, fresh.n_samples)
    return progress if is_same and len(progress.n_copied) == len(fresh.n_copied) else None


def _names(raw: list[RawSamples]) -> list[str]:
    if len(raw) == 1:
        return ["ElectricalSeries"]
    return [f"ElectricalSeries{number:03d}" for number in range(1, len(raw) + 1)]


def _add_electrodes(
    file: NWBFile, raw: list[RawSamples], devices: dict[str, Device], metadata: Metadata
) -> dict[str, int]:
    """Return the row of the electrodes table by channel name."""
    if not raw:
        return {}
    told = {e.channel: e for electrodes in metadata.electrodes.values() for e in electrodes}
    has_places = any(e.x_um is not None for e in told.values())
    device = next(iter(devices.values()), None) or file.create_device("amplifier")
    group = file.create_electrode_group(
        name="array", description="Microelectrode array", location="culture", device=device
    )
    file.add_electrode_column("channel_name", "Name of the amplifier's channel")
    names = raw[0].stream_format.channel_names
    if told:
        file.add_electrode_column("is_bad", "Whether the laboratory holds the electrode for bad")
    for name in names:
        electrode = told.get(name, ElectrodeInfo(channel=name))
        more: dict[str, object] = {"is_bad": electrode.is_bad} if told else {}
        if has_places:
            more |= {"rel_x": _um(electrode.x_um), "rel_y": _um(electrode.y_um)}
        file.add_electrode(group=group, location="culture", channel_name=name, **more)
    return {name: index for index, name in enumerate(names)}


def _um(place_um: float | None) -> float:
    return np.nan if place_um is None else place_um


def _series(session: SessionReader, file: NWBFile, name: str, raw: RawSamples) -> ElectricalSeries:
    n_samples, n_channels = raw.samples.shape
    is_large = raw.samples.nbytes >= COMPRESSED_FROM_BYTES
    data = H5DataIO(
        shape=raw.samples.shape,
        dtype=np.dtype(np.int16),
        chunks=(min(CHUNK_SAMPLES, n_samples), min(CHUNK_CHANNELS, n_channels)),
        compression="gzip" if is_large else None,
        compression_opts=1 if is_large else None,
    )
    region = file.create_electrode_table_region(list(range(n_channels)), "All channels, in order")
    return ElectricalSeries(
        name=name,
        description=f"Raw samples of {raw.folder.name}, from sample {raw.first_sample} on",
        data=data,
        electrodes=region,
        starting_time=_seconds_of(session, raw),
        rate=raw.stream_format.sample_rate_hz,
        conversion=raw.stream_format.microvolts_per_count * 1e-6,
    )


def _seconds_of(session: SessionReader, raw: RawSamples) -> float:
    """Return when the first sample was, by the recorded mapping of samples to site time."""
    start_ns = session.info.anchors[0].monotonic_ns
    mapping = session.query(
        "SELECT time_ns, sample_index, rate_hz FROM clock_mappings WHERE kind = 'samples' "
        "ORDER BY sample_index > ?, rowid DESC LIMIT 1",
        raw.first_sample,
    )
    if mapping:
        time_ns, index, rate_hz = mapping[0]
        return float((time_ns - start_ns) / 1e9 + (raw.first_sample - index) / rate_hz)
    folder = raw.folder.relative_to(session.folder).as_posix()
    found = session.query(
        "SELECT time_ns FROM raw_recordings WHERE folder = ? AND event = 'started'", folder
    )
    return float((found[0][0] - start_ns) / 1e9) if found else 0.0


def _add_units(
    session: SessionReader,
    file: NWBFile,
    electrodes: dict[str, int],
    raw: list[RawSamples],
    start_ns: int,
) -> None:
    experiment = experiment_of(session)
    names = {n.id: n.name for n in experiment.neurons} if experiment else {}
    found = session.query(
        "SELECT DISTINCT site, neuron FROM spikes WHERE kind != 0 ORDER BY site, neuron"
    )
    if not found:
        return
    channel_of = channels_of_neurons(session)
    file.add_unit_column("neuron", "Id of the neuron in the experiment")
    file.add_unit_column("neuron_name", "Its name in the experiment")
    file.add_unit_column("site", "Laboratory in which it fires")
    has_electrodes = any(channel_of.get(neuron) in electrodes for _, neuron in found)
    for site, neuron in found:
        times_ns = [
            t
            for (t,) in session.query(
                "SELECT time_ns FROM spikes WHERE site = ? AND neuron = ? AND kind != 0 "
                "ORDER BY time_ns",
                site,
                neuron,
            )
        ]
        seconds = np.sort((session.to_own_ns(site, times_ns) - start_ns) / 1e9)
        electrode = electrodes.get(channel_of.get(neuron, ""))
        more = {"electrodes": [] if electrode is None else [electrode]} if has_electrodes else {}
        file.add_unit(
            spike_times=seconds,
            neuron=neuron,
            neuron_name=names.get(neuron, str(neuron)),
            site=site,
            **more,
        )
    file.units.resolution = 1 / raw[0].stream_format.sample_rate_hz if raw else 1e-9


def channels_of_neurons(session: SessionReader) -> dict[int, str]:
    """Return the amplifier's channel of each neuron that has one, from the session's site file."""
    from app.config.load import ConfigError, parse, read_bounded  # noqa: PLC0415
    from app.config.site import Site  # noqa: PLC0415

    path = session.folder / "config.toml"
    try:
        site = parse(read_bounded(path), Site, str(path))
    except (OSError, ConfigError):
        return {}
    return {n.neuron: n.channel for a in site.amplifiers for n in a.neurons}
