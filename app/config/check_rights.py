"""Conflicts between what an experiment needs of a link and what the peer's key may do."""

from collections.abc import Iterable, Iterator, Mapping

from app.config.amplifiers import PlaybackAmplifier
from app.config.experiment import Experiment, Synapse
from app.config.site import Peer, Site

MAX_GREETING_BYTES = 56_000
"""A greeting is one frame of at most 65,536 bytes; what else it says needs less than the rest."""


def site_rights_conflicts(site: Site) -> list[str]:
    """Return the rights of peers that name what the site does not have."""
    instruments = {i.name for i in (*site.amplifiers, *site.chips)}
    patterns = {p.pattern_id for amplifier in site.amplifiers for p in amplifier.patterns}
    neurons = {neuron for chip in site.chips for neuron in chip.neurons}
    sentences = []
    for peer in site.peers:
        for right, named, known in (
            ("receive", set(peer.may.receive), instruments),
            ("reach_patterns", set(peer.may.reach_patterns), patterns),
            ("reach_neurons", set(peer.may.reach_neurons), neurons),
        ):
            unknown = sorted(map(str, named - known))
            if unknown:
                sentences.append(
                    f"site {site.site}, peer {peer.site}: may.{right} names "
                    f"{', '.join(unknown)}, which this site does not have"
                )
        n_bytes = _greeting_bytes(site, peer)
        if n_bytes > MAX_GREETING_BYTES:
            sentences.append(
                f"site {site.site}, peer {peer.site}: the neurons of may.receive take {n_bytes} "
                f"bytes of a greeting, at most {MAX_GREETING_BYTES}; give the peer fewer "
                "instruments, or the instruments fewer neurons"
            )
    return sentences


def _greeting_bytes(site: Site, peer: Peer) -> int:
    """Return how long the list of all neurons of which a peer is told is when it is written."""
    neurons: set[int] = set()
    for amplifier in site.amplifiers:
        if amplifier.name in peer.may.receive:
            neurons |= {n.neuron for n in amplifier.neurons} | {p.post for p in amplifier.patterns}
    for chip in site.chips:
        if chip.name in peer.may.receive:
            neurons |= set(chip.neurons)
    return sum(len(f"{neuron},") for neuron in neurons)


def rights_conflicts(experiment: Experiment, by_name: Mapping[str, Site]) -> list[str]:
    """Return what the synapses need that a peer's key may not do, at the sites known here."""
    site_of = {neuron.id: neuron.site for neuron in experiment.neurons}
    found: dict[str, None] = {}
    for synapse in experiment.synapses:
        for neuron in (synapse.pre, synapse.post):
            other = site_of.get(neuron)
            if other is not None and other != synapse.site:
                found |= dict.fromkeys(_event_conflicts(synapse, neuron, other, by_name))
        post_site = site_of.get(synapse.post)
        if post_site is not None and post_site != synapse.site:
            found |= dict.fromkeys(_psp_conflicts(synapse, post_site, by_name))
    return list(found)


def _event_conflicts(
    synapse: Synapse, neuron: int, site: str, by_name: Mapping[str, Site]
) -> Iterator[str]:
    """Events of a neuron at `site` must be let out there and let in where the synapse is."""
    sender, host = by_name.get(site), by_name.get(synapse.site)
    needs = f"synapse {synapse.name} needs the events of neuron {neuron}"
    names = [] if sender is None else list(_instruments_of(sender, neuron))
    for peer in _peers(sender, synapse.site):
        for name in names:
            if name not in peer.may.receive:
                yield (
                    f'site {site}, peer {peer.site}: {needs}; add "{name}" to the peer\'s '
                    "may.receive"
                )
    for peer in _peers(host, site):
        wanted = names or [f"the instrument of neuron {neuron}"]
        is_allowed = any(name in peer.may.send for name in names) if names else peer.may.send
        if not is_allowed:
            yield (
                f"site {synapse.site}, peer {site}: {needs}; add {', '.join(wanted)} to the "
                "peer's may.send"
            )


def _psp_conflicts(synapse: Synapse, post_site: str, by_name: Mapping[str, Site]) -> Iterator[str]:
    """PSPs must be let out at the host and reach what drives the post neuron."""
    post = by_name.get(post_site)
    for here, other in ((synapse.site, post_site), (post_site, synapse.site)):
        for peer in _peers(by_name.get(here), other):
            if peer.may.max_psps_per_s == 0:
                yield (
                    f"site {here}, peer {other}: synapse {synapse.name} sends PSPs over this "
                    "link; set the peer's may.max_psps_per_s"
                )
    for peer in _peers(post, synapse.site):
        if post is None:
            continue
        missing = [
            pattern.pattern_id
            for amplifier in post.amplifiers
            if not isinstance(amplifier, PlaybackAmplifier)
            for pattern in amplifier.patterns
            if pattern.post == synapse.post and pattern.pattern_id not in peer.may.reach_patterns
        ]
        is_on_chip = any(synapse.post in chip.neurons for chip in post.chips)
        if missing:
            yield (
                f"site {post_site}, peer {synapse.site}: synapse {synapse.name} drives neuron "
                f"{synapse.post}; add patterns {missing} to the peer's may.reach_patterns"
            )
        if is_on_chip and synapse.post not in peer.may.reach_neurons:
            yield (
                f"site {post_site}, peer {synapse.site}: synapse {synapse.name} drives neuron "
                f"{synapse.post}; add it to the peer's may.reach_neurons"
            )


def _instruments_of(site: Site, neuron: int) -> Iterator[str]:
    for amplifier in site.amplifiers:
        if any(n.neuron == neuron for n in amplifier.neurons):
            yield amplifier.name
    for chip in site.chips:
        if neuron in chip.neurons:
            yield chip.name


def _peers(site: Site | None, name: str) -> Iterable[Peer]:
    return () if site is None else [peer for peer in site.peers if peer.site == name]
