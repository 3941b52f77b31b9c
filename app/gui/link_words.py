"""What is said of a link, direction by direction. No Qt in here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.gui.numbers import duration, grouped

Link = Mapping[str, Any]
Words = Callable[[Link], str]
NOT_KNOWN = "–"
HEARD_STATES = ("up", "suspect")
"""In which what was measured lately is about now."""
KNOWN_SHARE = 0.5
"""One way is told if the clocks' uncertainty is at most this share of its median."""


@dataclass(frozen=True, slots=True)
class DirectionRow:
    """One figure for what goes to the other site, and for what comes from it."""

    key: str
    name: str
    tip: str
    to: Words
    come: Words


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One figure for the link as a whole."""

    key: str
    name: str
    tip: str
    words: Words


def one_way(link: Link, direction: str) -> str:
    """Return how long one direction takes, or what of it can be known.

    Where the two clocks are not known well enough, how much slower than its own fastest a
    direction is can still be told: the offset cancels.
    """
    latency = _latency(link)
    if latency is None:
        return NOT_KNOWN
    spread, uncertainty_ns = latency[direction], latency["uncertainty_ns"]
    if uncertainty_ns <= KNOWN_SHARE * spread["p50_ns"]:
        known = "" if uncertainty_ns == 0 else f" ± {_ms(uncertainty_ns)}"
        return f"{_ms(spread['p50_ns'])} / {_ms(spread['p99_ns'])}{known} ms"
    over = (spread[key] - spread["min_ns"] for key in ("p50_ns", "p99_ns"))
    return "fastest " + " / ".join(f"+{_ms(value)}" for value in over) + " ms"


def round_trip(link: Link) -> str:
    """Return the round trip, and whether one way is known better than that."""
    latency = _latency(link)
    if latency is None:
        return NOT_KNOWN
    spread, uncertainty_ns = latency["round_trip"], latency["uncertainty_ns"]
    words = f"{_ms(spread['p50_ns'])} / {_ms(spread['p99_ns'])} ms"
    if any(uncertainty_ns > KNOWN_SHARE * latency[leg]["p50_ns"] for leg in ("there", "back")):
        words += f" (one way only to ± {_ms(uncertainty_ns)} ms)"
    return words


def offset(link: Link) -> str:
    """Return the other clock minus ours."""
    offset_ns, uncertainty_ns = link.get("offset_ns"), link.get("uncertainty_ns")
    if offset_ns is None or uncertainty_ns is None or link["state"] not in HEARD_STATES:
        return NOT_KNOWN
    same = " (both read one clock)" if uncertainty_ns == 0 else ""
    return f"{_ms(offset_ns)} ± {_ms(uncertainty_ns)} ms{same}"


def _latency(link: Link) -> dict[str, Any] | None:
    latency: dict[str, Any] | None = link.get("latency")
    return latency if link["state"] in HEARD_STATES else None


def _ago(key: str, link: Link) -> str:
    age_s = link.get(key)
    return "none yet" if age_s is None else f"{duration(age_s)} ago"


def _count(key: str, unit: str, link: Link) -> str:
    value = link.get(key)
    return NOT_KNOWN if value is None else f"{grouped(value)} {unit}"


def _says(text: str) -> Words:
    return lambda _link: text


def _ms(value_ns: float) -> str:
    return f"{value_ns / 1e6:.2f}"


DIRECTION_ROWS = (
    DirectionRow(
        "event", "Last event",
        "Age of the newest spike or weighted event (PSP). The heartbeats between them do not count",
        partial(_ago, "age_of_last_event_sent_s"), partial(_ago, "age_of_last_event_received_s"),
    ),
    DirectionRow(
        "latency", "Latency p50 / p99",
        "One way, of the heartbeats of the last 6 s: median and 99th percentile, ± what is not "
        "known of the two clocks.\nWhere that is too much, only how much slower than its own "
        "fastest each direction is; the round trip below is known",
        lambda link: one_way(link, "there"), lambda link: one_way(link, "back"),
    ),
    DirectionRow(
        "events", "Events", "Spikes and PSPs since the start of this engine",
        partial(_count, "n_events_sent", "sent"), partial(_count, "n_events_received", "came"),
    ),
    DirectionRow(
        "lost", "Lost",
        "Declared lost: they will never come. Ours are counted as events, the other site's as "
        "frames, since nobody here knows what was in them",
        partial(_count, "n_events_lost", "events"), partial(_count, "n_frames_lost", "frames"),
    ),
    DirectionRow(
        "resent", "Resent",
        "Frames that went out again, or late, after an interruption: they count for plasticity and "
        "stimulate nothing",
        partial(_count, "n_resent", "frames"), partial(_count, "n_resent_received", "frames"),
    ),
    DirectionRow(
        "refused", "Refused",
        "Events that the receiving site did not take: its key may not send them, or they name what "
        "is not there. What the other site refuses of ours stands in its own window",
        _says("told there"), partial(_count, "n_events_refused", "events"),
    ),
    DirectionRow(
        "waiting", "Under way",
        "To: frames that the other site has not yet in its record. From: frames that came twice "
        "and were dropped",
        partial(_count, "n_unacknowledged", "unconfirmed"),
        partial(_count, "n_duplicates", "came twice"),
    ),
)  # fmt: skip

LINK_ROWS = (
    LinkRow("round_trip", "Round trip p50 / p99",
            "There and back, of the heartbeats of the last 6 s: needs no clock but our own",
            round_trip),
    LinkRow("offset_ns", "Clock offset",
            "The other site's clock minus ours, ± what is not known of it", offset),
    LinkRow("heard", "Last heard", "Age of the last frame of any kind from this site",
            partial(_ago, "age_of_last_frame_s")),
)  # fmt: skip
