"""What a peer's key may do: nothing by default, and exactly what the site's owner wrote."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from app.bridge.bodies import Hello, StreamInfo, encode_hello
from app.bridge.events import PeerKnown, PspsReceived, SpikesReceived
from app.config.check import check_site, check_together
from app.config.experiment import Experiment
from app.config.load import load_experiment, load_site
from app.config.site import Peer, PeerRights, Site
from app.core.frames import MAX_BODY_BYTES
from app.core.spikes import PSP_RECORD, SPIKE_RECORD, Provenance, SpikeBatch
from app.engine.own_events import routes_of
from app.engine.peer_rights import PermittedStream, PspRights, permitted_stream, psp_rights
from app.engine.reception import PspReception
from app.engine.site_links import REFUSED, SiteLinks
from app.engine.stop_relay import StopRelay
from app.engine.synapse_outputs import SynapseOutputs
from app.engine.wiring import targets_of
from app.recording.rows import ReceivedFrameRow
from app.synapse.network import PspsOut
from drivers.permit import DriveNeuron, PulseDevice, Stimulate

CHAIN = Path(__file__).parents[1] / "app" / "demo" / "chain2020"
S = 1_000_000_000


def chain() -> tuple[Experiment, dict[str, Site]]:
    names = ("padova", "southampton", "zurich")
    sites = {name: load_site(CHAIN / f"{name}.toml") for name in names}
    return load_experiment(CHAIN / "experiment.toml"), sites


def allowed(site: Site, peer: str, **rights: object) -> Site:
    """The site with some of a peer's rights changed."""
    peers = tuple(
        msgspec.structs.replace(p, may=msgspec.structs.replace(p.may, **rights))
        if p.site == peer
        else p
        for p in site.peers
    )
    return msgspec.structs.replace(site, peers=peers)


def psps(n: int = 1, synapse: int = 1, post: int = 256, weight: float = 0.9) -> np.ndarray:
    records = np.zeros(n, PSP_RECORD)
    records["synapse"], records["post"], records["weight"] = synapse, post, weight
    return records


def spikes(*neurons: int) -> np.ndarray:
    records = np.zeros(len(neurons), SPIKE_RECORD)
    records["neuron"] = neurons
    return records


