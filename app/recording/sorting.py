"""A session's own spikes as the folder that SpikeInterface's `read_numpy_sorting_folder` reads.

`numpysorting_info.json` and `spikes.npy` with (sample_index, unit_index, segment_index); a segment
is one raw recording, and samples count from its first. A session without raw samples has one
segment. (Layout: SpikeInterface, NumpyFolderSorting.)
"""

import io
import json
from pathlib import Path

import numpy as np

from app.recording.errors import RecordingError
from app.recording.files import Files, make_folders, replace_file
from app.recording.raw_recovery import raw_folders
from app.recording.reader import SessionReader

FOLDER, INFO_NAME = "sorting", "numpysorting_info.json"
AT_ONCE_ROWS = 200_000
"""Rows of the event log that are looked through when a session ends; more take seconds."""
SPIKE = np.dtype([("sample_index", "<i8"), ("unit_index", "<i8"), ("segment_index", "<i8")])


def sort_at_once(folder: Path, files: Files) -> bool:
    """Give a session with raw samples its `sorting` folder; return False if it is left for later.

    Then the folder is empty (`lacks_sorting`). Raises RecordingError and OSError.
    """
    if not raw_folders(folder) or (folder / FOLDER).exists():
        return True
    with SessionReader(folder) as session:
        ((n_rows,),) = session.query("SELECT coalesce(max(rowid), 0) FROM spikes")
        if n_rows > AT_ONCE_ROWS:
            make_folders(files, folder / FOLDER)
            return False
        write_sorting(session, folder / FOLDER, files)
    return True


def lacks_sorting(folder: Path) -> bool:
    """Say whether a session's `sorting` was left for later."""
    return (folder / FOLDER).is_dir() and not (folder / FOLDER / INFO_NAME).exists()


def write_sorting(session: SessionReader, folder: Path, files: Files) -> int:
    """Write the folder; return how many spikes are in it.

    Spikes outside every raw recording have no sample there and are left out.

    Raises
    ------
    RecordingError
        The disk refuses.
    """
    spikes = session.spikes(site=session.info.site)
    spikes = spikes[(spikes["sample_index"] >= 0) & (spikes["kind"] != 0)]
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
    data = io.BytesIO()
    np.save(data, rows)
    try:
        make_folders(files, folder)
        replace_file(files, folder / "spikes.npy", data.getvalue())
        # Last: only with it is the folder whole.
        replace_file(files, folder / INFO_NAME, json.dumps(info, indent=1).encode() + b"\n")
    except OSError as exc:
        raise RecordingError(f"{folder}: sorting cannot be written: {exc}") from exc
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
