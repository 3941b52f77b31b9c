"""The limits override file: whose word a limit beyond its default stands on, why, and how long.

`site.toml` may only tighten limits. What must be looser stands in a file of its own, named by
`limits_override` in `site.toml`: one entry for one limit of one instrument or device, signed by a
named person, with a reason and an end. An entry whose end has come changes nothing any more.
"""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from app.config.amplifiers import IntanRhxAmplifier
from app.config.limits import ChipLimits, DeviceLimits, StimulationLimits
from app.config.load import parse, read_bounded
from app.config.site import Device, Site
from app.config.units import Name, Text

Limits = StimulationLimits | DeviceLimits | ChipLimits
MAX_VALIDITY = dt.timedelta(days=366)
"""An override for real instruments is looked at again once a year."""
SIGNATURE = frozenset({"reason", "confirmed_by"})


class LimitOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit, one place, one signature."""

    instrument: Name
    device: Name | None = None
    """The memristor, where the instrument has several."""
    limit: str
    value: bool | int | float
    name: Text
    """Who of the rig's owners signs."""
    reason: Text
    expires: dt.date
    """Last day (UTC) on which it holds."""
    mock_only: bool = False
    """Void where the instruments are real; may then hold longer than a year."""

    @property
    def where(self) -> str:
        """Get the instrument, and the device if there is one, in words."""
        return self.instrument if self.device is None else f"{self.instrument}, {self.device}"

    @property
    def end(self) -> dt.datetime:
        """Get the instant from which on it does not hold."""
        return dt.datetime.combine(self.expires, dt.time(), dt.UTC) + dt.timedelta(days=1)


class OverrideFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of a limits override file."""

    schema_version: Literal[1]
    site: Name
    overrides: tuple[LimitOverride, ...] = ()


def read_overrides(site_file: Path, site: Site) -> tuple[OverrideFile, bytes]:
    """Return the override file that a site names, parsed and as bytes; an empty one for none.

    Raises `ConfigError`.
    """
    if site.limits_override is None:
        return OverrideFile(schema_version=1, site=site.site), b""
    path = site_file.parent / site.limits_override
    data = read_bounded(path)
    return parse(data, OverrideFile, str(path)), data


def with_overrides(site: Site, entries: Iterable[LimitOverride]) -> Site:
    """Return the site with these entries applied, each with its signature beside its limits."""
    for entry in entries:
        site = _with_one(site, entry)
    return site


def entries_in_force(
    file: OverrideFile, *, now: dt.datetime, is_mock: bool
) -> tuple[LimitOverride, ...]:
    """Return the entries that hold now, for these instruments."""
    return tuple(
        entry for entry in file.overrides if now < entry.end and (is_mock or not entry.mock_only)
    )


def override_conflicts(site: Site, file: OverrideFile, *, now: dt.datetime) -> list[str]:
    """Return what is wrong with a site's overrides, in sentences. `site` is as in its file."""
    if file.site != site.site:
        return [f"limits override: is for site {file.site}, not for {site.site}; correct its site"]
    sentences = _signed_in_place(site)
    seen: set[tuple[str, str | None, str]] = set()
    for entry in file.overrides:
        where = f"limits override, {entry.where}, {entry.limit}:"
        limits = _limits_at(site, entry)
        key = (entry.instrument, entry.device, entry.limit)
        if limits is None:
            sentences.append(f"{where} the site has no such instrument or device; correct the name")
        elif not _is_like(getattr(limits, entry.limit, None), entry):
            sentences.append(f"{where} no such limit, or none that takes {entry.value!r}")
        if key in seen:
            sentences.append(f"{where} is given twice; keep one")
        seen.add(key)
        if not (now < entry.end):
            sentences.append(f"{where} expired on {entry.expires}; have it signed again")
        elif not entry.mock_only and not (entry.end - now <= MAX_VALIDITY):
            sentences.append(
                f"{where} expires on {entry.expires}, allowed are {MAX_VALIDITY.days} days; "
                "choose an earlier end"
            )
    return sentences


def _is_like(default: object, entry: LimitOverride) -> bool:
    if entry.limit in SIGNATURE or default is None:
        return False
    return isinstance(entry.value, bool) == isinstance(default, bool) and (
        isinstance(entry.value, int) or not isinstance(default, int)
    )


def _signed_in_place(site: Site) -> list[str]:
    return [
        f"{who}: reason and confirmed_by belong into the limits override file, with an expiry; "
        "site.toml may only tighten limits"
        for who, limits in all_limits(site)
        if limits.reason is not None or limits.confirmed_by is not None
    ]


def all_limits(site: Site) -> list[tuple[str, Limits]]:
    """Return every set of limits of a site, with the name of what it binds."""
    found: list[tuple[str, Limits]] = [
        (a.name, a.limits) for a in site.amplifiers if isinstance(a, IntanRhxAmplifier)
    ]
    found += [(f"{smu.name}, {d.name}", d.limits) for smu in site.smus for d in smu.devices]
    return found + [(chip.name, chip.limits) for chip in site.chips]


def _limits_at(site: Site, entry: LimitOverride) -> Limits | None:
    return dict(all_limits(site)).get(entry.where)


def _with_one(site: Site, entry: LimitOverride) -> Site:
    replace = msgspec.structs.replace
    return replace(
        site,
        amplifiers=tuple(
            replace(a, limits=_loosened(a.limits, entry))
            if a.name == entry.instrument and isinstance(a, IntanRhxAmplifier)
            else a
            for a in site.amplifiers
        ),
        smus=tuple(
            replace(smu, devices=tuple(_device_with(d, entry) for d in smu.devices))
            if smu.name == entry.instrument
            else smu
            for smu in site.smus
        ),
        chips=tuple(
            replace(chip, limits=_loosened(chip.limits, entry))
            if chip.name == entry.instrument
            else chip
            for chip in site.chips
        ),
    )


def _device_with(device: Device, entry: LimitOverride) -> Device:
    if device.name != entry.device:
        return device
    return msgspec.structs.replace(device, limits=_loosened(device.limits, entry))


LimitsT = TypeVar("LimitsT", StimulationLimits, DeviceLimits, ChipLimits)


def _loosened(limits: LimitsT, entry: LimitOverride) -> LimitsT:
    def joined(said: str | None, more: str) -> str:
        return more if said is None or said == more else f"{said}; {more}"

    return msgspec.structs.replace(
        limits,
        **{entry.limit: entry.value},
        reason=joined(limits.reason, entry.reason),
        confirmed_by=joined(limits.confirmed_by, entry.name),
    )
