"""What can be wrong with configurations that are each valid: conflicts inside and between them.

Each function returns sentences; an empty list means no conflict. Nothing here does I/O.
"""

from collections.abc import Iterable, Mapping

from app.config.amplifiers import PlaybackAmplifier
from app.config.check_amplifiers import amplifier_conflicts, double
from app.config.check_culture import culture_conflicts, own_culture_conflicts
from app.config.check_rights import rights_conflicts, site_rights_conflicts
from app.config.experiment import Experiment, Synapse
from app.config.site import Site

HEARTBEAT_S = 0.05
"""The freshness bound overstates a PSP's age by up to one heartbeat interval."""


def check_site(site: Site) -> list[str]:
    """Return the conflicts inside one site."""
    return [
        *double(
            f"site {site.site}: two instruments are named",
            [i.name for i in (*site.amplifiers, *site.smus, *site.chips)],
        ),
        *double(f"site {site.site}: two peers are named", [p.site for p in site.peers]),
        *amplifier_conflicts(site),
        *_device_conflicts(site),
        *_peer_conflicts(site),
        *site_rights_conflicts(site),
        *own_culture_conflicts(site),
    ]


def check_experiment(experiment: Experiment) -> list[str]:
    """Return the conflicts inside one experiment."""
    known = {neuron.id for neuron in experiment.neurons}
    sentences = [
        *double("experiment: two neurons have id", [n.id for n in experiment.neurons]),
        *double("experiment: two synapses have id", [s.id for s in experiment.synapses]),
        *double(
            "experiment: two synapses use device",
            [f"{s.site}/{s.device}" for s in experiment.synapses],
        ),
    ]
    for synapse in experiment.synapses:
        sentences += [
            f"synapse {synapse.name}: {role} neuron {neuron} is not in the experiment"
            for role, neuron in (("pre", synapse.pre), ("post", synapse.post))
            if neuron not in known
        ]
        sentences += _synapse_conflicts(synapse)
    if experiment.protocol is not None and experiment.protocol.neuron not in known:
        sentences.append(f"protocol: neuron {experiment.protocol.neuron} is not in the experiment")
    return sentences


def check_together(experiment: Experiment, sites: Iterable[Site]) -> list[str]:
    """Return the conflicts between an experiment and the sites that are known here.

    A site that the experiment names but that was not given is not judged.
    """
    by_name = {site.site: site for site in sites}
    sentences: list[str] = []
    for neuron in experiment.neurons:
        site = by_name.get(neuron.site)
        if site is not None and neuron.id not in provided_neurons(site):
            sentences.append(
                f"neuron {neuron.name} ({neuron.id}): site {neuron.site} does not provide it; "
                f"add it to an amplifier's neurons or a chip's neurons in its site.toml"
            )
    for synapse in experiment.synapses:
        sentences += _hosting_conflicts(experiment, synapse, by_name)
    sentences += _link_conflicts(experiment, by_name)
    return sentences + rights_conflicts(experiment, by_name) + culture_conflicts(by_name)


def provided_neurons(site: Site) -> set[int]:
    """Return the ids of the neurons whose spikes this site can report."""
    from_amplifiers = {n.neuron for amplifier in site.amplifiers for n in amplifier.neurons}
    return from_amplifiers | {n for chip in site.chips for n in chip.neurons}


def _link_conflicts(experiment: Experiment, by_name: Mapping[str, Site]) -> list[str]:
    """Return which links the synapses need that a site known here has no peer for."""
    site_of = {neuron.id: neuron.site for neuron in experiment.neurons}
    missing: dict[tuple[str, str], str] = {}
    for synapse in experiment.synapses:
        for end in {site_of.get(synapse.pre), site_of.get(synapse.post)} - {synapse.site, None}:
            for here, there in ((synapse.site, str(end)), (str(end), synapse.site)):
                site = by_name.get(here)
                if site is not None and all(peer.site != there for peer in site.peers):
                    missing.setdefault((here, there), synapse.name)
    return [
        f"site {here}: synapse {synapse} needs a link with {there}; add it under [[peers]]"
        for (here, there), synapse in sorted(missing.items())
    ]


def _hosting_conflicts(
    experiment: Experiment, synapse: Synapse, by_name: Mapping[str, Site]
) -> list[str]:
    sentences = []
    host = by_name.get(synapse.site)
    if host is not None:
        devices = {device.name for smu in host.smus for device in smu.devices}
        if synapse.device not in devices:
            sentences.append(
                f"synapse {synapse.name}: site {synapse.site} has no device {synapse.device}; "
                f"it has {sorted(devices)}"
            )
        sentences += _pulse_conflicts(synapse, host)
    post_site = _site_of(experiment, synapse.post, by_name)
    if post_site is not None and not _can_receive(post_site, synapse.post):
        sentences.append(
            f"synapse {synapse.name}: site {post_site.site} has no pattern and no chip neuron "
            f"for its post neuron {synapse.post}"
        )
    return sentences + _deadline_conflicts(experiment, synapse, by_name)


