"""Which row of the raster belongs to what: channels at the top, then the neurons site by site."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.console.feed import FeedFormat

NEURON_PX = 14
"""A neuron's row: legible, because a few neurons matter more than many channels."""
NEURON_SHARE_MAX = 0.5
TITLE_PX = 16
"""Above each group, for its title."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Neighbouring rows of one source."""

    site: str
    title: str
    first: int
    names: tuple[str, ...]
    is_channels: bool

    @property
    def stop(self) -> int:
        """Get the row after the last."""
        return self.first + len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class RowPlaces:
    """Where rows lie in an image, in pixels from the top; both `(n_rows,)`."""

    y: npt.NDArray[np.int32]
    height: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class RasterRows:
    """All rows of one feed."""

    groups: tuple[RowGroup, ...]
    neuron_rows: dict[int, int]
    """Row by neuron id."""

    @property
    def n_rows(self) -> int:
        """Get the number of rows."""
        return self.groups[-1].stop if self.groups else 0

    def group_of(self, row: int) -> RowGroup | None:
        """Return the group that a row is in."""
        return next((g for g in self.groups if g.first <= row < g.stop), None)


def rows_of(feed_format: FeedFormat) -> RasterRows:
    """Return a row for each channel of this site and for each neuron of the experiment."""
    groups: list[RowGroup] = []
    if feed_format.n_channels:
        title = f"{feed_format.site}: electrodes"
        groups.append(RowGroup(feed_format.site, title, 0, feed_format.channel_names, True))
    neuron_rows: dict[int, int] = {}
    ours_first = sorted(feed_format.sites, key=lambda site: site != feed_format.site)
    first = feed_format.n_channels
    for site in ours_first:
        members = [(n, name) for n, of_site, name in feed_format.neurons if of_site == site]
        if members:
            names = tuple(name for _, name in members)
            groups.append(RowGroup(site, f"{site}: neurons", first, names, False))
            neuron_rows.update({n: first + i for i, (n, _) in enumerate(members)})
            first += len(members)
    return RasterRows(tuple(groups), neuron_rows)


def place_rows(rows: RasterRows, height: int) -> RowPlaces:
    """Share out `height` pixels: neurons get their size if they can, channels the rest."""
    y, heights = np.zeros(rows.n_rows, np.int32), np.ones(rows.n_rows, np.int32)
    n_neurons = len(rows.neuron_rows)
    gap = TITLE_PX if height > 4 * TITLE_PX * len(rows.groups) else 0
    free = height - gap * len(rows.groups)
    has_channels = any(g.is_channels for g in rows.groups)
    wanted = n_neurons * NEURON_PX if has_channels else free
    for_neurons = min(wanted, int(free * NEURON_SHARE_MAX)) if has_channels else free
    top = 0
    for group in rows.groups:
        n = len(group.names)
        top += gap
        share = free - for_neurons if group.is_channels else for_neurons * n // max(1, n_neurons)
        edges = top + np.arange(n + 1) * share // n
        y[group.first : group.stop] = edges[:-1]
        pitch = np.diff(edges)
        heights[group.first : group.stop] = np.maximum(1, pitch - (pitch >= 4))
        top += share
    return RowPlaces(np.minimum(y, height - 1), np.minimum(heights, height - y))
