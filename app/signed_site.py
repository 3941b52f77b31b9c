"""A site as it may run: its file, with the limits that somebody signed for and that still hold."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.config.load import ConfigError, load_site
from app.config.overrides import (
    LimitOverride,
    Limits,
    all_limits,
    entries_in_force,
    override_conflicts,
    read_overrides,
    with_overrides,
)
from app.config.site import Site
from app.core.clock import monotonic_ns
from app.safety.basis import to_confirm
from app.safety.ceilings import check_limits
from app.safety.gate import Gate


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


def tell_limits_end(gate: Gate, until: dt.datetime | None) -> None:
    """Tell a Gate how far the first signature reaches; no arming goes beyond it."""
    if until is None:
        return
    left_s = (until - dt.datetime.now(dt.UTC)).total_seconds()
    now_ns = monotonic_ns()
    gate.set_limits_end(now_ns + round(left_s * 1e9), now_ns)


def limits_in_words(signed: SignedSite) -> Iterator[str]:
    """Yield what the owner of the rig must confirm, and who signed for what."""
    alike: dict[Limits, list[str]] = {}
    for who, limits in all_limits(signed.site):
        alike.setdefault(limits, []).append(who)
    for limits, names in alike.items():
        others = f" and {len(names) - 1} more alike" if len(names) > 1 else ""
        for sentence in to_confirm(f"{signed.site.site}, {names[0]}{others}", limits):
            yield f"to confirm: {sentence}"
    for entry in signed.overrides:
        for_mocks = ", for simulated instruments only" if entry.mock_only else ""
        yield (
            f"signed: {signed.site.site}, {entry.where}: {entry.limit} {entry.value} by "
            f"{entry.name} until {entry.expires}{for_mocks}: {entry.reason}"
        )


def load_to_switch_off(site_file: Path) -> Site:
    """Read a site to look at it or switch it off, also with limits that nobody signs for any more.

    Raises `ConfigError` if site.toml cannot be read.
    """
    site = load_site(site_file)
    try:
        file, _ = read_overrides(site_file, site)
    except ConfigError:
        return site
    return with_overrides(site, file.overrides)