class Book:
    """Stands for the ledger: notes every call and says that it is committed."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def record(*arguments: Any) -> None:
            self.rows.append((name, arguments))
            if arguments and callable(arguments[-1]):
                (frame,) = (a for a in arguments if isinstance(a, ReceivedFrameRow))
                arguments[-1](frame.seq)

        return record

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [arguments for kind, arguments in self.rows if kind == name]


class FakeBridge:
    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    def recorded(self, _site: str, _session: str, seq: int) -> None:
        self.acknowledged.append(seq)


def reception(site: Site, experiment: Experiment) -> tuple[PspReception, list, list[str]]:
    jobs: list = []
    said: list[str] = []
    instruments = {i.name: jobs.append for i in (*site.amplifiers, *site.chips)}
    made = PspReception(
        experiment.synapses,
        targets_of(site),
        psp_rights(site.peers),
        instruments,
        lambda _site, why, n, _now_ns: said.append(f"{why} ({n} PSPs)"),
    )
    return made, jobs, said


def site_links(site: Site, experiment: Experiment | None) -> tuple[SiteLinks, Book, list]:
    book, submitted = Book(), []
    whole, _ = chain()
    links = SiteLinks(
        experiment_hash="",
        experiment=experiment,
        peers=site.peers,
        identity=None,
        ledger=book,
        gate=Book(),
        reception=reception(site, whole)[0],
        submit=submitted.append,
        stops=StopRelay(new_mark=lambda: 1),
        on_peer_stop=lambda _site: None,
        clock_ns=lambda: S,
    )
    links.bridge = FakeBridge()
    return links, book, submitted


def known(site: str, *streams: StreamInfo) -> PeerKnown:
    hello = Hello(
        min_version=1, max_version=1, site=site, session="a" * 32, experiment_hash="", clock="",
        streams=streams, last_seqs={},
    )  # fmt: skip
    return PeerKnown(site, hello, is_new_session=False)


def stream(name: str, *neurons: int, number: int = 0) -> StreamInfo:
    return StreamInfo(stream=number, name=name, provenance=Provenance.MOCK, neurons=neurons)


def received(site: str, records: np.ndarray, number: int = 0) -> SpikesReceived:
    batch = SpikeBatch(number, records, S, S)
    return SpikesReceived(site, "a" * 32, 7, batch, False, 0, S)


# --- the default is nothing -----------------------------------------------------------------------


def test_a_peer_without_rights_may_do_nothing() -> None:
    peer = Peer(site="zurich")
    assert peer.may == PeerRights()
    refused = permitted_stream(peer, stream("chip1", 63), None)
    assert isinstance(refused, str)
    assert "may send nothing" in refused
    rights = PspRights("zurich", peer.may)
    for action in (Stimulate(1), DriveNeuron(1, 255), PulseDevice(1, 1, 1.0, 1e-6)):
        assert "may not reach" in rights.why_not_reach(action)
    assert "more than 0 PSPs" in rights.why_too_many(0)


def test_a_permitted_stream_speaks_for_its_own_sites_neurons_only() -> None:
    experiment, sites = chain()
    zurich = next(p for p in sites["southampton"].peers if p.site == "zurich")
    taken = permitted_stream(zurich, stream("chip1", 63, 1, 256), experiment)
    assert isinstance(taken, PermittedStream)
    assert taken.neurons == {63, 1}, "256 is Padova's"
    assert taken.own.only(spikes(63, 256, 1))["neuron"].tolist() == [63, 1]
    many = spikes(*([63, 256, 1] * 40))
    assert taken.own.only(many)["neuron"].tolist() == [63, 1] * 40
    assert taken.own.only(many[::3]).tolist() == many[::3].tolist()


# --- events ---------------------------------------------------------------------------------------


def test_what_may_not_be_sent_is_counted_acknowledged_and_not_kept() -> None:
    experiment, sites = chain()
    links, book, submitted = site_links(
        allowed(sites["southampton"], "zurich", send=()), experiment
    )
    links.handle(known("zurich", stream("chip1", 63, 1)))
    links.handle(received("zurich", spikes(63, 63)))
    assert submitted == []
    assert book.of("received_spikes") == []
    ((frame, _),) = book.of("frame")
    assert (frame.seq, frame.n_records, frame.flags) == (7, 2, REFUSED)
    assert links.bridge.acknowledged == [7], "or it would come again for ever"
    assert any("may send nothing" in text for _, kind, text in book.of("link") if kind == "refused")
    assert links._n_refused["zurich"] == 2


def test_events_of_a_foreign_neuron_are_left_out_by_count() -> None:
    experiment, sites = chain()
    links, book, submitted = site_links(sites["southampton"], experiment)
    links.handle(known("zurich", stream("chip1", 63, 1)))
    links.handle(received("zurich", spikes(63, 256, 1)))
    (arrival,) = submitted
    assert arrival.records["neuron"].tolist() == [63, 1]
    assert arrival.neurons == {63, 1}
    assert links._n_refused["zurich"] == 1
    assert book.of("link")[-1][2] == "neurons that are not its own (1 events)"
    links.handle(received("zurich", spikes(256)))
    assert links._n_refused["zurich"] == 2
    assert len([of for of in book.of("link") if "not its own" in of[2]]) == 1, "no line for each"


def test_a_stream_that_is_no_longer_announced_is_no_longer_taken() -> None:
    experiment, sites = chain()
    links, _, submitted = site_links(sites["southampton"], experiment)
    links.handle(known("zurich", stream("chip1", 63, 1)))
    links.handle(known("zurich", stream("other", 63, 1)))
    links.handle(received("zurich", spikes(63)))
    assert submitted == []


def test_events_go_only_to_whom_they_may_be_sent() -> None:
    experiment, _ = chain()
    assert [r.site for r in routes_of(experiment, {63, 1}, {"southampton"})] == ["southampton"]
    assert routes_of(experiment, {63, 1}, {"zurich"}) == []


# --- PSPs -----------------------------------------------------------------------------------------


def test_psps_reach_permitted_patterns_only() -> None:
    experiment, sites = chain()
    site = allowed(sites["padova"], "southampton", reach_patterns=(1, 2))
    made, jobs, said = reception(site, experiment)
    made.take("southampton", psps(2, weight=0.5), age_bound_ns=0, received_ns=S)
    made.take("southampton", psps(3, weight=0.9), age_bound_ns=0, received_ns=S)
    assert [job.action for job in jobs] == [Stimulate(2), Stimulate(2)]
    assert said == ["site southampton's key may not reach pattern 3 (3 PSPs)"]
    assert made.n_unusable == 3


def test_psps_reach_permitted_chip_neurons_only() -> None:
    experiment, sites = chain()
    for neurons, n_jobs in (((1,), 1), ((), 0)):
        site = allowed(sites["zurich"], "southampton", reach_neurons=neurons)
        made, jobs, _ = reception(site, experiment)
        made.take("southampton", psps(1, 2, 1), age_bound_ns=0, received_ns=S)
        assert len(jobs) == n_jobs


def test_rate_at_the_receiver_is_a_sliding_second() -> None:
    experiment, sites = chain()
    site = allowed(sites["padova"], "southampton", max_psps_per_s=5)
    made, jobs, said = reception(site, experiment)
    made.take("southampton", psps(7), age_bound_ns=0, received_ns=S)
    assert len(jobs) == 5
    assert "more than 5 PSPs in a second" in said[0]
    made.take("southampton", psps(1), age_bound_ns=0, received_ns=2 * S - 1)
    assert len(jobs) == 5
    made.take("southampton", psps(1), age_bound_ns=0, received_ns=2 * S)
    assert len(jobs) == 6


def test_rate_at_the_sender_withholds_by_record() -> None:
    _, sites = chain()
    site = allowed(sites["southampton"], "padova", max_psps_per_s=2)
    book, sent = Book(), []
    outputs = SynapseOutputs(
        site="southampton",
        ledger=book,
        reception=None,
        send_psps=lambda site, records, _now_ns: sent.append((site, len(records))),
        submit_pulse={},
        rights=psp_rights(site.peers),
    )
    outputs.take(PspsOut("padova", psps(3)), S)
    outputs.take(PspsOut("padova", psps(1)), S + 1)
    outputs.take(PspsOut("padova", psps(1)), 2 * S)
    assert sent == [("padova", 2), ("padova", 1)]
    assert [w.synapse for w, _ in book.of("withheld_psp")] == [1, 1]


def test_psps_of_a_key_that_may_send_none_are_not_kept() -> None:
    experiment, sites = chain()
    site = allowed(sites["padova"], "southampton", max_psps_per_s=0)
    links, book, _ = site_links(site, experiment)
    links.handle(PspsReceived("southampton", "a" * 32, 3, psps(4), False, 0, S))
    assert book.of("received_psps") == []
    assert book.of("frame")[0][0].flags == REFUSED
    assert links.bridge.acknowledged == [3]


# --- check ----------------------------------------------------------------------------------------


def test_the_chain_has_exactly_the_rights_that_it_needs() -> None:
    experiment, sites = chain()
    assert check_together(experiment, sites.values()) == []
    for name, site in sites.items():
        for peer in site.peers:
            for right in PeerRights.__struct_fields__:
                if getattr(peer.may, right) == getattr(PeerRights(), right):
                    continue
                nothing = {right: getattr(PeerRights(), right)}
                less = {**sites, name: allowed(site, peer.site, **nothing)}
                sentences = check_together(experiment, less.values())
                assert any(f"may.{right}" in sentence for sentence in sentences), (name, right)


def test_a_site_alone_finds_that_a_peer_may_send_nothing() -> None:
    experiment, sites = chain()
    alone = allowed(sites["southampton"], "zurich", send=())
    sentences = check_together(experiment, [alone])
    assert any("peer zurich" in s and "may.send" in s for s in sentences)


def test_more_neurons_than_a_greeting_holds_are_a_conflict() -> None:
    _, sites = chain()
    (chip,) = sites["zurich"].chips

    def with_neurons(n: int) -> Site:
        many = msgspec.structs.replace(chip, neurons=tuple(range(n)))
        return msgspec.structs.replace(sites["zurich"], chips=(many,))

    def too_many(site: Site) -> list[str]:
        return [s for s in check_site(site) if "bytes of a greeting" in s]

    for n, is_too_many in ((9_900, False), (12_500, True)):
        site = with_neurons(n)
        assert bool(too_many(site)) == is_too_many
        mine = stream("chip1", *site.chips[0].neurons)
        hello = Hello(
            min_version=1, max_version=1, site="z" * 63, session="0" * 32,
            experiment_hash="0" * 64, clock="c" * 80, streams=(mine,),
            last_seqs={f"{i:032x}": 2**48 - 1 for i in range(64)},
        )  # fmt: skip
        assert (len(encode_hello(hello)) > MAX_BODY_BYTES) == is_too_many
    assert not too_many(allowed(with_neurons(12_500), "southampton", receive=()))


@pytest.mark.parametrize(
    ("right", "value"),
    [("receive", ("nothing",)), ("reach_patterns", (8,)), ("reach_neurons", (99,))],
)
def test_rights_to_what_is_not_there_are_conflicts(right: str, value: tuple) -> None:
    _, sites = chain()
    for site in sites.values():
        peer = site.peers[0].site
        sentences = check_site(allowed(site, peer, **{right: value}))
        assert any(f"may.{right} names {value[0]}" in s for s in sentences)
