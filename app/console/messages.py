"""What a console and an engine say to each other: named commands, each with a reply."""

import msgspec


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of a COMMAND frame, as JSON."""

    id: int
    name: str
    arguments: dict[str, str | int | float | bool | None] = {}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Body of the REPLY frame with the command's id, as JSON."""

    id: int
    is_ok: bool
    result: dict[str, object] = {}
    error: str = ""
    """Why not, in a sentence."""


class CommandRefusedError(Exception):
    """The engine says no; the message says why."""
