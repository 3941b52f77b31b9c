"""A thousand courses of faults on a virtual network; each replays from its seed.

SPIKEBRIDGE_SEEDS=100000 runs more; SPIKEBRIDGE_SEED=17 runs that one alone.
"""

import os

from link_net import Net, Site

N_SEEDS = int(os.environ.get("SPIKEBRIDGE_SEEDS", "1000"))
ONLY = os.environ.get("SPIKEBRIDGE_SEED")
N_BATCHES = 10


def seeds() -> list[int]:
    return [int(ONLY)] if ONLY else list(range(N_SEEDS))


def missing_or_doubled(site: Site, other: Site) -> str:
    """Say what is wrong with what a site has on record of the other; empty if nothing is."""
    for session, numbers in site.heard.numbers.items():
        expected = 1
        for first, last in numbers:
            if first != expected:
                return f"{site.name}, session {session[-2:]}: {first} after {expected - 1}"
            expected = last + 1
    newest = site.heard.numbers.get(other.session, [])
    until = newest[-1][1] if newest else 0
    n_sent = other.link.counts.n_frames_sent
    if until != n_sent:
        return f"{site.name}: has {until} of {n_sent}, the rest neither came nor was declared"
    return ""


def test_no_number_is_doubled_disordered_or_missing_undeclared_and_no_psp_acts_late() -> None:
    n_psps = n_live = n_gaps = n_reconnects = 0
    for seed in seeds():
        net = Net(seed)
        net.play(N_BATCHES, n_faults=4)
        a, b = net.sites
        for site, other in ((a, b), (b, a)):
            wrong = missing_or_doubled(site, other)
            assert not wrong, f"seed {seed}: {wrong}"
            assert site.heard.n_past_deadline == 0, f"seed {seed}: {site.name} acted late"
            n_psps += site.heard.n_psps
            n_live += site.heard.n_live
            n_gaps += sum(
                last > first or site.link.counts.n_frames_lost > 0
                for numbers in site.heard.numbers.values()
                for first, last in numbers[-1:]
            )
        n_reconnects += net.connection - 1
    if not ONLY:
        assert n_psps > 1000 * len(seeds()), "a million in a thousand courses"
        assert 0.1 < n_live / n_psps < 0.95, "some acted and some were too late"
        assert n_reconnects > 2 * len(seeds())
        assert n_gaps > 0
