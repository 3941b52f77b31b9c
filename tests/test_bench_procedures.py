"""The bench's procedures on simulated devices, under a real Gate."""

import math
from dataclasses import replace

import pytest
from bench_rig import BenchRig, limits

from app.bench.array_view import ArrayView, DeviceState
from app.bench.direction import DOWN, UP
from app.bench.endurance import endurance
from app.bench.errors import AbortedError, BenchError, NoReadingError, RefusedError
from app.bench.forming import FormingSettings, forming
from app.bench.iv_curve import IvSettings, Span, iv_curve
from app.bench.programming import ProgramSettings, Reason, program
from app.bench.pulse_response import pulse_map
from app.bench.reading import read_array, read_devices, retention
from app.safety.requests import RefusalReason
from app.synapse.verify import PulseVerdict
from drivers.smu.keithley_2600.wire import Keithley2600
from mocks.memristor import PRESETS
from mocks.memristor_noise import NOISE_FULL, NOISE_OFF
from mocks.memristor_scatter import Scatter

ALL_STUCK = Scatter(open_share=1.0)


@pytest.fixture
def rig(tmp_path):
    return BenchRig(tmp_path)


class TestWrites:
    def test_a_write_says_before_after_direction_verdict(self, rig):
        write = rig.bench.write("a", 1.5, 1e-4)
        assert write.before_ohm == pytest.approx(5000, rel=0.01)
        assert write.after_ohm == pytest.approx(rig.true_ohm("a"), rel=0.01)
        assert (write.direction, write.verdict) == (UP, PulseVerdict.MOVED)
        assert rig.bench.write("a", -1.5, 1e-4).direction == DOWN
        assert [row.verdict for row in rig.audit] == ["permit", "delivered"] * 2

    def test_a_device_that_does_not_move_is_frozen_and_told(self, rig):
        assert rig.bench.write("a", 0.9, 1e-4).verdict is PulseVerdict.UNMOVED
        assert rig.told == [("a", "frozen up: unmoved by +0.9 V")]
        with pytest.raises(RefusedError) as caught:
            rig.bench.apply("a", 1.5, 1e-4)
        assert caught.value.refusal.reason is RefusalReason.FROZEN
        rig.bench.apply("a", -1.5, 1e-4)  # the other way is not
        rig.bench.unfreeze("a", "somebody")
        rig.bench.apply("a", 1.5, 1e-4)

    def test_a_device_that_moves_wrongly_is_frozen(self, tmp_path):
        rig = BenchRig(tmp_path, limits=limits(is_positive_raising=False))
        assert rig.bench.write("a", 1.5, 1e-4).verdict is PulseVerdict.WRONG_WAY
        assert rig.told == [("a", "frozen down: wrong way by +1.5 V")]

    def test_a_device_that_leaves_its_window_is_frozen(self, tmp_path):
        rig = BenchRig(tmp_path, limits=limits(window_max_ohm=5200.0))
        assert rig.bench.write("a", 1.8, 1e-4).after_ohm > 5200
        assert "left its window" in rig.told[0][1]
        assert rig.bench.record("a").state is DeviceState.OUT_OF_WINDOW

    def test_an_unconfirmed_pulse_is_never_sent_again(self, rig):
        rig.bench.read("a")
        rig.smu.n_bad_readings = 1
        write = rig.bench.apply("a", 1.5, 1e-4)
        assert write.verdict is PulseVerdict.UNCONFIRMED
        assert write.after_ohm == pytest.approx(rig.true_ohm("a"), rel=0.01)  # read again
        assert rig.smu.crossbar.n_pulses == 1
        assert [row.verdict for row in rig.audit] == ["permit", "unconfirmed"]

    def test_without_its_audit_row_no_pulse_leaves(self, rig):
        rig.is_audit_written = lambda number: number > 2
        rig.bench.apply("a", 1.5, 1e-4)
        assert rig.smu.crossbar.n_pulses == 1
        verdicts = [row.verdict for row in rig.audit]
        assert verdicts == ["permit", "not delivered"] * 2 + ["permit", "delivered"]
        rig.is_audit_written = lambda number: False
        with pytest.raises(BenchError, match="no pulse in 10 tries"):
            rig.bench.apply("a", 1.5, 1e-4)
        assert rig.smu.crossbar.n_pulses == 1

    def test_it_waits_for_the_device_s_own_pace(self, tmp_path):
        rig = BenchRig(tmp_path, limits=limits(max_per_second=3, min_interval_s=0.05))
        began_ns = rig.clock.now_ns
        for k in range(7):
            rig.bench.apply("a", 1.5 if k % 2 else -1.5, 1e-4)
        assert (rig.clock.now_ns - began_ns) / 1e9 > 2.0
        assert not [row for row in rig.audit if row.verdict == "refusal"]

    def test_what_the_gate_refuses_is_not_sent(self, rig):
        for amplitude_v, width_s in ((2.1, 1e-4), (math.nan, 1e-4), (1.5, 1.0), (0.0, 1e-4)):
            with pytest.raises(RefusedError):
                rig.bench.apply("a", amplitude_v, width_s)
        rig.gate.disarm("test", "done", rig.clock.now_ns)
        with pytest.raises(RefusedError):
            rig.bench.apply("a", 1.5, 1e-4)
        assert rig.smu.crossbar.n_pulses == 0

    def test_an_unknown_device_is_named(self, rig):
        with pytest.raises(BenchError, match="no device 'x' in the site file, it has a, b"):
            rig.bench.read("x")


