"""Conflicts about the culture of an experiment, which each of its sites may state."""

from collections.abc import Mapping

from app.config.about import Culture, CultureElsewhere
from app.config.site import Site

STATED = ("species", "plated_on", "tissue", "sex", "array", "name")


def own_culture_conflicts(site: Site) -> list[str]:
    """Return what is wrong with the culture that one site states."""
    stated = site.about.culture
    if stated is None or stated.site != site.site:
        return []
    return [
        f"site {site.site}: [about.culture] is for a culture at another site; one that lives here "
        "is stated at its amplifier ([amplifiers.culture])"
    ]


def culture_conflicts(by_name: Mapping[str, Site]) -> list[str]:
    """Return where a site states another's culture differently from that site itself."""
    sentences = []
    for site in by_name.values():
        stated = site.about.culture
        home = by_name.get(stated.site) if stated is not None else None
        if stated is None or home is None or home is site:
            continue
        there = [a.culture for a in home.amplifiers if a.culture is not None]
        if not there:
            sentences.append(
                f"site {site.site}: [about.culture] is at {stated.site}, which states none "
                "([amplifiers.culture])"
            )
        sentences += [
            f"site {site.site}: [about.culture] has {differing} of the culture at {stated.site}"
            for culture in there
            if (differing := _differences(stated, culture))
        ]
    return sentences


def _differences(stated: CultureElsewhere, there: Culture) -> str:
    return ", ".join(
        f"{name} {getattr(stated, name)!s} instead of {getattr(there, name)!s}"
        for name in STATED
        if getattr(stated, name) != getattr(there, name)
    )
