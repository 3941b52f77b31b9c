"""What is said of events that a peer may not send, without a line for each of thousands."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

WINDOW_NS = 1_000_000_000
MAX_REASONS = 8
"""So many reasons of one site are told apart in a second; a peer can think of any number."""
OTHER_REASONS = "other reasons"


@dataclass(slots=True)
class _Window:
    since_ns: int
    n_untold: dict[str, int] = field(default_factory=dict)
    """By reason; one that has been told stands at what came after that."""


class RefusalLines:
    """Tells a reason at once, and then, in the next second that has one, how often it came again.

    Two sites that excite each other meet their limit a thousand times a second: the log and every
    console would be full of it. Each event is counted elsewhere. Any thread may call it.
    """

    def __init__(self, say: Callable[[str, str], None], unit: str) -> None:
        """Take what is called with a site and a sentence, and what is counted."""
        self._say = say
        self._unit = unit
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def refused(self, site: str, why: str, n: int, now_ns: int) -> None:
        """Take `n` events of a site that were refused for one reason."""
        with self._lock:
            lines = self._lines(site, why, n, now_ns)
        for line in lines:
            self._say(site, line)

    def _lines(self, site: str, why: str, n: int, now_ns: int) -> list[str]:
        lines = []
        window = self._windows.get(site)
        if window is None or now_ns - window.since_ns >= WINDOW_NS:
            untold = {} if window is None else window.n_untold
            lines = [f"{of} ({m} more {self._unit})" for of, m in untold.items() if m]
            window = self._windows[site] = _Window(now_ns)
        known = window.n_untold
        if why in known:
            known[why] += n
        elif len(known) < MAX_REASONS:
            known[why] = 0
            lines.append(f"{why} ({n} {self._unit})")
        else:
            known[OTHER_REASONS] = known.get(OTHER_REASONS, 0) + n
        return lines
