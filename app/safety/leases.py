"""What must keep saying "I am well" while the site is armed."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class LeaseNeed(enum.Enum):
    """Who needs a lease to be fresh."""

    ARMED = "armed"
    """Every arming: amplifier data, event log."""
    ARMED_BY_PERSON = "armed by a person"
    """An arming by a person: the console. A program on mocks has none."""
    LINK = "link"
    """Requests that one site caused; its lapse trips nothing."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A promise that is renewed within `limit_ns`, or is stale."""

    name: str
    limit_ns: int
    need: LeaseNeed


def link_lease(site: str) -> str:
    """Return the name of the lease of the link to a site."""
    return f"link:{site}"


class LeaseWatch:
    """Turns renewals into changes between fresh and stale, which are all that is recorded."""

    def __init__(self, leases: Iterable[Lease]) -> None:
        self._leases = {lease.name: lease for lease in leases}
        self._renewed_ns: dict[str, int] = {}

    def renew(self, name: str, now_ns: int) -> bool:
        """Note a renewal; return whether the lease was stale until now.

        Raises
        ------
        ValueError
            There is no such lease.
        """
        self._check(name)
        was_stale = name not in self._renewed_ns
        # Of two threads that renew, the one with the older clock value may come last.
        self._renewed_ns[name] = max(now_ns, self._renewed_ns.get(name, now_ns))
        return was_stale

    def lose(self, name: str) -> bool:
        """Make a lease stale at once; return whether it was fresh. Raises as `renew`."""
        self._check(name)
        return self._renewed_ns.pop(name, None) is not None

    def lapsed(self, now_ns: int) -> list[Lease]:
        """Return the leases that have just become stale, and forget their renewals."""
        overdue = [
            self._leases[name]
            for name, renewed_ns in self._renewed_ns.items()
            if not (now_ns - renewed_ns <= self._leases[name].limit_ns)
        ]
        for lease in overdue:
            del self._renewed_ns[lease.name]
        return overdue

    def _check(self, name: str) -> None:
        if name not in self._leases:
            raise ValueError(f"lease {name}: not known, there are {sorted(self._leases)}")
