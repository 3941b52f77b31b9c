"""A session's own spikes as the folder that SpikeInterface's `read_numpy_sorting_folder` reads.

`numpysorting_info.json` and `spikes.npy` with (sample_index, unit_index, segment_index); a segment
is one raw recording, and samples count from its first. A session without raw samples has one
segment. (Layout: SpikeInterface, NumpyFolderSorting.)
"""

import json
from pathlib import Path

import numpy as np

from app.recording.errors import RecordingError
from app.recording.files import DiskFiles, replace_file
from app.recording.reader import SessionReader

SPIKE = np.dtype([("sample_index", "<i8"), ("unit_index", "<i8"), ("segment_index", "<i8")])


def export_sorting(session: SessionReader, folder: Path) -> int:
    """Write the folder; return how many spikes are in it.

    Spikes outside every raw recording have no sample there and are left out.

    Raises
    ------
    RecordingError
        No spike of the session has a sample, or the disk refuses.
    """
    spikes = session.spikes(site=session.info.site)
    spikes = spikes[(spikes["sample_index"] >= 0) & (spikes["kind"] != 0)]
    if not len(spikes):
        raise RecordingError(f"{session.folder}: no spikes of an amplifier, nothing to sort")
    rate_hz, segments = _segments(session)
    units = np.unique(spikes["neuron"])
    rows = np.zeros(len(spikes), SPIKE)
    rows["unit_index"] = np.searchsorted(units, spikes["neuron"])
    is_inside = np.zeros(len(spikes), bool)
    for index, (first, end) in enumerate(segments):
        here = (spikes["sample_index"] >= first) & (spikes["sample_index"] < end)
        rows["sample_index"][here] = spikes["sample_index"][here] - first
        rows["segment_index"][here] = index
        is_inside |= here
    rows = rows[is_inside]
    rows = rows[np.lexsort((rows["unit_index"], rows["sample_index"], rows["segment_index"]))]
    info = {
        "sampling_frequency": rate_hz,
        "unit_ids": units.tolist(),
        "num_segments": len(segments),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / "spikes.part.npy"
        np.save(part, rows)
        part.replace(folder / "spikes.npy")
        text = json.dumps(info, indent=1).encode() + b"\n"
        replace_file(DiskFiles(), folder / "numpysorting_info.json", text)
    except OSError as exc:
        raise RecordingError(f"{folder}: export failed: {exc}") from exc
    return len(rows)


def _segments(session: SessionReader) -> tuple[float, list[tuple[int, int]]]:
    raw = session.raw()
    if raw:
        ends = [(r.first_sample, r.first_sample + len(r.samples)) for r in raw]
        return raw[0].stream_format.sample_rate_hz, ends
    mapping = session.query(
        "SELECT rate_hz FROM clock_mappings WHERE kind = 'samples' ORDER BY rowid LIMIT 1"
    )
    rate_hz = float(mapping[0][0]) if mapping else 20_000.0
    return rate_hz, [(0, np.iinfo(np.int64).max)]
