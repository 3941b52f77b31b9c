"""What a recording must say about the experiment so that others can use it."""

import datetime as dt
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.config.units import Name, Text

FamilyFirst = Annotated[str, Meta(pattern=r"^[^,]+, [^,]+$", max_length=200)]
"""A person as "Last, First", the form that NWB asks for."""
Species = Annotated[str, Meta(pattern=r"^[A-Z][a-z]+ [a-z]+$", max_length=100)]
"""A Latin binomial, such as "Rattus norvegicus"."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Culture(_Section, frozen=True, kw_only=True):
    """The living network on an electrode array."""

    species: Species
    plated_on: dt.date
    """Day 0 in vitro (DIV)."""
    tissue: Text | None = None
    """Such as "cortex, E18"."""
    sex: Literal["F", "M", "U", "O"] = "U"
    """Unknown or mixed in a culture of several animals: "U"."""
    array: Text | None = None
    """Maker, type and serial number of the electrode array."""
    name: Text | None = None
    """Under which the laboratory knows it."""

    def days_in_vitro(self, today: dt.date) -> int:
        """Return the age of the culture in days."""
        return (today - self.plated_on).days


class CultureElsewhere(Culture, frozen=True, kw_only=True):
    """The living network that the experiment is about, when it lives at another site."""

    site: Name


class About(_Section, frozen=True, kw_only=True):
    """Who does this, where, and what for."""

    institution: Text | None = None
    laboratory: Text | None = None
    experimenters: tuple[FamilyFirst, ...] = ()
    description: Text | None = None
    culture: CultureElsewhere | None = None
    """A site without tissue records events that are about this one."""