class TestArrayView:
    def test_it_is_kept_over_sessions(self, rig, tmp_path):
        rig.bench.apply("a", 1.5, 1e-4)
        rig.bench.freeze("b", UP, "for a reason")
        rig.bench.array.save()
        again = BenchRig(tmp_path)
        record = again.bench.record("a")
        assert record.resistance_ohm == pytest.approx(rig.true_ohm("a"), rel=0.01)
        assert record.n_pulses == 1
        assert record.budget_pulses == 1_000_000
        assert record.state is DeviceState.WORKING
        with pytest.raises(RefusedError, match="for a reason"):
            again.bench.apply("b", 1.5, 1e-4)

    def test_a_damaged_file_is_refused_by_name(self, tmp_path):
        path = tmp_path / "x.json"
        path.write_text("{", encoding="utf-8")
        with pytest.raises(Exception, match=r"x\.json.*move it away"):
            ArrayView(path)


class TestReading:
    def test_devices_in_turn_and_one_without_contact(self, rig):
        rig.smu.n_bad_readings = 1
        found = read_devices(rig.bench, ["a", "b"], n_times=3)
        assert [len(ohms) for ohms in found.values()] == [2, 3]
        assert rig.progress[-1].done == rig.progress[-1].total == 6

    def test_a_whole_array(self, rig):
        found = read_array(rig.bench, (1, 3))
        assert found.resistances_ohm[0, :2] == pytest.approx([5000, 5000], rel=0.01)
        assert math.isnan(found.resistances_ohm[0, 2])  # not in the site file
        assert found.n_unreadable == 1

    def test_retention(self, tmp_path):
        rig = BenchRig(tmp_path, noise=NOISE_OFF)
        found = retention(rig.bench, "a", duration_s=10, interval_s=0.5)
        assert len(found.times_s) == 21
        assert found.times_s[-1] == pytest.approx(10, abs=0.01)
        assert found.drift_per_decade == pytest.approx(0, abs=1e-9)
        assert rig.smu.crossbar.n_pulses == 0

    @pytest.mark.parametrize("at", range(1, 12, 3))
    def test_an_abort_ends_it_before_the_next_step(self, rig, at):
        n = [0]

        def count():
            n[0] += 1
            if n[0] == at:
                rig.bench.abort()

        rig.smu.before_each = count
        with pytest.raises(AbortedError):
            program(rig.bench, "a", ProgramSettings(target_ohm=20_000.0, max_writes=1000))
        assert n[0] <= at + 1  # a pulse's own reading may come after it


