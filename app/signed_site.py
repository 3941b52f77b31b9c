"""A site as it may run: its file, with the limits that somebody signed for and that still hold."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from app.config.load import ConfigError, load_site
from app.config.overrides import (
    LimitOverride,
    all_limits,
    entries_in_force,
    override_conflicts,
    read_overrides,
    with_overrides,
)
from app.config.site import Site
from app.safety.ceilings import check_limits


@dataclass(frozen=True, slots=True)
class SignedSite:
    """`conflicts` is empty if the limits may be in force."""

    site: Site
    conflicts: tuple[str, ...]
    overrides: tuple[LimitOverride, ...]
    """Those in force."""
    override_bytes: bytes
    """The override file, for the session's copy; empty if there is none."""

    @property
    def until(self) -> dt.datetime | None:
        """Get when the first signature in force ends; None: there is none."""
        return min((entry.end for entry in self.overrides), default=None)


def load_signed_site(
    site_file: Path, *, is_mock: bool, now: dt.datetime | None = None
) -> SignedSite:
    """Read a site and its limits override. Raises `ConfigError` for files that cannot be read."""
    now = now or dt.datetime.now(dt.UTC)
    site = load_site(site_file)
    file, data = read_overrides(site_file, site)
    conflicts = override_conflicts(site, file, now=now)
    for who, limits in all_limits(site):
        conflicts += check_limits(limits, f"{site_file.name}, {who}")
    entries = entries_in_force(file, now=now, is_mock=is_mock)
    signed = site if conflicts else with_overrides(site, entries)
    return SignedSite(signed, tuple(conflicts), entries, data)


def load_to_switch_off(site_file: Path) -> Site:
    """Read a site whose outputs shall go off, also with limits that nobody signs for any more.

    Raises `ConfigError` if site.toml cannot be read.
    """
    site = load_site(site_file)
    try:
        file, _ = read_overrides(site_file, site)
    except ConfigError:
        return site
    return with_overrides(site, file.overrides)
