"""A bench on simulated devices in memory, with a clock of its own, under a real Gate."""

from dataclasses import replace

import msgspec

from app.bench.abort import Abort, PatientCalls, directly
from app.bench.adoption import adopt
from app.bench.array_view import ArrayView
from app.bench.bench import Bench, BenchSeams
from app.config.limits import DeviceLimits
from app.config.site import Device
from app.core.spikes import Provenance
from app.safety.gate import Gate
from app.safety.profiles import DeviceArrayProfile
from drivers.errors import InstrumentProtocolError, SafetyLimitError
from drivers.safe_state import SafeReport, SafeState
from drivers.smu.arc_one.driver import CAPABILITIES
from drivers.smu.protocol import DeviceAddress, PulseOutcome, Reading
from mocks.arc_crossbar import Crossbar
from mocks.memristor import PRESETS
from mocks.memristor_noise import NOISE_MILD

LIMITS = DeviceLimits(
    max_amplitude_v=2.0,
    max_read_v=0.5,
    max_per_second=1000,
    window_min_ohm=1500.0,
    window_max_ohm=30_000.0,
    reason="simulated",
    confirmed_by="the test",
)
READ_V = 0.5


class CrossbarSmu:
    """A source-measure unit straight on simulated devices; a pulse needs a permit as ever."""

    name = "smu1"

    def __init__(self, clock, *, can=None, seed=1, noise=NOISE_MILD, **options) -> None:
        self.capabilities = can or replace(CAPABILITIES, is_measuring_pulses=True)
        self.clock = clock
        self.compliance_a = options.pop("compliance_a", 1e-2)
        settings = {"model": PRESETS["B"], "shape": (16, 16), "default_ohm": 5000.0, "initial": {}}
        settings |= options
        self.crossbar = Crossbar(
            settings.pop("model"),
            noise,
            seed,
            settings.pop("shape"),
            settings.pop("default_ohm"),
            settings.pop("initial"),
            lambda: clock.now_ns,
            **settings,
        )
        self.n_bad_readings = 0
        self.is_safe = False
        self.before_each = lambda: None

    def open(self):
        self.is_safe = False

    def read(self, device):
        self.before_each()
        self.clock.now_ns += 1_000_000
        if self.n_bad_readings:
            self.n_bad_readings -= 1
            raise InstrumentProtocolError("no believable answer")
        ohm = self.crossbar.read_ohm(device.wordline, device.bitline, READ_V, 50)
        return Reading(device, ohm, READ_V, self.clock.now_ns)

    read_agreed = read

    def pulse(self, permit):
        self.before_each()
        if self.is_safe:
            raise SafetyLimitError("no pulse after make_safe")
        action = permit.spend(self.name)
        place = (action.wordline, action.bitline)
        applied_v = self.crossbar.limited_v(*place, action.amplitude_v, self.compliance_a)
        current_a = applied_v / self.crossbar.read_ohm(*place, applied_v, 1000)
        sent_ns = self.clock.now_ns
        self.crossbar.pulse(*place, applied_v, action.width_s, 0.0)
        self.clock.now_ns += round(action.width_s * 1e9)
        device = DeviceAddress(*place)
        is_limited = abs(applied_v) < abs(action.amplitude_v) - 1e-9
        try:
            after = self.read(device)
        except InstrumentProtocolError as exc:
            return PulseOutcome(device, sent_ns, None, str(exc))
        return PulseOutcome(
            device, sent_ns, after, pulse_v=applied_v, pulse_a=current_a, is_limited=is_limited
        )

    def make_safe(self):
        self.is_safe = True
        return SafeReport(self.name, SafeState.CONFIRMED, "")

    def close(self):
        self.make_safe()


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000


class BenchRig:
    """A bench with `places` (name -> (w, b)) armed and ready.

    `is_patient`: calls go through a thread of their own, as in a session; `calls.close` ends it.
    """

    def __init__(
        self, tmp_path, places=None, limits=LIMITS, *, is_patient=False, **options
    ) -> None:
        self.clock = Clock()
        self.smu = CrossbarSmu(self.clock, **options)
        places = places or {"a": (1, 1), "b": (1, 2)}
        self.devices = {
            name: Device(name=name, wordline=w, bitline=b, limits=limits)
            for name, (w, b) in places.items()
        }
        self.audit = []
        self.told = []
        self.progress = []
        profile = DeviceArrayProfile(
            name="smu1",
            provenance=Provenance.MOCK,
            devices={DeviceAddress(*places[n]): (n, d.limits) for n, d in self.devices.items()},
            read_voltage_v=READ_V,
        )
        self.gate = Gate(
            "lab",
            {"smu1": profile},
            (),
            clock_ns=lambda: self.clock.now_ns,
            on_audit=self.audit.append,
            on_input=lambda kind, body, now_ns: None,
        )
        self.gate.boot_done(self.clock.now_ns)
        self.array_path = tmp_path / "lab.devices.json"
        self.is_audit_written = lambda number: True
        abort = Abort()
        self.calls = directly
        if is_patient:
            self.calls = PatientCalls(
                self.smu, abort, lambda: self.gate.disarm("test", "aborted", self.clock.now_ns)
            )
        array = ArrayView(self.array_path)
        adopt(array, self.gate, "smu1", self.devices.values(), self.clock.now_ns)
        self.bench = Bench(
            self.smu,
            self.devices,
            self.gate,
            array,
            BenchSeams(
                await_audit=self._is_written,
                on_progress=self.progress.append,
                on_frozen=lambda device, why: self.told.append((device, why)),
            ),
            site="lab",
            provenance=Provenance.MOCK,
            read_voltage_v=READ_V,
            min_change=0.003,
            clock_ns=lambda: self.clock.now_ns,
            abort=abort,
            call=self.calls,
        )
        self.bench.wait = self.bench._delivery.wait = self._wait
        self.arm()

    def _is_written(self, number) -> bool:
        return self.is_audit_written(number)

    def _wait(self, duration_s) -> None:
        Bench.wait(self.bench, 0.0)
        self.clock.now_ns += round(max(0.0, duration_s) * 1e9)

    def arm(self) -> None:
        now_ns = self.clock.now_ns
        refusal = self.gate.arm(
            "test", "test", now_ns, now_ns + 10**14, by_program=False, is_operator=True
        )
        assert refusal is None

    def arm_forming(self, name) -> None:
        device = self.devices[name]
        now_ns = self.clock.now_ns
        refusal = self.gate.arm_forming(
            "test",
            "test",
            "smu1",
            DeviceAddress(device.wordline, device.bitline),
            now_ns,
            now_ns + 60 * 10**9,
            is_operator=True,
        )
        assert refusal is None

    def true_ohm(self, name) -> float:
        device = self.devices[name]
        return self.smu.crossbar.true_ohm(device.wordline, device.bitline)


def limits(**changes) -> DeviceLimits:
    return msgspec.structs.replace(LIMITS, **changes)
