"""Which reader a recording needs."""

from pathlib import Path

from drivers.errors import InstrumentError, InstrumentProtocolError
from drivers.mea.playback.open_ephys_files import is_open_ephys, open_open_ephys
from drivers.mea.playback.plain_files import open_wav
from drivers.mea.playback.recording import Recording
from drivers.mea.playback.session_files import is_session, open_session_recording
from drivers.mea.playback.spikeinterface_files import open_with_spikeinterface


def open_recording(
    path: Path, *, reader: str = "", stream: str = "", wav_microvolts_per_count: float = 1.0
) -> Recording:
    """Open a recording: our own session, Open Ephys binary, WAV, or what SpikeInterface reads.

    `reader` is the name of one of SpikeInterface's readers, where the path does not tell the
    format, `stream` one of several streams that it reads. A WAV file does not say what its counts
    mean.

    Raises
    ------
    InstrumentError
        It is not there, cannot be read, or needs an extra that is not installed.
    InstrumentProtocolError
        Its files do not fit each other.
    """
    if not path.exists():
        raise InstrumentError(f"{path}: no such file or folder")
    if reader:
        return open_with_spikeinterface(path, reader, stream)
    is_wav = path.suffix.lower() == ".wav"
    if stream and (is_wav or is_session(path)):
        raise InstrumentProtocolError(f"{path}: has no streams of which {stream!r} could be one")
    if is_wav:
        return open_wav(path, wav_microvolts_per_count)
    if is_session(path):
        return open_session_recording(path)
    if is_open_ephys(path):
        return open_open_ephys(path, stream)
    return open_with_spikeinterface(path, stream=stream)
