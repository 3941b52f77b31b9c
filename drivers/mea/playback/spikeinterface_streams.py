"""Which of the several streams in one file holds the electrodes.

An Intan file has a stream for the amplifiers and others for what else its controller records: each
`.rhs` the stimulation, most `.rhd` the accelerometers and the supply. Neo names the unit of every
channel; electrodes are those in microvolts.
"""

from pathlib import Path
from typing import Any

from drivers.errors import InstrumentProtocolError


def read_stream(read: Any, path: Path, stream: str, options: dict[str, Any]) -> Any:
    """Return what a reader of SpikeInterface makes of one stream; "" is the electrodes' stream.

    Raises
    ------
    InstrumentProtocolError
        Several streams may be it, or none.
    Exception
        Whatever the reader raises.
    """
    if stream:
        return read(path, stream_name=stream, **options)
    try:
        return read(path, **options)
    except ValueError:
        if not hasattr(read, "get_neo_io_reader"):
            raise
        names = _units_by_stream(read, path)
        if len(names) < 2:
            raise
    return read(path, stream_name=_of_electrodes(path, names), **options)


def _units_by_stream(read: Any, path: Path) -> dict[str, set[str]]:
    """Return the units of each stream's channels by the stream's name."""
    header = read.get_neo_io_reader(read.NeoRawIOClass, **read.map_to_neo_kwargs(path)).header
    channels = header["signal_channels"]
    return {
        str(stream["name"]): {
            str(unit) for unit in channels["units"][channels["stream_id"] == stream["id"]]
        }
        for stream in header["signal_streams"]
    }


def _of_electrodes(path: Path, names: dict[str, set[str]]) -> str:
    found = [name for name, units in names.items() if units == {"uV"}]
    if len(found) != 1:
        told = ", ".join(repr(name) for name in found or names)
        raise InstrumentProtocolError(
            f"{path}: {len(found) or 'no'} streams in uV; say which one with stream: {told}"
        )
    return found[0]
