"""How a site records samples and events."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.config.units import NotNegative


class Recording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[recording]` section of `site.toml`."""

    ring_s: Annotated[float, Meta(ge=10, le=120)] = 10.0
    """Samples that may wait for a slow disk, in memory."""
    pretrigger_s: Annotated[float, Meta(ge=0, le=60)] = 0.0
    """A recording begins with the samples of so long before its start, kept in memory."""
    is_strict: bool = False
    """Each commit of events waits for the disk: some milliseconds, and no power cut loses it."""
    planned_s: NotNegative = 60.0
    """A recording does not begin if the disk has not room for this and 10 % more."""