def _pulse_conflicts(synapse: Synapse, host: Site) -> list[str]:
    """Return which pulses are beyond their device's limits: each would be refused each time."""
    sentences = []
    limits = next(
        (d.limits for s in host.smus for d in s.devices if d.name == synapse.device), None
    )
    if limits is None:
        return []
    pulse = synapse.pulse
    for word, amplitude_v, width_s in (
        ("LTP", pulse.ltp_amplitude_v, pulse.ltp_width_s),
        ("LTD", pulse.ltd_amplitude_v, pulse.ltd_width_s),
    ):
        if not (abs(amplitude_v) <= limits.max_amplitude_v):
            sentences.append(
                f"synapse {synapse.name}: {word} pulse of {amplitude_v:g} V, device "
                f"{synapse.device} allows {limits.max_amplitude_v:g} V (max_amplitude_v)"
            )
        if not (limits.min_width_s <= width_s <= limits.max_width_s):
            sentences.append(
                f"synapse {synapse.name}: {word} pulse of {width_s:g} s, device {synapse.device} "
                f"allows {limits.min_width_s:g} to {limits.max_width_s:g} s"
            )
    return sentences


def _deadline_conflicts(
    experiment: Experiment, synapse: Synapse, by_name: Mapping[str, Site]
) -> list[str]:
    """Each hop must leave time: the bound overstates an age by the forward trip and a heartbeat."""
    needed_s = 0.0
    hops = []
    names = {neuron.id: neuron.site for neuron in experiment.neurons}
    for a, b in ((names.get(synapse.pre), synapse.site), (synapse.site, names.get(synapse.post))):
        if a is None or b is None or a == b:
            continue
        for one, other in ((a, b), (b, a)):
            peer = next(
                (p for p in by_name[one].peers if p.site == other) if one in by_name else iter(()),
                None,
            )
            if peer is not None:
                needed_s += peer.rtt_s + HEARTBEAT_S + peer.jitter_s
                hops.append(f"{a}-{b}")
                break
    if synapse.deadline_s >= needed_s:
        return []
    return [
        f"synapse {synapse.name}: deadline {synapse.deadline_s:g} s is below the {needed_s:g} s "
        f"that its links {', '.join(hops)} need (RTT + 0.05 s + jitter each); raise the deadline"
    ]


def _site_of(experiment: Experiment, neuron_id: int, by_name: Mapping[str, Site]) -> Site | None:
    try:
        return by_name.get(experiment.neuron(neuron_id).site)
    except KeyError:
        return None


def _can_receive(site: Site, neuron: int) -> bool:
    if any(neuron in chip.neurons for chip in site.chips):
        return True
    return any(
        isinstance(amplifier, PlaybackAmplifier)
        or any(pattern.post == neuron for pattern in amplifier.patterns)
        for amplifier in site.amplifiers
    )


def _device_conflicts(site: Site) -> list[str]:
    sentences: list[str] = []
    for smu in site.smus:
        where = f"site {site.site}, SMU {smu.name}:"
        sentences += double(f"{where} two devices are named", [d.name for d in smu.devices])
        sentences += double(
            f"{where} two devices are at (word line, bit line)",
            [(d.wordline, d.bitline) for d in smu.devices],
        )
        for device in smu.devices:
            if not (device.wordline <= smu.n_wordlines and device.bitline <= smu.n_bitlines):
                sentences.append(
                    f"{where} device {device.name} at {device.wordline}, {device.bitline} is "
                    f"outside the array of {smu.n_wordlines} x {smu.n_bitlines}"
                )
            if not smu.read_voltage_v <= device.limits.max_read_v:
                sentences.append(
                    f"{where} read voltage {smu.read_voltage_v:g} V is above device "
                    f"{device.name}'s max_read_v {device.limits.max_read_v:g} V"
                )
            if not device.limits.window_min_ohm < device.limits.window_max_ohm:
                sentences.append(f"{where} device {device.name}: window_min_ohm >= window_max_ohm")
    return sentences


def _peer_conflicts(site: Site) -> list[str]:
    sentences = []
    for peer in site.peers:
        if peer.site == site.site:
            sentences.append(f"site {site.site}: is its own peer")
        if (peer.host is None) != (peer.port is None):
            sentences.append(f"site {site.site}, peer {peer.site}: give host and port, or neither")
        if peer.host is None and site.listen is None:
            sentences.append(
                f"site {site.site}, peer {peer.site}: has no address and this site does not "
                "listen, so no link can come up; add [listen] or the peer's host and port"
            )
    return sentences


def _synapse_conflicts(synapse: Synapse) -> list[str]:
    sentences = []
    where = f"synapse {synapse.name}:"
    if not synapse.weight.r_min_ohm < synapse.weight.r_max_ohm:
        sentences.append(f"{where} r_min_ohm must be below r_max_ohm")
    if not synapse.pulse.ltp_amplitude_v * synapse.pulse.ltd_amplitude_v < 0:
        sentences.append(f"{where} LTP and LTD pulses must have opposite signs")
    return sentences
