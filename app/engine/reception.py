"""What a site does with PSPs for its own neurons: turn each into a job for an actuator."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from app.config.experiment import Synapse
from app.core.spikes import PspRecords
from app.engine.peer_rights import PspRights
from app.safety.actuator_worker import ActuatorJob
from app.safety.requests import Cause, CauseKind
from app.synapse.network import PROVENANCE_OF_FLAG
from app.synapse.weights import Target


class PspReception:
    """Maps (post neuron, weight) to an action and queues it. Any thread may call it.

    What cannot be mapped, or what the peer's key may not do, is counted and told to `on_unusable`
    (site, why, how many, when), never dropped in silence. PSPs of this site's own synapses need no
    key.
    """

    def __init__(
        self,
        synapses: Sequence[Synapse],
        targets: Mapping[int, Target],
        rights: Mapping[str, PspRights],
        submit: Mapping[str, Callable[[ActuatorJob], None]],
        on_unusable: Callable[[str, str, int, int], None],
    ) -> None:
        self._deadline_ns = {s.id: round(s.deadline_s * 1e9) for s in synapses}
        self._post = {s.id: s.post for s in synapses}
        self._site = {s.id: s.site for s in synapses}
        self._targets = dict(targets)
        self._rights = dict(rights)
        self._submit = dict(submit)
        self._on_unusable = on_unusable
        self.n_unusable = 0
        self.n_unusable_of: Counter[str] = Counter()
        """By site."""

    def take(
        self,
        site: str,
        records: PspRecords,
        *,
        age_bound_ns: int | None,
        received_ns: int,
    ) -> None:
        """Queue a job for each PSP of a batch that `site` sent.

        Parameters
        ----------
        age_bound_ns
            Upper bound of the batch's own age at `received_ns`; None if not known. Each PSP's
            bound is this plus what it had gathered before.
        """
        refused: Counter[str] = Counter()
        for psp in records:
            synapse = int(psp["synapse"])
            why = self._why_not(site, synapse, int(psp["post"]), float(psp["weight"]), received_ns)
            if why:
                refused[why] += 1
                continue
            target = self._targets[int(psp["post"])]
            age_ns = None
            if age_bound_ns is not None:
                age_ns = age_bound_ns + int(psp["age_bound_us"]) * 1000
            cause = Cause(
                kind=CauseKind.PSP,
                site=site,
                synapse=synapse,
                provenance=PROVENANCE_OF_FLAG[int(psp["flags"]) & 3],
                detail=f"pre spike {int(psp['cause']) >> 16}/{int(psp['cause']) & 0xFFFF}",
            )
            job = ActuatorJob(
                action=target.action_for(float(psp["weight"])),
                cause=cause,
                received_ns=received_ns,
                age_bound_ns=age_ns,
                deadline_ns=self._deadline_ns[synapse],
                caused_ns=int(psp["pre_time_ns"]),
            )
            self._submit[target.instrument](job)
        self.n_unusable += refused.total()
        self.n_unusable_of[site] += refused.total()
        for why, n in refused.items():
            self._on_unusable(site, why, n, received_ns)

    def _why_not(self, site: str, synapse: int, post: int, weight: float, now_ns: int) -> str:
        if self._site.get(synapse) != site:
            return f"synapse {synapse} is not one of site {site}'s in this experiment"
        if self._post[synapse] != post or post not in self._targets:
            return f"synapse {synapse}: neuron {post} is not one that it may drive here"
        if not (0.0 <= weight <= 1.0):
            return f"synapse {synapse}: weight {weight} is outside 0 to 1"
        rights = self._rights.get(site)
        if rights is None:
            return ""
        action = self._targets[post].action_for(weight)
        return rights.why_not_reach(action) or rights.why_too_many(now_ns)
