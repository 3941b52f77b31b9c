"""Where the electrodes lie, from a probeinterface file: the field's own format for it.

Source: probeinterface documentation, "Format specifications" (JSON, `probes` with
`contact_positions`, `si_units`, `device_channel_indices`, `contact_ids`).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.config.amplifiers import Amplifier, PlaybackAmplifier
from app.config.load import ConfigError, read_bounded
from app.config.site import Site

MICROMETRES = {"um": 1.0, "mm": 1e3, "m": 1e6}


def amplifier_positions_um(
    site_file: Path, amplifier: Amplifier, channel_names: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Return the places of an amplifier's electrodes as `read_positions_um`; nan without a map."""
    if amplifier.probe is None:
        return np.full((len(channel_names), 2), np.nan)
    return read_positions_um(site_file.parent / amplifier.probe, channel_names)


def electrode_table(
    site_file: Path, amplifier: Amplifier, channel_names: Sequence[str]
) -> list[dict[str, object]]:
    """Return channel, place and state of each electrode as plain values, for records.

    Raises as `read_positions_um`; without a map the places are missing.
    """
    places = amplifier_positions_um(site_file, amplifier, channel_names).tolist()
    bad = set(amplifier.bad_channels)
    return [
        {"channel": name, "is_bad": name in bad, **_place(x_um, y_um)}
        for name, (x_um, y_um) in zip(channel_names, places, strict=True)
    ]


def _place(x_um: float, y_um: float) -> dict[str, float]:
    return {} if math.isnan(x_um) else {"x_um": x_um, "y_um": y_um}


def map_conflicts(site_file: Path, site: Site) -> list[str]:
    """Return what is wrong with the electrode maps of a site, as far as its channels are known."""
    sentences = []
    for amplifier in site.amplifiers:
        if isinstance(amplifier, PlaybackAmplifier):
            continue  # its recording tells the channels, once it is open
        try:
            amplifier_positions_um(site_file, amplifier, amplifier.channels)
        except ConfigError as exc:
            sentences.append(f"site {site.site}, amplifier {amplifier.name}: {exc}")
    return sentences


def read_positions_um(path: Path, channel_names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the place of each channel's electrode, `(n_channels, 2)`; nan where none is told.

    A contact belongs to the channel that its `device_channel_indices` counts, in the order of
    `channel_names`; in a file without them to the channel that has its `contact_ids` as its name.

    Raises
    ------
    ConfigError
        The file cannot be read, or a contact stands for no channel or two for the same.
    """
    positions_um = np.full((len(channel_names), 2), np.nan)
    for probe in _probes(path):
        scale_um = MICROMETRES.get(str(probe.si_units))
        if scale_um is None:
            raise ConfigError(f"{path}: si_units {probe.si_units!r}, allowed: um, mm, m")
        for column, position in zip(
            _columns(path, probe, channel_names), probe.contact_positions, strict=True
        ):
            if column is None:
                continue
            if not np.isnan(positions_um[column, 0]):
                raise ConfigError(f"{path}: two contacts for channel {channel_names[column]}")
            positions_um[column] = np.asarray(position[:2], np.float64) * scale_um
    if np.all(np.isnan(positions_um)):
        raise ConfigError(
            f"{path}: none of its contacts is one of the channels {_shown(channel_names)}"
        )
    return positions_um


def _probes(path: Path) -> list[Any]:
    read_bounded(path)  # a file that is missing or absurd is named in our words
    import probeinterface  # noqa: PLC0415 - brings half a second of imports, and few need it

    try:
        return list(probeinterface.read_probeinterface(path).probes)
    except (OSError, ValueError, LookupError, TypeError, AssertionError, AttributeError) as exc:
        raise ConfigError(f"{path}: not a probeinterface file: {exc!r}") from exc


def _columns(path: Path, probe: Any, channel_names: Sequence[str]) -> list[int | None]:
    """Return the column of each contact, None for one that is connected to nothing here."""
    indices = probe.device_channel_indices
    if indices is not None:
        beyond = [int(i) for i in indices if i >= len(channel_names)]
        if beyond:
            raise ConfigError(
                f"{path}: device channel {beyond[0]} of {len(channel_names)} channels (0 is the "
                "first); is it the map of another amplifier, or are channels missing?"
            )
        return [int(i) if i >= 0 else None for i in indices]
    if probe.contact_ids is None:
        raise ConfigError(
            f"{path}: neither device_channel_indices nor contact_ids say which contact is which "
            "channel; add device_channel_indices"
        )
    column = {name: index for index, name in enumerate(channel_names)}
    return [column.get(str(name)) for name in probe.contact_ids]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{names[0]}, {names[1]} ... {names[-1]}"