class TestCurves:
    def test_both_polarities_out_and_back(self, tmp_path):
        rig = BenchRig(tmp_path, noise=NOISE_OFF)
        settings = IvSettings(up_v=0.5, down_v=0.3, step_v=0.1, width_s=1e-3)
        points = iv_curve(rig.bench, "a", settings)
        volts = [round(p.voltage_v, 3) for p in points]
        assert volts == [0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1, -0.1, -0.2, -0.3, -0.2, -0.1]
        assert points[4].current_a == pytest.approx(1e-4, rel=1e-6)  # 5 kohm is defined at 0.5 V
        assert all(p.current_a * p.voltage_v > 0 for p in points)

    def test_it_turns_back_at_the_compliance(self, tmp_path):
        rig = BenchRig(tmp_path, noise=NOISE_OFF, compliance_a=50e-6)
        settings = IvSettings(up_v=1.0, down_v=1.0, step_v=0.1, width_s=1e-3, span=Span.UP)
        points = iv_curve(rig.bench, "a", settings)
        assert [p.is_limited for p in points].count(True) == 1
        turning = next(i for i, p in enumerate(points) if p.is_limited)
        assert len(points) == 2 * turning + 1
        assert points[turning].current_a == pytest.approx(50e-6)

    def test_no_curve_without_a_current(self, tmp_path):
        rig = BenchRig(tmp_path)
        rig.smu.capabilities = replace(rig.smu.capabilities, is_measuring_pulses=False)
        settings = IvSettings(up_v=0.5, down_v=0.5, step_v=0.1, width_s=1e-3)
        with pytest.raises(BenchError, match="measures no current"):
            iv_curve(rig.bench, "a", settings)
        assert rig.smu.crossbar.n_pulses == 0


class TestCycling:
    def test_endurance(self, rig):
        found = endurance(rig.bench, "a", amplitude_v=1.8, width_s=1e-4, n_cycles=20)
        assert len(found.high_ohm) == len(found.low_ohm) == 20
        assert all(high > low for high, low in zip(found.high_ohm, found.low_ohm, strict=True))

    def test_endurance_of_a_stuck_device_ends_at_once(self, tmp_path):
        rig = BenchRig(tmp_path, limits=limits(window_max_ohm=1e8), scatter=ALL_STUCK)
        found = endurance(rig.bench, "a", amplitude_v=1.8, width_s=1e-4, n_cycles=20)
        assert len(found.low_ohm) == 1
        assert rig.bench.record("a").state is DeviceState.STUCK

    def test_a_curve_that_carries_the_device_to_its_window_goes_on_with_the_other_polarity(
        self, tmp_path
    ):
        rig = BenchRig(tmp_path, limits=limits(window_max_ohm=6500.0))
        settings = IvSettings(up_v=1.5, down_v=1.2, step_v=0.1, width_s=1e-3)
        points = iv_curve(rig.bench, "a", settings)
        ups = [p for p in points if p.voltage_v > 0]
        downs = [p for p in points if p.voltage_v < 0]
        assert len(ups) < 29
        assert ups[-1].after_ohm > 6500.0
        assert len(downs) == 23

    def test_a_map_that_would_leave_the_window_brings_the_device_back_and_goes_on(self, tmp_path):
        rig = BenchRig(tmp_path, limits=limits(window_min_ohm=4500.0))
        found = pulse_map(rig.bench, "a", amplitudes_v=(-1.5, -1.4, -1.3), widths_s=(1e-4,))
        assert [r.amplitude_v for r in found] == [-1.5, -1.4, -1.3]
        assert [row.verdict for row in rig.audit].count("refusal") == 1

    def test_pulse_map(self, tmp_path):
        rig = BenchRig(tmp_path, noise=NOISE_OFF)
        found = pulse_map(rig.bench, "a", amplitudes_v=(1.5, -1.5), widths_s=(1e-5, 1e-4, 1e-3))
        up = [r.change for r in found if r.amplitude_v > 0]
        down = [r.change for r in found if r.amplitude_v < 0]
        assert up == sorted(up)
        assert down == sorted(down, reverse=True)
        assert found[1].change == pytest.approx(0.0863, rel=0.1)  # of the published model, B

    def test_forming_needs_its_own_arm_and_is_kept(self, tmp_path):
        rig = BenchRig(tmp_path, model=PRESETS["C"], noise=NOISE_OFF)
        settings = FormingSettings(start_v=2.5, step_v=0.25, stop_v=4.0, width_s=1e-3)
        with pytest.raises(RefusedError, match="forming"):
            forming(rig.bench, "a", settings, who="me", arm=lambda name: None)
        assert rig.smu.crossbar.n_pulses == 0
        made = forming(rig.bench, "a", settings, who="me", arm=rig.arm_forming)
        assert made.outcome == "formed"
        assert 3.0 < made.last_amplitude_v <= 4.0
        refused, formed = rig.bench.record("a").formings
        assert refused.outcome.startswith("ended")
        assert formed == made
        with pytest.raises(RefusedError):  # the arm named another device
            forming(rig.bench, "b", settings, who="me", arm=lambda name: None)

    def test_forming_that_does_not_switch_says_so(self, tmp_path):
        rig = BenchRig(tmp_path, model=PRESETS["C"], noise=NOISE_OFF)
        settings = FormingSettings(start_v=1.0, step_v=0.5, stop_v=2.5, width_s=1e-4)
        made = forming(rig.bench, "a", settings, who="me", arm=rig.arm_forming)
        assert (made.outcome, made.n_pulses) == ("did not switch", 4)


