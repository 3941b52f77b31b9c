"""What each peer's key may do here, asked at the three places where something crosses a link."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.bridge.bodies import StreamInfo
from app.config.experiment import Experiment
from app.config.site import Peer, PeerRights
from app.core.spikes import NeuronSet, Provenance
from app.safety.rates import SlidingSum, last_second
from drivers.permit import Action, DriveNeuron, Stimulate


@dataclass(frozen=True, slots=True, eq=False)
class PermittedStream:
    """A peer's stream that is taken here, and the neurons for which it may speak."""

    neurons: frozenset[int]
    provenance: Provenance
    own: NeuronSet
    """The same neurons, to hold batches against."""


def permitted_stream(
    peer: Peer, stream: StreamInfo, experiment: Experiment | None
) -> PermittedStream | str:
    """Return what is taken of a stream, or the sentence that says why nothing is.

    No site speaks for another's neurons: those of the experiment belong to their site.
    """
    if stream.name not in peer.may.send:
        return (
            f"stream {stream.name} of site {peer.site} is not taken: its key may send "
            f"{', '.join(peer.may.send) or 'nothing'}; see may.send in site.toml"
        )
    neurons = set(stream.neurons)
    if experiment is not None:
        neurons &= {n.id for n in experiment.neurons if n.site == peer.site}
    return PermittedStream(frozenset(neurons), stream.provenance, NeuronSet(neurons))


@dataclass(slots=True)
class PspRights:
    """Judges the PSPs of one peer, or those for it. One thread asks, times do not decrease."""

    site: str
    rights: PeerRights
    _lately: SlidingSum = field(default_factory=last_second)

    def why_not_reach(self, action: Action) -> str:
        """Say why a PSP of this peer may not do something here; empty if it may."""
        match action:
            case Stimulate():
                is_allowed = action.pattern_id in self.rights.reach_patterns
                what = f"pattern {action.pattern_id}"
            case DriveNeuron():
                is_allowed = action.neuron in self.rights.reach_neurons
                what = f"neuron {action.neuron}"
            case _:
                is_allowed, what = False, "anything but patterns and neurons"
        return "" if is_allowed else f"site {self.site}'s key may not reach {what}"

    def why_too_many(self, now_ns: int) -> str:
        """Count one PSP; say why it is one too many in this second, or nothing."""
        if self._lately.total(now_ns) >= self.rights.max_psps_per_s:
            return (
                f"more than {self.rights.max_psps_per_s} PSPs in a second over the link to "
                f"site {self.site}; see may.max_psps_per_s in site.toml"
            )
        self._lately.add(now_ns)
        return ""


def psp_rights(peers: Iterable[Peer]) -> Mapping[str, PspRights]:
    """Return a fresh judge for each peer; one set for each direction."""
    return {peer.site: PspRights(peer.site, peer.may) for peer in peers}
