"""An emergency stop reaches every site of any network once, and does not go round for ever."""

import itertools
from collections import deque

import pytest

from app.engine.stop_relay import StopRelay

STAR = [("hub", "a"), ("hub", "b"), ("hub", "c")]
RING = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
LINE = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")]


class Network:
    """Relays joined by links without delay; counts what was obeyed and what was said."""

    def __init__(self, links: list[tuple[str, str]]) -> None:
        marks = itertools.count(1)
        self.peers: dict[str, list[str]] = {}
        for one, other in links:
            self.peers.setdefault(one, []).append(other)
            self.peers.setdefault(other, []).append(one)
        self.relays = {site: StopRelay(lambda: next(marks)) for site in self.peers}
        self.n_obeyed = dict.fromkeys(self.peers, 0)
        self.n_said = 0

    def press(self, *sites: str) -> None:
        waiting: deque[tuple[str, int]] = deque()
        for site in sites:
            self.relays[site].press()
            self._say(site, waiting)
        while waiting:
            site, mark = waiting.popleft()
            assert self.n_said < 1000, "the stop goes round for ever"
            if self.relays[site].hear(mark):
                self.n_obeyed[site] += 1
                self._say(site, waiting)

    def _say(self, site: str, waiting: deque[tuple[str, int]]) -> None:
        for peer in self.peers[site]:
            self.n_said += 1
            waiting.append((peer, self.relays[site].newest))


@pytest.mark.parametrize("links", [STAR, RING, LINE])
def test_a_stop_reaches_every_site_once(links: list[tuple[str, str]]) -> None:
    network = Network(links)
    for pressed in network.peers:
        network.n_obeyed = dict.fromkeys(network.peers, 0)
        network.press(pressed)
        assert network.n_obeyed == {site: int(site != pressed) for site in network.peers}


@pytest.mark.parametrize("links", [STAR, RING, LINE])
def test_two_stops_at_once_end(links: list[tuple[str, str]]) -> None:
    network = Network(links)
    network.press(*network.peers)
    assert all(n >= 1 for n in network.n_obeyed.values())
