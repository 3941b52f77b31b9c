"""Recordings of other makers, through SpikeInterface: the optional extra `playback`.

Its readers and Neo's behind them know Intan, Maxwell, BioCAM, MCS, SpikeGLX, Blackrock, NWB and
more. What they deliver is turned into int16 with one step in microvolts for all channels.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentError, InstrumentProtocolError
from drivers.mea.playback.recording import Recording, check_rate
from drivers.mea.playback.spikeinterface_streams import read_stream
from drivers.mea.protocol import StreamFormat

OTHER_STEP_UV = 0.195
"""Step of data that is no int16 with one gain: as fine as an Intan amplifier's."""
INT16 = np.iinfo(np.int16)
OWN_FOLDER_FILES = ("si_folder.json", "binary.json", "spikeinterface_recording.json", ".zgroup")
OWN_SUFFIXES = {".nwb": ["nwb"], ".json": ["load"]}
"""Formats that SpikeInterface reads without Neo."""
READER_OPTIONS: dict[str, dict[str, Any]] = {"maxwell": {"install_maxwell_plugin": False}}
"""Opening a recording downloads nothing: Maxwell's decompressor is the user's to install."""
ADVICE = "install the extra: pip install 'spikebridge[playback]'"


def open_with_spikeinterface(path: Path, reader: str = "", stream: str = "") -> Recording:
    """Open whatever SpikeInterface reads; `reader` is its name there ("intan", "maxwell"), or "".

    `stream` is one of several streams in it; "" is the one with the electrodes.

    Raises
    ------
    InstrumentError
        The extra is not installed, nothing there reads this path, or its files are damaged.
    InstrumentProtocolError
        It is read, but no stream for us: no scale to microvolts, several segments, several
        streams of which any may be meant.
    """
    try:
        import spikeinterface.extractors  # noqa: PLC0415, F401 - an extra, and slow to import
    except ImportError as exc:
        raise InstrumentError(
            f"{path}: is no Open Ephys binary, WAV or plain file; to read other formats {ADVICE}"
        ) from exc
    return _recording(path, _open(path, [reader] if reader else _guess_readers(path), stream))


def _guess_readers(path: Path) -> list[str]:
    """Return the readers for a path, by what makers call their files, the likeliest first."""
    if path.is_dir() and any((path / name).exists() for name in OWN_FOLDER_FILES):
        return ["load"]
    suffix = path.suffix.lower()
    if suffix in OWN_SUFFIXES:
        return OWN_SUFFIXES[suffix]
    if suffix == ".h5" and _is_mcs(path):
        return ["mcsh5"]
    import neo  # noqa: PLC0415 - an extra

    readers = {
        reader.NeoRawIOClass.lower(): name
        for name, reader in _all_readers().items()
        if getattr(reader, "NeoRawIOClass", None)
    }
    try:
        candidates = neo.list_candidate_ios(path)
    except ValueError:
        candidates = []
    names = [io.__name__.lower().removesuffix("io") + "rawio" for io in candidates]
    known = [readers[name] for name in names if name in readers]
    if not known:
        raise InstrumentError(
            f"{path}: of no format that is known by its name; say which reader, one of "
            f"{', '.join(sorted(_all_readers()))}"
        )
    return list(dict.fromkeys(known))


def _is_mcs(path: Path) -> bool:
    """Say whether this is Multi Channel Systems' HDF5: their reader does not fail cleanly."""
    try:
        import h5py  # noqa: PLC0415 - comes with the extra

        with h5py.File(path, "r") as file:
            return "Data/Recording_0/AnalogStream" in file
    except (ImportError, OSError):
        return False


def _all_readers() -> dict[str, Any]:
    from spikeinterface.extractors import extractor_classes  # noqa: PLC0415 - an extra

    return dict(extractor_classes.recording_extractor_full_dict)


def _open(path: Path, readers: list[str], stream: str) -> Any:
    """Return what the first of the readers makes of a path; several makers use `.h5`."""
    import spikeinterface  # noqa: PLC0415 - an extra

    failures = []
    for reader in readers:
        read = spikeinterface.load if reader == "load" else _all_readers().get(reader)
        if read is None:
            raise InstrumentError(
                f"{path}: no reader {reader!r}; there are {', '.join(sorted(_all_readers()))}"
            )
        try:
            return read_stream(read, path, stream, READER_OPTIONS.get(reader, {}))
        except InstrumentProtocolError:
            raise
        except Exception as exc:  # noqa: BLE001
            # What a damaged file raises is the business of some forty readers of other people.
            failures.append(f"reader {reader!r} says: {type(exc).__name__}: {_short(exc)}")
    raise InstrumentError(f"{path}: cannot be read by SpikeInterface; {'; '.join(failures)}")


