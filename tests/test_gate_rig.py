"""A small laboratory around a Gate, on a clock that only the test moves."""

from dataclasses import replace

import pytest

from app.config.limits import ChipLimits, DeviceLimits, StimulationLimits
from app.core.spikes import Provenance
from app.safety.audit import AuditRow
from app.safety.dose import Dose
from app.safety.gate import Gate
from app.safety.leases import Lease, LeaseNeed, link_lease
from app.safety.profiles import ChipProfile, DeviceArrayProfile, StimulatorProfile
from app.safety.requests import Cause, CauseKind, Refusal, RefusalReason, Request, Verdict
from drivers.mea.protocol import CurrentPulse, Pattern
from drivers.permit import Action, DriveNeuron, Permit, PulseDevice, Stimulate
from drivers.smu.protocol import DeviceAddress

MS = 1_000_000
SECOND = 1000 * MS
START = 1000 * SECOND
DEVICE = DeviceAddress(3, 4)
PULSE = CurrentPulse(
    first_amplitude_a=2e-6,
    first_duration_s=200e-6,
    second_amplitude_a=2e-6,
    second_duration_s=200e-6,
)
LEASES = (
    Lease("console", 2 * SECOND, LeaseNeed.ARMED_BY_PERSON),
    Lease("amplifier data", 500 * MS, LeaseNeed.ARMED),
    Lease(link_lease("zurich"), 500 * MS, LeaseNeed.LINK),
)


def stimulator(**changes) -> StimulatorProfile:
    patterns = {
        1: Pattern(1, ("A-000",), PULSE),
        2: Pattern(2, ("A-001", "A-002"), PULSE),
        3: Pattern(3, ("A-003", "A-004", "A-005"), PULSE),
    }
    profile = StimulatorProfile(
        name="mea",
        provenance=Provenance.MOCK,
        patterns=patterns,
        electrode_area_um2=707.0,
        limits=StimulationLimits(),
    )
    return replace(profile, **changes)


def array(**changes) -> DeviceArrayProfile:
    profile = DeviceArrayProfile(
        name="smu",
        provenance=Provenance.MOCK,
        devices={DEVICE: ("m1", DeviceLimits()), DeviceAddress(1, 1): ("m2", DeviceLimits())},
        read_voltage_v=0.2,
    )
    return replace(profile, **changes)


def chip(**changes) -> ChipProfile:
    profile = ChipProfile(
        name="chip", provenance=Provenance.MOCK, neurons=(7, 8), limits=ChipLimits()
    )
    return replace(profile, **changes)


class Rig:
    """A Gate with everything it reports kept in lists."""

    def __init__(self, *profiles, site="padova", leases=LEASES) -> None:
        self.now_ns = START
        self.rows: list[AuditRow] = []
        self.inputs: list[tuple[str, dict[str, object], int]] = []
        self.doses: list[tuple[int, int, tuple[Dose, ...]]] = []
        self.trips: list[str] = []
        self.profiles = {p.name: p for p in profiles or (stimulator(), array(), chip())}
        self.gate = Gate(
            site,
            self.profiles,
            leases,
            lambda: self.now_ns,
            self.rows.append,
            lambda kind, body, now_ns: self.inputs.append((kind, body, now_ns)),
            lambda *dose: self.doses.append(dose),
            self.trips.append,
        )
        self.leases = leases

    @property
    def state(self) -> str:
        return self.gate._decider.arming.state.value

    def renew(self) -> None:
        for lease in self.leases:
            self.gate.lease_renewed(lease.name, self.now_ns)

    def arm(self, **changes) -> Refusal | None:
        self.renew()
        words = {
            "who": "ada",
            "reason": "test",
            "now_ns": self.now_ns,
            "expires_ns": self.now_ns + 3600 * SECOND,
            "by_program": False,
            "is_operator": True,
        }
        return self.gate.arm(**{**words, **changes})

    def pass_time(self, ns: int) -> None:
        """Let time pass with every lease renewed often enough."""
        end_ns = self.now_ns + ns
        while self.now_ns < end_ns:
            self.now_ns = min(self.now_ns + 400 * MS, end_ns)
            self.renew()
        self.gate.tick(self.now_ns)

    def read(self, resistance_ohm: float = 10e3, device: DeviceAddress = DEVICE) -> None:
        self.gate.note_reading("smu", device, resistance_ohm, self.now_ns)

    def ask(self, action: Action, *, queue_length=0, instrument=None, **changes) -> Verdict:
        names = {Stimulate: "mea", PulseDevice: "smu", DriveNeuron: "chip"}
        cause = {
            "kind": CauseKind.PSP,
            "site": "padova",
            "synapse": 5,
            "provenance": Provenance.MOCK,
            "detail": "spike 17",
        }
        times = {"made_ns": self.now_ns, "age_bound_ns": 30 * MS, "deadline_ns": 200 * MS}
        for name, value in changes.items():
            (cause if name in cause else times)[name] = value
        request = Request(
            instrument=names.get(type(action)) if instrument is None else instrument,
            action=action,
            cause=Cause(**cause),
            **times,
        )
        return self.gate.request(request, self.now_ns, queue_length)

    def reason(self, action: Action, **changes) -> RefusalReason | None:
        """Ask; return why not, or None if it was permitted."""
        verdict = self.ask(action, **changes)
        if isinstance(verdict, Permit):
            return None
        assert verdict.sentence
        return verdict.reason


def armed_rig(*profiles, **words) -> Rig:
    rig = Rig(*profiles, **words)
    assert rig.gate.boot_done(rig.now_ns) is None
    assert rig.arm() is None
    if "smu" in rig.profiles:
        rig.read()
    return rig


PULSE_DEVICE = PulseDevice(DEVICE.wordline, DEVICE.bitline, 1.0, 1e-6)


@pytest.mark.parametrize(
    ("action", "instrument"),
    [(Stimulate(1), "mea"), (PULSE_DEVICE, "smu"), (DriveNeuron(7, 200), "chip")],
)
def test_an_armed_rig_permits_each_kind_of_action(action, instrument):
    rig = armed_rig()
    permit = rig.ask(action)
    assert isinstance(permit, Permit)
    assert (permit.number, permit.instrument, permit.action) == (1, instrument, action)
    assert permit.expires_ns == rig.now_ns + 20 * MS
    assert permit.spend(instrument) == action
