"""Judge whether a pulse did to its device what was meant."""

import enum


class PulseVerdict(enum.StrEnum):
    """What a pulse did to its device, by the resistance before and after it."""

    MOVED = "moved"
    UNMOVED = "unmoved"
    WRONG_WAY = "wrong way"
    UNCONFIRMED = "unconfirmed"
    """No believable reading after the pulse; it may have happened and is never sent again."""


def judge_pulse(
    before_ohm: float | None, after_ohm: float | None, rises: bool, min_change: float
) -> PulseVerdict:
    """Return the verdict on one pulse.

    Parameters
    ----------
    before_ohm, after_ohm
        Resistance before and after, in ohms, at the same read voltage; None if not known.
    rises
        The pulse was meant to raise the resistance.
    min_change
        Smallest relative change that is a move; below it is read noise.
    """
    if before_ohm is None or after_ohm is None:
        return PulseVerdict.UNCONFIRMED
    change = (after_ohm - before_ohm) / before_ohm
    meant = change if rises else -change
    if meant >= min_change:
        return PulseVerdict.MOVED
    if meant <= -min_change:
        return PulseVerdict.WRONG_WAY
    return PulseVerdict.UNMOVED
