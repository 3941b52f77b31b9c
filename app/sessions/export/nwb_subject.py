"""Whom an NWB file is about: a culture here, or the experiment's culture at another site."""

from pynwb.file import Subject

from app.recording.session import CultureInfo, Metadata, SessionInfo


def subject_of(metadata: Metadata) -> Subject | None:
    """Return the culture whose events the session holds, or None if its site stated none."""
    for name, culture in metadata.cultures.items():
        return _subject(culture, culture.name or name, "Culture")
    other = metadata.culture_elsewhere
    if other is None:
        return None
    where = f"Culture that took part in the experiment, at site {other.site} and not here"
    return _subject(other, other.name or f"culture at {other.site}", where)


def what_is_missing(info: SessionInfo) -> str:
    """Return one sentence about what nwbinspector will miss and where to state it; "" if nothing.

    It asks for a subject, experimenters and an institution.
    """
    metadata = info.metadata
    missing = []
    if subject_of(metadata) is None:
        missing.append(
            "a subject ([amplifiers.culture], or [about.culture] if the culture lives elsewhere)"
        )
    if not metadata.about.experimenters:
        missing.append("experimenters ([about])")
    if not metadata.about.institution:
        missing.append("an institution ([about])")
    if not missing:
        return ""
    return (
        f"not stated, and nwbinspector will miss it: {', '.join(missing)}; "
        f"add it to site {info.site}'s site.toml, and later sessions say it"
    )


def _subject(culture: CultureInfo, subject_id: str, what: str) -> Subject:
    words = (f"{what}; its age is counted in days in vitro. ", culture.tissue, culture.array)
    return Subject(
        subject_id=subject_id,
        species=culture.species,
        sex=culture.sex,
        age=f"P{max(0, culture.days_in_vitro)}D",
        description=words[0] + "; ".join(word for word in words[1:] if word),
    )