def _short(exc: Exception) -> str:
    return " ".join(str(exc).split())[:200]


def _recording(path: Path, found: Any) -> Recording:
    if not hasattr(found, "get_traces"):
        raise InstrumentProtocolError(f"{path}: holds a {type(found).__name__}, no recording")
    if found.get_num_segments() != 1:
        raise InstrumentProtocolError(
            f"{path}: {found.get_num_segments()} segments; save the one to play by itself"
        )
    if not found.has_scaleable_traces():
        raise InstrumentProtocolError(f"{path}: does not say how many uV a count is")
    gains_uv = np.asarray(found.get_channel_gains(), np.float64)
    offsets_uv = np.asarray(found.get_channel_offsets(), np.float64)
    if not np.all((gains_uv != 0) & np.isfinite(gains_uv) & np.isfinite(offsets_uv)):
        raise InstrumentProtocolError(f"{path}: a channel's gain is 0 or no number")
    conversion = _conversion(np.dtype(found.get_dtype()), gains_uv, offsets_uv)
    rate_hz = check_rate(str(path), float(found.get_sampling_frequency()))
    stream_format = StreamFormat(_names(found), rate_hz, conversion.step_uv)
    positions_um = _positions(found)
    return Recording(
        stream_format, _SpikeInterfaceRows(path, found, conversion), positions_um=positions_um
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Conversion:
    """From a file's numbers to counts of `step_uv`: exact where only whole counts are added."""

    step_uv: float
    shift: int | None
    """Counts to add; None: scale each channel instead."""
    gains: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.float32]

    def apply(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
        """Return int16 rows; what lies beyond int16 stays at its ends, where it counts as pegged.

        What is no number becomes such an end, too: it is not signal.
        """
        if self.shift == 0:
            return np.ascontiguousarray(rows)
        if self.shift is not None:
            wide = rows.astype(np.int32) + self.shift
            return np.clip(wide, INT16.min, INT16.max).astype(np.int16)
        scaled = rows.astype(np.float32)
        scaled *= self.gains
        scaled += self.offsets
        np.rint(scaled, out=scaled)
        if not INT16.min <= scaled.min(initial=0) <= scaled.max(initial=0) <= INT16.max:
            np.nan_to_num(scaled, copy=False, nan=INT16.max, posinf=INT16.max, neginf=INT16.min)
            np.clip(scaled, INT16.min, INT16.max, out=scaled)
        return scaled.astype(np.int16)


def _conversion(
    dtype: np.dtype[Any], gains_uv: npt.NDArray[np.float64], offsets_uv: npt.NDArray[np.float64]
) -> _Conversion:
    gain_uv = float(gains_uv[0])
    shift = offsets_uv[0] / gain_uv
    is_uniform = np.all(gains_uv == gain_uv) and np.all(offsets_uv == offsets_uv[0])
    is_shift = gain_uv > 0 and math.isclose(shift, round(shift), abs_tol=1e-3)
    n_counts: int | None = None
    if dtype in (np.dtype(np.int16), np.dtype(np.uint16)) and is_uniform and is_shift:
        n_counts = round(shift)
        if dtype == np.uint16 and not n_counts:
            n_counts = INT16.min  # the middle of the range becomes 0, which a filter ignores
    step_uv = OTHER_STEP_UV if n_counts is None else gain_uv
    gains, offsets = (gains_uv / step_uv).astype("f4"), (offsets_uv / step_uv).astype("f4")
    return _Conversion(step_uv, n_counts, gains, offsets)


@dataclass(frozen=True, slots=True, eq=False)
class _SpikeInterfaceRows:
    path: Path
    found: Any
    conversion: _Conversion

    def __len__(self) -> int:
        return int(self.found.get_num_samples())

    def __getitem__(self, rows: slice, /) -> npt.NDArray[np.int16]:
        start, stop, _ = rows.indices(len(self))
        try:
            traces = self.found.get_traces(start_frame=start, end_frame=stop)
        except Exception as exc:
            raise InstrumentError(f"{self.path}: cannot be read at {start}: {exc}") from exc
        samples = self.conversion.apply(traces)
        samples = samples.view()
        samples.flags.writeable = False
        return samples


def _names(found: Any) -> tuple[str, ...]:
    """Return the channels' names, where they are told and each once; else their ids."""
    names = found.get_property("channel_name")
    if names is None:
        names = found.get_property("channel_names")
    if names is None or len({str(name) for name in names}) != len(names):
        names = found.channel_ids
    return tuple(str(name) for name in names)


def _positions(found: Any) -> npt.NDArray[np.float64] | None:
    if not found.has_probe():
        return None
    return np.asarray(found.get_channel_locations(axes="xy"), np.float64)
