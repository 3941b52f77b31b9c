"""Names and keys of the Open Ephys binary layout: `structure.oebin` and the folders it names.

Source: "Binary format" in the Open Ephys GUI documentation, and the keys without which Neo,
SpikeInterface or open-ephys-python-tools fail.
"""

import json
from dataclasses import dataclass

from drivers.mea.protocol import StreamFormat

GUI_VERSION = "0.6.7"
"""The version of the layout: readers take `sample_numbers.npy` and seconds from 0.6 on."""


@dataclass(frozen=True, slots=True)
class StreamLayout:
    """One amplifier's stream and the names under which readers find it."""

    stream_format: StreamFormat
    source_name: str = "MEA"
    source_id: int = 100
    stream_name: str = "raw"
    node_id: int = 101

    @property
    def folder_name(self) -> str:
        """Get the stream's folder, such as `MEA-100.raw`."""
        return f"{self.source_name}-{self.source_id}.{self.stream_name}"

    @property
    def bytes_per_frame(self) -> int:
        """Get the size of one sample of all channels in `continuous.dat`."""
        return 2 * self.stream_format.n_channels

    @property
    def bytes_per_s(self) -> float:
        """Get what a recording takes per second, sample numbers and timestamps included."""
        return (self.bytes_per_frame + 16) * self.stream_format.sample_rate_hz


def structure_oebin(layout: StreamLayout) -> bytes:
    """Return the content of `structure.oebin` for one stream with TTL events and messages."""
    structure = {
        "GUI version": GUI_VERSION,
        "continuous": [_continuous(layout)],
        "events": [_ttl(layout), _messages(layout)],
        "spikes": [],
    }
    return json.dumps(structure, indent=2).encode()


def _continuous(layout: StreamLayout) -> dict[str, object]:
    names = layout.stream_format.channel_names
    return {
        "folder_name": layout.folder_name + "/",
        "sample_rate": layout.stream_format.sample_rate_hz,
        "source_processor_name": layout.source_name,
        "source_processor_id": layout.source_id,
        "stream_name": layout.stream_name,
        "recorded_processor": "Record Node",
        "recorded_processor_id": layout.node_id,
        "num_channels": len(names),
        "channels": [
            {
                "channel_name": _safe_channel_name(name, number),
                "description": f"amplifier channel {name}",
                "identifier": "",
                "history": layout.source_name,
                "bit_volts": layout.stream_format.microvolts_per_count,
                "units": "uV",
                "type": 0,
            }
            for number, name in enumerate(names, start=1)
        ],
    }


def _safe_channel_name(name: str, number: int) -> str:
    # Neo takes a name containing ADC or SYNC for a channel that carries no neural signal.
    return f"CH{number}" if "ADC" in name or "SYNC" in name else name


def _ttl(layout: StreamLayout) -> dict[str, object]:
    return {
        "folder_name": layout.folder_name + "/TTL/",
        "channel_name": "Stimulation",
        "description": "Line 1: current of our own stimulus began, seen in the sample stream",
        "identifier": "spikebridge.stimulation",
        "sample_rate": layout.stream_format.sample_rate_hz,
        "type": "int16",
        "source_processor": layout.source_name,
        "stream_name": layout.stream_name,
        "initial_state": 0,
    }


def _messages(layout: StreamLayout) -> dict[str, object]:
    return {
        "folder_name": "MessageCenter/",
        "channel_name": "Messages",
        "description": "Start of the recording, and every stimulus with channel and current",
        "identifier": "messagecenter.events",
        "sample_rate": layout.stream_format.sample_rate_hz,
        "type": "string",
        "source_processor": "Message Center",
        "stream_name": layout.stream_name,
    }
