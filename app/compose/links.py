"""What joins this site to others: its own streams, what it does with what they say, the bridge."""

import secrets
from collections.abc import Iterable, Mapping, Sequence

from app.bridge.bodies import StreamInfo
from app.bridge.bridge import Bridge
from app.bridge.events import LinkEvent
from app.bridge.peers import PeerAddress
from app.bridge.settings import LocalSite
from app.bridge.tls import TlsIdentity
from app.compose.ground import Ground
from app.compose.late_parts import LateParts
from app.compose.record import Record
from app.config.paths import certificate_file, key_file, peer_certificate_file
from app.core.clock import clock_identity, monotonic_ns
from app.engine.ledger import Ledger
from app.engine.own_events import OwnStream
from app.engine.reception import PspReception
from app.engine.site_links import SiteLinks
from app.engine.stop_relay import StopRelay
from app.safety.gate import Gate


def make_streams(ground: Ground, ledger: Ledger, late: LateParts) -> list[OwnStream]:
    """Return the streams of own events: the amplifier's if there is one, then the chips'."""
    neurons: dict[str, set[int]] = {}
    amplifiers = {amplifier.name for amplifier in ground.site.amplifiers}
    for amplifier in ground.site.amplifiers:
        posts = {pattern.post for pattern in amplifier.patterns}
        neurons[amplifier.name] = {n.neuron for n in amplifier.neurons} | posts
    for chip in ground.site.chips:
        neurons[chip.name] = set(chip.neurons)
    return [
        OwnStream(
            ground.site.site,
            instrument,
            number,
            of_instrument,
            ground.provenance[instrument],
            experiment=ground.experiment,
            may_receive=[p.site for p in ground.site.peers if instrument in p.may.receive],
            ledger=ledger,
            send=late.send_spikes,
            # Acquisition looks at a block every millisecond: the synapses' thread decides for it.
            submit=late.submit if instrument in amplifiers else late.decide,
        )
        for number, (instrument, of_instrument) in enumerate(neurons.items())
    ]


def identity_of(ground: Ground) -> TlsIdentity | None:
    """Return who this site is to its peers; None: it has none. Raises KeyFileError."""
    site, site_file = ground.site, ground.files.site_file
    if not site.peers:
        return None
    peers = {p.site: peer_certificate_file(site_file, site, p.site) for p in site.peers}
    return TlsIdentity(key_file(site_file, site), certificate_file(site_file, site), peers)


def make_links(
    ground: Ground,
    identity: TlsIdentity | None,
    ledger: Ledger,
    gate: Gate,
    reception: PspReception,
    late: LateParts,
) -> SiteLinks:
    """Return what handles the events of every link. It wants its bridge before the start."""
    return SiteLinks(
        experiment_hash=ground.experiment_hash,
        experiment=ground.experiment,
        peers=ground.site.peers,
        identity=identity,
        ledger=ledger,
        gate=gate,
        reception=reception,
        submit=late.decide,
        stops=StopRelay(new_mark=lambda: secrets.randbits(32) or 1),
        on_peer_stop=ground.engine.stopped_by_peer,
        clock_ns=monotonic_ns,
    )


def make_bridge(
    ground: Ground,
    identity: TlsIdentity,
    record: Record,
    streams: Iterable[OwnStream],
    links: SiteLinks,
    last_seqs: Mapping[str, int],
) -> Bridge:
    """Return the bridge; it listens already. Raises OSError if its address cannot be had.

    `last_seqs` is what was received last, by the sending session.
    """

    def on_event(event: LinkEvent) -> None:
        links.handle(event)
        record.showing.link_event(event)

    site = ground.site
    told = tuple(
        StreamInfo(stream=s.stream, name=s.name, provenance=s.provenance, neurons=s.neurons)
        for s in streams
    )
    return Bridge(
        LocalSite(
            site.site, record.session.info.session, ground.experiment_hash, clock_identity(), told
        ),
        identity,
        _addresses(ground, told),
        listen=None if site.listen is None else (site.listen.host, site.listen.port),
        # Sessions are named by 128 random bits, so whose they are need not be kept apart.
        last_seqs={p.site: last_seqs for p in site.peers},
        on_event=on_event,
        clock_ns=monotonic_ns,
        on_failure=ground.engine.failed,
    )


def _addresses(ground: Ground, streams: Sequence[StreamInfo]) -> tuple[PeerAddress, ...]:
    """Return where each peer is, and which of our streams it may have."""
    return tuple(
        PeerAddress(p.site, p.host, p.port, tuple(s for s in streams if s.name in p.may.receive))
        for p in ground.site.peers
    )
