"""The state of a site in words that a person reads from across the room. No Qt in here."""

from dataclasses import dataclass
from typing import Any

from app.gui.numbers import duration


@dataclass(frozen=True, slots=True)
class StateWords:
    """A state for showing. `tone` is "unknown", "disarmed", "armed" or "tripped"."""

    name: str
    meaning: str
    tone: str
    detail: str = ""


_MEANINGS = {
    "boot": ("STARTING", "outputs are being read and switched off", "unknown"),
    "disarmed": ("DISARMED", "nothing can be stimulated or pulsed", "disarmed"),
    "armed": ("ARMED", "stimuli and pulses may happen", "armed"),
    "tripped": ("TRIPPED", "everything was switched off; a person must acknowledge", "tripped"),
}


def state_words(status: dict[str, Any], *, is_fresh: bool, why_not: str) -> StateWords:
    """Return what to show of a site's state; never a state that is not known to be true now."""
    gate = status.get("gate")
    if not is_fresh or gate is None:
        return StateWords("UNKNOWN", why_not, "unknown")
    name, meaning, tone = _MEANINGS.get(
        gate["state"],
        (str(gate["state"]).upper(), "a state that this window does not know", "unknown"),
    )
    return StateWords(name, meaning, tone, _detail(gate, status["now_ns"]))


def _detail(gate: dict[str, Any], now_ns: int) -> str:
    parts = []
    if gate["who"]:
        parts.append(f"by {gate['who']}")
    if gate["reason"]:
        parts.append(gate["reason"])
    if gate["since_ns"]:
        parts.append(f"for {duration((now_ns - gate['since_ns']) / 1e9)}")
    if gate["state"] == "armed" and gate["expires_ns"]:
        parts.append(f"expires in {duration((gate['expires_ns'] - now_ns) / 1e9)}")
    return " · ".join(parts)


_LEASE_WORDS = {
    "amplifier data": "the amplifier delivers no samples",
    "event log": "the event log cannot be written",
    "console": "no console renews its lease",
}


def arming_obstacles(gate: dict[str, Any]) -> list[str]:
    """Return why arming would be refused now, one sentence each."""
    sentences = list(gate.get("blocks", {}).values())
    for lease in gate.get("leases", []):
        name = lease["name"]
        is_own = name == "console" or name.startswith("link:")  # a console that arms renews it
        if not lease["is_fresh"] and not is_own:
            sentences.append(_LEASE_WORDS.get(name, f"{name} is stale"))
    return sentences


SAFE_WORDS = {
    "confirmed": ("CONFIRMED", "read back from the instrument: its outputs are off", "good"),
    "sent": ("SENT", "the command left; nothing came back that proves it", "warning"),
    "by construction": (
        "BY CONSTRUCTION",
        "only finite pulses exist on this instrument, and no further one is sent",
        "good",
    ),
    "failed": ("FAILED", "the way to the instrument is gone: a person must look", "bad"),
}
