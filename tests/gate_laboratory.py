"""Does anything to a Gate in any order, and knows by itself what may be permitted. No tests."""

import math
from collections import Counter, deque
from typing import ClassVar

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from app.safety.audit import DeliveryOutcome, first_difference, verify_chain
from app.safety.dose import Dose
from app.safety.leases import LeaseNeed, link_lease
from app.safety.replay import replay
from app.safety.requests import CauseKind, RefusalReason
from drivers.errors import SafetyLimitError
from drivers.permit import DriveNeuron, Permit, PulseDevice, Stimulate
from drivers.smu.protocol import DeviceAddress
from tests.test_gate_recount import CHIP, DEVICES, OTHER, STIMULATION, Granted, recount
from tests.test_gate_rig import DEVICE, LEASES, MS, SECOND, Rig, array, chip, stimulator

LIFE = 20 * MS
NAN = math.nan
ACTIONS = st.one_of(
    st.builds(Stimulate, st.sampled_from([1, 2, 3, 4])),
    st.builds(
        PulseDevice,
        st.sampled_from([DEVICE.wordline, OTHER.wordline]),
        st.sampled_from([DEVICE.bitline, OTHER.bitline]),
        st.sampled_from([1.5, -1.0, 1.6, 0.0]),
        st.sampled_from([1e-6, 1e-2, 2e-2]),
    ),
    st.builds(DriveNeuron, st.sampled_from([7, 8, 9]), st.sampled_from([0, 255, 256])),
)
GOOD_ACTIONS = st.sampled_from(
    [
        Stimulate(1),
        Stimulate(2),
        Stimulate(3),
        PulseDevice(DEVICE.wordline, DEVICE.bitline, 1.0, 1e-6),
        DriveNeuron(7, 200),
    ]
)
ODD_ACTIONS = st.sampled_from(
    [
        Stimulate(NAN),
        PulseDevice(3, 4, NAN, 1e-6),
        PulseDevice(3, 4, 1.0, NAN),
        PulseDevice(NAN, 4, 1.0, 1e-6),
        PulseDevice(3, NAN, 1.0, 1e-6),
        DriveNeuron(NAN, 1),
        DriveNeuron(7, NAN),
        Stimulate(True),
        "stimulate",
    ]
)
ODD_FIELDS = st.sampled_from(["synapse", "made_ns", "age_bound_ns", "deadline_ns", "queue_length"])
LEASE_NAMES = st.sampled_from([lease.name for lease in LEASES])
STEPS = st.sampled_from([0, 1, MS, 5 * MS, 20 * MS, 100 * MS, 400 * MS, 501 * MS, 2001 * MS])
WELL = st.sampled_from([1, 5 * MS, 200 * MS, SECOND, 3 * SECOND])


def new_rig() -> Rig:
    return Rig(
        stimulator(limits=STIMULATION),
        array(devices={DEVICE: ("m1", DEVICES), OTHER: ("m2", DEVICES)}),
        chip(limits=CHIP),
    )


