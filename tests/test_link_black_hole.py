"""A line that swallows everything and closes nothing: remote stimulation is off within 0.5 s."""

from link_world import MS, S, pair, run
from test_gate_rig import Rig, chip

from app.bridge.peers import status_of
from app.config.site import Peer
from app.core.spikes import Provenance
from app.engine.site_links import SiteLinks
from app.engine.watch import leases_of
from app.safety.requests import Cause, CauseKind, Refusal, RefusalReason, Request
from drivers.permit import DriveNeuron

OFF_LIMIT_NS = 500 * MS


class Ledger:
    def __getattr__(self, _name: str):
        return lambda *_arguments: None


class Bridge:
    """Shows one link as the real one does."""

    def __init__(self, link) -> None:
        self._link = link

    def status(self):
        return (status_of(self._link),)


def test_remote_stimulation_is_off_half_a_second_after_the_last_frame() -> None:
    wire = pair()
    here = wire.ends[1]
    rig = Rig(chip(), site="b", leases=leases_of(False, ("a",)))
    links = SiteLinks(
        experiment_hash="", experiment=None, peers=(Peer(site="a"),), identity=None,
        ledger=Ledger(), gate=rig.gate, reception=None, submit=None, stops=None,
        on_peer_stop=lambda _site: None, clock_ns=lambda: rig.now_ns,
    )  # fmt: skip
    links.bridge = Bridge(here.link)
    cause = Cause(CauseKind.PSP, "a", 1, Provenance.MOCK, "test")
    told = 0
    verdicts: list[tuple[int, Refusal | None]] = []

    def each_ms(now_ns: int) -> None:
        nonlocal told
        rig.now_ns = now_ns
        for event in here.events[told:]:
            if type(event).__name__ == "StateChanged":
                links.handle(event)
        told = len(here.events)
        if now_ns % (20 * MS) == 0:  # as the engine's watch does
            for lease in rig.leases[:2]:
                rig.gate.lease_renewed(lease.name, now_ns)
            if links.is_fresh("a", now_ns):
                rig.gate.lease_renewed("link:a", now_ns)
            rig.gate.tick(now_ns)
        if now_ns == 200 * MS:
            assert rig.gate.boot_done(now_ns) is None
            assert rig.arm(now_ns=now_ns, expires_ns=now_ns + 100 * S) is None
        if now_ns > 200 * MS and now_ns % (7 * MS) == 0:
            request = Request("chip", DriveNeuron(7, 10), cause, now_ns, 0, 100 * MS)
            verdict = rig.gate.request(request, now_ns)
            verdicts.append((now_ns, verdict if isinstance(verdict, Refusal) else None))

    run(wire, 0, S, each_ms)
    assert [refusal for _, refusal in verdicts if refusal] == []
    wire.is_stalled = True
    heard_ns = here.link.last_frame_ns
    run(wire, S, 3 * S, each_ms)
    last_permit_ns = max(at for at, refusal in verdicts if refusal is None)
    assert last_permit_ns - heard_ns <= OFF_LIMIT_NS
    after = [refusal for at, refusal in verdicts if at > last_permit_ns]
    assert len(after) > 100
    assert {refusal.reason for refusal in after if refusal} == {RefusalReason.LINK_STALE}
    wire.is_stalled = False
    run(wire, 3 * S, 4 * S, each_ms)
    assert verdicts[-1][1] is None, "on again when the line is, without anybody's arming"
