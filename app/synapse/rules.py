"""Plasticity rules: small, pure, and told of events in order of firing time.

A rule answers each event with +1 (LTP), -1 (LTD) or 0. It never sees arrival times, so network
delay and jitter cannot change what it says.
"""

from collections import deque
from typing import Protocol

from app.config import experiment

LTP = 1
LTD = -1
NOTHING = 0


class Rule(Protocol):
    """What a synapse asks of its rule."""

    window_ns: int
    """How far back the rule looks; its streams must have been complete for so long."""

    def on_pre(self, time_ns: int) -> int:
        """Take a pre spike; return LTP, LTD or NOTHING."""

    def on_post(self, time_ns: int) -> int:
        """Take a post event; return LTP, LTD or NOTHING."""

    def reset(self) -> None:
        """Forget all events: what follows is not continuous with what was."""


class RateRule:
    """The rule of 2020: at each post event, count the pre spikes of the last second.

    More than `ltp_above` LTP, fewer than `ltd_below` LTD; the window is closed at both ends
    (hub program of Serb et al., Sci Rep 10:2590, version of November 2017). The original began
    with an invented spike and so with depression; here the rule holds until one window has passed
    since the first pre spike, because a count over a shorter time is not the count it means.
    """

    def __init__(self, settings: experiment.RateRule) -> None:
        self.window_ns = round(settings.window_s * 1e9)
        self._ltp_above = settings.ltp_above
        self._ltd_below = settings.ltd_below
        self._pre_ns: deque[int] = deque()
        self._first_pre_ns: int | None = None

    def on_pre(self, time_ns: int) -> int:
        """Remember the spike; a pre spike alone never changes a weight."""
        if self._first_pre_ns is None:
            self._first_pre_ns = time_ns
        self._forget_before(time_ns - self.window_ns)
        self._pre_ns.append(time_ns)
        return NOTHING

    def on_post(self, time_ns: int) -> int:
        """Count the pre spikes in the window and judge."""
        self._forget_before(time_ns - self.window_ns)
        if self._first_pre_ns is None or time_ns - self._first_pre_ns < self.window_ns:
            return NOTHING
        n_pre = len(self._pre_ns)
        if n_pre > self._ltp_above:
            return LTP
        return LTD if n_pre < self._ltd_below else NOTHING

    def reset(self) -> None:
        """Empty the history; the rule holds again for one window."""
        self._pre_ns.clear()
        self._first_pre_ns = None

    def _forget_before(self, time_ns: int) -> None:
        while self._pre_ns and self._pre_ns[0] < time_ns:
            self._pre_ns.popleft()


class PairStdpRule:
    """Nearest-neighbour pair STDP: the order of the last two events decides.

    A post event at most `ltp_window_s` after the last pre spike: LTP. A pre spike at most
    `ltd_window_s` after the last post event: LTD. Each event pairs with the nearest earlier one
    of the other side only (as the hub's first rule of August 2016).
    """

    def __init__(self, settings: experiment.PairStdpRule) -> None:
        self._ltp_window_ns = round(settings.ltp_window_s * 1e9)
        self._ltd_window_ns = round(settings.ltd_window_s * 1e9)
        self.window_ns = max(self._ltp_window_ns, self._ltd_window_ns)
        self._last_pre_ns: int | None = None
        self._last_post_ns: int | None = None

    def on_pre(self, time_ns: int) -> int:
        """Pair with the last post event."""
        self._last_pre_ns = time_ns
        return LTD if _is_within(self._last_post_ns, time_ns, self._ltd_window_ns) else NOTHING

    def on_post(self, time_ns: int) -> int:
        """Pair with the last pre spike."""
        self._last_post_ns = time_ns
        return LTP if _is_within(self._last_pre_ns, time_ns, self._ltp_window_ns) else NOTHING

    def reset(self) -> None:
        """Forget both last events."""
        self._last_pre_ns = None
        self._last_post_ns = None


def make_rule(settings: experiment.Rule) -> Rule:
    """Return the rule that an experiment names."""
    if isinstance(settings, experiment.RateRule):
        return RateRule(settings)
    return PairStdpRule(settings)


def _is_within(earlier_ns: int | None, later_ns: int, window_ns: int) -> bool:
    return earlier_ns is not None and 0 < later_ns - earlier_ns <= window_ns
