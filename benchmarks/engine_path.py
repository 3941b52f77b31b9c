"""The complete path as a transport: one engine's router to the other's, authenticated, numbered,
recorded at both ends. Parts and order are those of `app.compose`.
"""

import secrets
from pathlib import Path

from app.config.experiment import Experiment
from app.config.load import load_experiment
from app.config.site import Peer, PeerRights
from app.core.clock import monotonic_ns
from app.core.spikes import Provenance, SpikeBatch, SpikeRecords
from app.engine.ledger import Ledger
from app.engine.own_events import OwnStream
from app.engine.reception import PspReception
from app.engine.site_links import SiteLinks
from app.engine.stop_relay import StopRelay
from app.engine.watch import leases_of
from app.recording.event_log import EventLog
from app.recording.received import last_seqs
from app.safety.gate import Gate
from app.synapse.inputs import Input
from app.synapse.network import SpikeArrival
from benchmarks.transports import Sink, _end_loudly, await_up, make_bridge

NEURON = 63
"""ANpre of the chain of 2020: at site a here, with the synapse at site b."""


def experiment() -> Experiment:
    """Return the chain's first neuron, with its synapse at site b."""
    import msgspec

    chain = Path(__file__).parents[1] / "app" / "demo" / "chain2020"
    whole = load_experiment(chain / "experiment.toml")
    names = {"zurich": "a", "southampton": "b", "padova": "c"}
    return msgspec.structs.replace(
        whole,
        neurons=tuple(msgspec.structs.replace(n, site=names[n.site]) for n in whole.neurons),
        synapses=tuple(msgspec.structs.replace(s, site=names[s.site]) for s in whole.synapses[:1]),
    )


def event_log(path: Path) -> EventLog:
    """Return a site's event log, started."""
    made = EventLog(path, on_failure=_end_loudly)
    made.start()
    return made


class EngineReceiver:
    """Site b. After a restart it listens where it did, and knows what its last log holds."""

    def __init__(self, folder: Path, sink: Sink, *, port: int = 0, run: int = 1) -> None:
        self._sink = sink
        self.path = folder / f"b-{run}.sqlite"
        last = last_seqs(folder / f"b-{run - 1}.sqlite") if run > 1 else {}
        self._log = event_log(self.path)
        ledger = Ledger(self._log, "b", monotonic_ns)
        gate = Gate(
            "b",
            {},
            leases_of(False, ("a",)),
            clock_ns=monotonic_ns,
            on_audit=ledger.audit,
            on_input=lambda *_input: None,
        )
        self._links = SiteLinks(
            experiment_hash="",
            experiment=experiment(),
            peers=(Peer(site="a", may=PeerRights(send=("source",))),),
            identity=None,
            ledger=ledger,
            gate=gate,
            reception=PspReception((), {}, {}, {}, lambda _site, _why: None),
            submit=self._submit,
            stops=StopRelay(new_mark=lambda: 1),
            on_peer_stop=lambda _site: None,
            clock_ns=monotonic_ns,
        )
        self._bridge = make_bridge(
            folder,
            "b",
            "a",
            self._links.handle,
            port=port,
            session=secrets.token_hex(16),
            last_seqs=last,
        )
        self._links.bridge = self._bridge
        self.address = ("127.0.0.1", self._bridge.listen_port)

    def _submit(self, item: Input) -> None:
        if isinstance(item, SpikeArrival):
            self._sink(item.records)

    def close(self) -> None:
        for worker in (self._bridge, self._log):
            worker.request_stop()
            worker.join(10)


class EngineSender:
    def __init__(self, folder: Path, address: tuple[str, int]) -> None:
        self._log = event_log(folder / "a.sqlite")
        self._bridge = make_bridge(folder, "a", "b", lambda _event: None, dials=address)
        self._stream = OwnStream(
            "a",
            "source",
            0,
            (NEURON,),
            Provenance.MOCK,
            experiment=experiment(),
            may_receive=("b",),
            ledger=Ledger(self._log, "a", monotonic_ns),
            send=self._bridge.send_spikes,
            submit=lambda _arrival: None,
        )
        await_up(self._bridge)

    def send(self, records: SpikeRecords) -> None:
        now_ns = monotonic_ns()
        self._stream.take(SpikeBatch(0, records, now_ns, now_ns))

    def n_waiting(self) -> int:
        return self._bridge.status()[0].counts.n_unacknowledged

    def close(self) -> None:
        for worker in (self._bridge, self._log):
            worker.request_stop()
            worker.join(10)