class Laboratory(RuleBasedStateMachine):
    """Does things to a Gate, and knows by itself what may be permitted."""

    seen: ClassVar[Counter]

    def __init__(self) -> None:
        super().__init__()
        self.rig = new_rig()
        self.gate = self.rig.gate
        self.doses: list[tuple[int, Dose]] = []
        """Of earlier lives of the engine."""
        self.renewed: dict[str, int] = {}
        self.armed_until: int | None = None
        self.is_by_program = False
        self.state = "boot"
        self.granted: list[Granted] = []
        self.young: deque[tuple[Permit, int, int]] = deque(maxlen=50)
        self.tried: set[Permit] = set()
        self.n_armings = 0
        self.epoch = 0
        self.is_blocked = False

    # What is known here, independently of the Gate.

    def is_fresh(self, name: str) -> bool:
        limit_ns = {lease.name: lease.limit_ns for lease in LEASES}[name]
        return name in self.renewed and self.rig.now_ns - self.renewed[name] <= limit_ns

    def may_stay_armed(self) -> bool:
        needs = {LeaseNeed.ARMED} | (set() if self.is_by_program else {LeaseNeed.ARMED_BY_PERSON})
        leases_hold = all(self.is_fresh(lease.name) for lease in LEASES if lease.need in needs)
        return self.armed_until is not None and self.rig.now_ns < self.armed_until and leases_hold

    def check_state(self, *allowed: str) -> None:
        """Compare the Gate's state with the one before; only what is allowed may be new."""
        now = self.rig.state
        trips = now == "tripped" and self.state == "armed" and not self.may_stay_armed()
        assert now == self.state or now in allowed or trips, (self.state, now)
        self.state = now
        if now != "armed":
            self.armed_until = None
        self.seen[f"state {now}"] += 1
        assert self.gate.is_armed == (now == "armed")

    # What people and threads do.

    @initialize(is_booted=st.integers(0, 9))
    def begin(self, is_booted: int) -> None:
        if is_booted:
            self.boot()
            self.renew_all()
            self.arm()
            self.read(DEVICE, 10e3)
            self.read(OTHER, 10e3)

    @rule()
    def boot(self) -> None:
        refusal = self.gate.boot_done(self.rig.now_ns)
        self.check_state(*(["disarmed"] if refusal is None and self.state == "boot" else []))

    @rule(ns=st.sampled_from([10 * SECOND, 700 * SECOND, 5000 * SECOND]))
    def restart(self, ns: int) -> None:
        """The engine dies and another starts: it knows what was given, and is armed by nobody."""
        self.doses += [(time_ns, d) for _, time_ns, doses in self.rig.doses for d in doses]
        now_ns = self.rig.now_ns + ns
        self.rig = new_rig()
        self.rig.now_ns = now_ns
        self.gate = self.rig.gate
        for time_ns, d in self.doses:
            self.gate.note_past(d.instrument, d.target, time_ns, d.n_pulses, d.charge_c)
        self.state, self.armed_until, self.epoch, self.is_blocked = "boot", None, 0, False
        self.renewed.clear()
        self.young.clear()
        self.check_state()
        self.seen["restart"] += 1

    @rule(ns=st.sampled_from([60 * SECOND, 3600 * SECOND, 30 * 3600 * SECOND]))
    def jump(self, ns: int) -> None:
        """The machine slept, or somebody held it: time is suddenly much later."""
        self.rig.now_ns += ns
        self.gate.tick(self.rig.now_ns)
        self.check_state()
        assert self.state != "armed"

    @rule(ns=st.sampled_from([1, 5 * MS, 10 * SECOND]))
    def look_with_an_older_clock(self, ns: int) -> None:
        """A thread read the clock, and came late to the lock: nothing gets younger by that."""
        self.gate.tick(self.rig.now_ns - ns)
        self.check_state()

    @rule()
    def renew_all(self) -> None:
        for lease in LEASES:
            self.renew(lease.name)

    @rule(name=LEASE_NAMES)
    def renew(self, name: str) -> None:
        self.gate.lease_renewed(name, self.rig.now_ns)
        # The lapse of any lease is found before one of them is renewed.
        self.check_state()
        self.renewed[name] = self.rig.now_ns

    @rule(name=LEASE_NAMES)
    def lose(self, name: str) -> None:
        self.gate.lease_lost(name, "test", self.rig.now_ns)
        self.renewed.pop(name, None)
        self.check_state()

    @rule(ns=STEPS, is_ticking=st.booleans())
    def wait(self, ns: int, is_ticking: bool) -> None:
        self.rig.now_ns += ns
        if is_ticking:
            self.gate.tick(self.rig.now_ns)
            self.check_state()
            assert self.state != "armed" or self.may_stay_armed()

    @rule(ns=WELL)
    def wait_well(self, ns: int) -> None:
        end_ns = self.rig.now_ns + ns
        while self.rig.now_ns < end_ns:
            self.rig.now_ns = min(self.rig.now_ns + 400 * MS, end_ns)
            self.renew_all()

    @rule(
        who=st.sampled_from(["ada", "ada", " "]),
        is_operator=st.booleans(),
        by_program=st.booleans(),
        length_ns=st.sampled_from([3600 * SECOND, 10 * SECOND, 0, -1, NAN]),
    )
    def try_to_arm(self, who: str, is_operator: bool, by_program: bool, length_ns: float) -> None:
        now_ns = self.rig.now_ns
        expires_ns = now_ns + length_ns
        was = self.state
        words = {"by_program": by_program, "is_operator": is_operator}
        refusal = self.gate.arm(who, "test", now_ns, expires_ns, **words)
        if refusal is None:
            assert was == "disarmed"
            assert who.strip()
            assert is_operator or by_program
            assert not self.is_blocked
            self.armed_until, self.is_by_program = expires_ns, by_program
            self.n_armings += 1
            assert self.may_stay_armed()
        self.check_state(*(["armed"] if refusal is None else []))

    @rule()
    def arm(self) -> None:
        self.renew_all()
        self.try_to_arm("ada", is_operator=True, by_program=False, length_ns=3600 * SECOND)

    @rule(how=st.sampled_from(["disarm", "trip", "emergency stop"]))
    def stop(self, how: str) -> None:
        if how == "disarm":
            self.gate.disarm("bob", "test", self.rig.now_ns)
            self.check_state(*(["disarmed"] if self.state == "armed" else []))
        elif how == "trip":
            self.gate.trip("test", self.rig.now_ns)
            self.check_state("tripped")
        else:
            self.gate.emergency_stop("bob", self.rig.now_ns)
            self.epoch += 1
            self.check_state("tripped")
        assert not self.gate.is_armed
        assert self.gate.snapshot().stop_epoch == self.epoch

    @rule(who=st.sampled_from(["bob", "bob", ""]))
    def acknowledge(self, who: str) -> None:
        refusal = self.gate.acknowledge_trip(who, self.rig.now_ns)
        may = refusal is None and self.state == "tripped" and who
        self.check_state(*(["disarmed"] if may else []))
        assert (refusal is None) <= bool(who)

    @rule(sentence=st.sampled_from(["hashes differ", None, None]))
    def block(self, sentence: str | None) -> None:
        self.gate.set_block("experiment", sentence, self.rig.now_ns)
        self.is_blocked = sentence is not None
        self.check_state()

    @rule(
        device=st.sampled_from([DEVICE, OTHER]),
        resistance_ohm=st.sampled_from([10e3, 10e3, 10e3, 500.0, 2e6, NAN, -1.0]),
    )
    def read(self, device: DeviceAddress, resistance_ohm: float) -> None:
        self.rig.read(resistance_ohm, device)
        self.check_state()

    @rule(direction=st.sampled_from([1, -1]), is_frozen=st.booleans())
    def freeze(self, direction: int, is_frozen: bool) -> None:
        if is_frozen:
            self.gate.freeze("smu", DEVICE, direction, "test", self.rig.now_ns)
        else:
            self.gate.unfreeze("smu", DEVICE, direction, "bob", self.rig.now_ns)
        self.check_state()

    @rule(
        action=ACTIONS,
        kind=st.sampled_from(CauseKind),
        site=st.sampled_from(["padova", "padova", "zurich", "nowhere"]),
        age_bound_ns=st.sampled_from([0, 0, 200 * MS, 201 * MS, None]),
        n=st.integers(1, 6),
        queue_length=st.sampled_from([0, 0, 0, 9]),
    )
    def ask(self, action, kind, site, age_bound_ns, n, queue_length) -> None:
        for _ in range(n):
            verdict = self.rig.ask(
                action,
                kind=kind,
                site=site,
                age_bound_ns=age_bound_ns,
                queue_length=queue_length,
            )
            self.note(verdict, action, kind, site)
            self.rig.now_ns += 5 * MS

    def note(self, verdict, action, kind, site) -> None:
        self.check_state()
        if not isinstance(verdict, Permit):
            self.seen[verdict.reason] += 1
            return
        assert self.may_stay_armed()
        assert site != "nowhere"
        assert site == "padova" or self.is_fresh(link_lease(site))
        assert verdict.action == action
        assert verdict.expires_ns <= min(self.rig.now_ns + LIFE, self.armed_until)
        self.seen[f"permit {type(action).__name__}"] += 1
        is_remote = kind in (CauseKind.PSP, CauseKind.RULE) or site != "padova"
        self.granted.append(Granted(self.rig.now_ns, action, is_remote))
        self.young.append((verdict, self.rig.now_ns, self.n_armings))

    @rule(
        action=GOOD_ACTIONS,
        kind=st.sampled_from([CauseKind.PSP, CauseKind.OPERATOR]),
        n=st.integers(5, 15),
        gap_ns=st.sampled_from([0, MS, 5 * MS, 300 * MS, 400 * MS]),
        is_read=st.booleans(),
    )
    def ask_in_a_row(self, action, kind, n, gap_ns, is_read) -> None:
        if self.state != "armed":
            self.boot()
            self.acknowledge("bob")
            self.block(None)
            self.arm()
        for _ in range(n):
            if is_read:
                self.rig.read()
            self.note(self.rig.ask(action, kind=kind), action, kind, "padova")
            self.spend(-1)
            self.wait_well(gap_ns)

    @rule(action=ODD_ACTIONS, instrument=st.sampled_from(["mea", "smu", "chip"]))
    def ask_for_nonsense(self, action, instrument) -> None:
        self.refused_as_malformed(action, instrument=instrument)

    @rule(action=ACTIONS, field=ODD_FIELDS, value=st.sampled_from([NAN, math.inf, 1.5, "5"]))
    def ask_with_an_odd_number(self, action, field, value) -> None:
        self.refused_as_malformed(action, **{field: value})

    def refused_as_malformed(self, action, **changes) -> None:
        reason = self.rig.reason(action, **changes)
        self.check_state()
        assert reason is (RefusalReason.MALFORMED if self.state == "armed" else reason)
        assert reason is not None
        self.seen[reason] += 1

    @rule(pick=st.integers(0, 49))
    def spend(self, pick: int) -> None:
        """Deliver some permit that was given lately, perhaps for the second time."""
        if not self.young:
            return
        permit, made_ns, n_armings = self.young[pick % len(self.young)]
        now_ns = self.rig.now_ns
        is_same_arming = self.state == "armed" and n_armings == self.n_armings
        is_good = is_same_arming and now_ns <= permit.expires_ns and permit not in self.tried
        self.tried.add(permit)
        if is_good:
            assert permit.spend(permit.instrument) == permit.action
            self.gate.record_delivery(permit.number, DeliveryOutcome.DELIVERED, "", now_ns)
            self.seen["spent"] += 1
        else:
            with pytest.raises(SafetyLimitError):
                permit.spend(permit.instrument)
            self.seen["dead permit"] += 1
        assert now_ns - made_ns <= LIFE or not is_good

    def teardown(self) -> None:
        recount(self.granted)
        assert self.gate.snapshot().state.value == self.state
        check_record(self.rig)


def check_record(rig: Rig) -> None:
    """Replay what was recorded, as read back from JSON, and try to falsify the audit."""
    if len(rig.rows) % 8:
        return  # every eighth is enough: this costs more than the walk itself
    recorded = msgspec.json.decode(msgspec.json.encode(rig.inputs))
    again = replay(recorded, "padova", rig.profiles, LEASES)
    assert again == rig.rows
    assert first_difference(rig.rows, again) is None
    assert verify_chain(rig.rows) is None
    if len(rig.rows) < 2:
        return
    middle = len(rig.rows) // 2
    row = rig.rows[middle]
    for change in ({"verdict": "permit."}, {"time_ns": row.time_ns + 1}, {"sentence": "ok"}):
        forged = [*rig.rows]
        forged[middle] = msgspec.structs.replace(row, **change)
        assert verify_chain(forged).index == middle
        assert first_difference(forged, again).startswith(f"audit row {middle}, ")
    missing = rig.rows[: middle - 1] + rig.rows[middle:]
    assert verify_chain(missing).index == middle - 1