class TestProgramming:
    @pytest.mark.parametrize("target_ohm", [2500.0, 4000.0, 4900.0, 5100.0, 8000.0, 11_000.0])
    @pytest.mark.parametrize("preset", ["A", "B"])
    def test_it_comes_there_in_few_writes(self, tmp_path, target_ohm, preset):
        rig = BenchRig(tmp_path, model=PRESETS[preset])
        target_ohm = max(target_ohm, 3000.0) if preset == "A" else target_ohm
        done = program(rig.bench, "a", ProgramSettings(target_ohm=target_ohm))
        assert done.reason is Reason.REACHED, done
        assert abs(done.error) <= 0.02
        assert rig.true_ohm("a") == pytest.approx(
            target_ohm * (rig.true_ohm("a") / done.final_ohm), rel=0.02
        )
        assert done.n_writes <= 20

    def test_on_the_coarse_pulses_of_a_2600b(self, tmp_path):
        rig = BenchRig(tmp_path, can=Keithley2600.can)
        for target_ohm in (5200.0, 4800.0, 9000.0, 3000.0):
            done = program(rig.bench, "a", ProgramSettings(target_ohm=target_ohm))
            assert done.reason is Reason.REACHED, done
        assert min(p.width_s for p in rig.smu.crossbar.pulses) >= 100e-6

    def test_a_stuck_device_is_named_and_frozen(self, tmp_path):
        rig = BenchRig(tmp_path, limits=limits(window_max_ohm=1e9), scatter=ALL_STUCK)
        done = program(rig.bench, "a", ProgramSettings(target_ohm=5000.0))
        assert done.reason is Reason.STUCK
        assert rig.bench.record("a").state is DeviceState.STUCK
        assert len(rig.told) == 2
        assert done.n_writes < 20

    def test_an_open_one_costs_no_pulse(self, tmp_path):
        rig = BenchRig(tmp_path, scatter=ALL_STUCK)
        assert program(rig.bench, "a", ProgramSettings(target_ohm=5000.0)).n_writes == 0
        assert rig.smu.crossbar.n_pulses == 0

    def test_beyond_its_bound_it_saturates(self, rig):
        done = program(rig.bench, "a", ProgramSettings(target_ohm=29_000.0, max_writes=60))
        assert done.reason is Reason.SATURATED
        assert done.final_ohm == pytest.approx(20_000, rel=0.1)

    def test_a_target_outside_the_window_is_refused(self, rig):
        with pytest.raises(BenchError, match="its window"):
            program(rig.bench, "a", ProgramSettings(target_ohm=1000.0))
        assert rig.smu.crossbar.n_pulses == 0

    def test_no_reading_is_a_reason(self, rig):
        rig.smu.n_bad_readings = 5
        done = program(rig.bench, "a", ProgramSettings(target_ohm=8000.0))
        assert done.reason is Reason.UNREADABLE
        assert math.isnan(done.error)
        with pytest.raises(NoReadingError):
            rig.bench.read("a")

    def test_frozen_on_the_way_is_a_reason(self, rig):
        rig.bench.freeze("a", UP, "by hand")
        done = program(rig.bench, "a", ProgramSettings(target_ohm=8000.0))
        assert done.reason is Reason.REFUSED
        assert "by hand" in done.sentence

    def test_with_all_noise_most_devices_come_there(self, tmp_path):
        places = {f"d{i}": (1 + i // 16, 1 + i % 16) for i in range(30)}
        rig = BenchRig(tmp_path, places, noise=NOISE_FULL, scatter=Scatter(0.35, 0.4, 0.06))
        results = [program(rig.bench, name, ProgramSettings(target_ohm=7000.0)) for name in places]
        assert sum(r.reason is Reason.REACHED for r in results) >= 28
