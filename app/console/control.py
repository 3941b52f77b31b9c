"""Who may change things: one console at a time holds control, and everybody sees which. Pure."""

from dataclasses import dataclass

from app.console.messages import CommandRefusedError


@dataclass(frozen=True, slots=True)
class Caller:
    """The console behind a command."""

    number: int
    """Unique in the engine's life."""
    address: str
    """The word local, or the address of a console over the network."""
    operator: str | None = None
    """Whose key it proved to hold; None on the local socket, which only this user reaches."""


class ControlLock:
    """The exclusive control of one engine. One thread calls it.

    While nobody holds it, any console may change things (the command line does). Stopping,
    disarming, looking and noting never need it.
    """

    def __init__(self) -> None:
        self.holder: Caller | None = None
        self.name = ""
        self.since_ns = 0

    def take(self, caller: Caller, name: str, now_ns: int, *, is_confirmed: bool) -> str:
        """Give control to `caller`; return whom it was taken from, empty if from nobody.

        Raises
        ------
        CommandRefusedError
            Another console holds it, and the caller has not confirmed that it is to be taken.
        """
        holder, name_before = self.holder, self.name
        is_others = holder is not None and holder.number != caller.number
        if is_others and not is_confirmed:
            raise CommandRefusedError(
                f"{name_before} holds control; confirm that it is to be taken from them"
            )
        self.holder, self.name, self.since_ns = caller, name, now_ns
        return name_before if is_others else ""

    def release(self, caller: Caller) -> bool:
        """Give control back; return whether the caller held it."""
        if self.holder is None or self.holder.number != caller.number:
            return False
        self.holder, self.name, self.since_ns = None, "", 0
        return True

    def must_allow(self, caller: Caller, command: str) -> None:
        """Raise `CommandRefusedError` if somebody else holds control."""
        if self.holder is not None and self.holder.number != caller.number:
            raise CommandRefusedError(
                f"{command}: {self.name} holds control of this site; take control first, or ask "
                "them to do it (stop and disarm always work)"
            )
