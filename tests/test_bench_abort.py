"""An abort that an instrument does not answer: the caller is let go, the instrument made safe."""

import signal
import threading

import numpy as np
import pytest
from bench_rig import BenchRig, limits
from bench_smu_rig import CELL, DIALECTS, Rig

from app.bench.abort import Abort
from app.bench.endurance import endurance
from app.bench.errors import AbandonedError, AbortedError
from app.bench.forming import FormingSettings, forming
from app.bench.iv_curve import IvSettings, iv_curve
from app.bench.programming import ProgramSettings, program
from app.bench.pulse_response import pulse_map
from app.bench.reading import read_array, read_devices, retention
from drivers.errors import SafetyLimitError
from drivers.safe_state import SafeState

LIMIT_S = 20.0
PULSE = {"amplitude_v": 1.5, "width_s": 1e-4}
PROCEDURES = {
    "read": lambda rig: read_devices(rig.bench, ["a", "b"], 100),
    "read --all": lambda rig: read_array(rig.bench, (1, 2)),
    "pulse": lambda rig: [rig.bench.write("a", 1.5, 1e-4) for _ in range(100)],
    "iv": lambda rig: iv_curve(
        rig.bench, "a", IvSettings(up_v=1.0, down_v=1.0, step_v=0.1, width_s=1e-3)
    ),
    "retention": lambda rig: retention(rig.bench, "a", duration_s=100, interval_s=0.1),
    "endurance": lambda rig: endurance(rig.bench, "a", **PULSE, n_cycles=100),
    "map": lambda rig: pulse_map(
        rig.bench,
        "a",
        amplitudes_v=[1.2, -1.2],
        widths_s=[1e-4],
        n_repeats=50,
        rng=np.random.default_rng(1),
    ),
    "form": lambda rig: forming(
        rig.bench,
        "a",
        FormingSettings(start_v=0.1, step_v=0.01, stop_v=3.0, width_s=1e-4),
        who="test",
        arm=rig.arm_forming,
    ),
    "program": lambda rig: program(
        rig.bench, "a", ProgramSettings(target_ohm=20_000.0, max_writes=1000)
    ),
}


class Silence:
    """An instrument that stops answering at its `at`-th call, and goes on when released."""

    def __init__(self, rig, at):
        self.is_reached = threading.Event()
        self.released = threading.Event()
        self._left = at
        rig.smu.before_each = self._call

    def _call(self):
        self._left -= 1
        if self._left == 0:
            self.is_reached.set()
            assert self.released.wait(LIMIT_S)


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("name", PROCEDURES)
def test_a_silent_instrument_does_not_hold_an_abort(tmp_path, name, at):
    rig = BenchRig(tmp_path, limits=limits(max_forming_v=3.0), is_patient=True)
    silence = Silence(rig, at)
    stop = threading.Thread(target=lambda: (silence.is_reached.wait(LIMIT_S), rig.bench.abort()))
    stop.start()
    try:
        with pytest.raises(AbortedError, match="not confirmed safe"):
            PROCEDURES[name](rig)
        # It came back although the instrument has not answered yet.
        assert not silence.released.is_set()
        with pytest.raises(AbortedError, match="not confirmed safe"):
            rig.bench.read("a")
    finally:
        silence.released.set()
        stop.join()
        report = rig.calls.close()
    assert report.state is SafeState.CONFIRMED
    assert rig.smu.is_safe
    n_permits = sum(row.verdict == "permit" for row in rig.audit)
    assert rig.smu.crossbar.n_pulses == max(0, n_permits - 1)  # the one it was asked for last


def test_a_pulse_that_was_not_waited_for_is_recorded_as_unconfirmed(tmp_path):
    rig = BenchRig(tmp_path, is_patient=True)
    rig.bench.read("a")
    silence = Silence(rig, 1)
    stop = threading.Thread(target=lambda: (silence.is_reached.wait(LIMIT_S), rig.bench.abort()))
    stop.start()
    try:
        with pytest.raises(AbortedError, match="not confirmed safe"):
            rig.bench.write("a", 1.5, 1e-4)
    finally:
        silence.released.set()
        stop.join()
        rig.calls.close()
    last = rig.bench.points[-1]
    assert last.verdict == "unconfirmed"
    assert "may have happened" in last.detail
    delivery = rig.audit[-1]
    assert "unconfirmed" in str(delivery)
    assert not rig.told  # nothing is frozen for it


def test_a_call_that_ends_soon_after_an_abort_keeps_its_outcome(tmp_path):
    rig = BenchRig(tmp_path, is_patient=True)
    rig.bench.read("a")

    def abort_when_pulsed():
        if rig.smu.crossbar.n_pulses:  # in the reading after the pulse
            rig.bench.abort()

    rig.smu.before_each = abort_when_pulsed
    write = rig.bench.apply("a", 1.5, 1e-4)
    assert write.outcome.is_confirmed
    for act in (lambda: rig.bench.apply("a", 1.5, 1e-4), lambda: rig.bench.read("a")):
        with pytest.raises(AbortedError, match=r"^aborted$"):
            act()
    rig.calls.close()
    assert rig.smu.is_safe


def test_a_signal_handler_may_abort_the_thread_that_waits():
    abort = Abort()
    before = signal.signal(signal.SIGALRM, lambda *_: abort.ask())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(AbortedError):
            abort.wait(LIMIT_S)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert abort.is_asked()
    assert issubclass(AbandonedError, AbortedError)


@pytest.mark.parametrize("unit", DIALECTS)
def test_a_pulse_that_is_being_set_up_is_not_made_after_make_safe(unit):
    rig = Rig(unit)
    rig.driver.open()
    rig.driver.read(CELL)
    reports = []
    makes_safe = threading.Thread(target=lambda: reports.append(rig.driver.make_safe()))

    def answer_late(n, text):
        rig.wire.on_reply = lambda n, text: [(0.0, text)]
        makes_safe.start()
        assert rig.driver._is_latched.wait(LIMIT_S)
        return [(0.0, text)]

    n_before = rig.wire.crossbar.n_pulses
    rig.wire.on_reply = answer_late  # of the question for the output's state, before a pulse
    with pytest.raises(SafetyLimitError, match="after make_safe"):
        rig.driver.pulse(rig.permit())
    makes_safe.join()
    assert reports[0].state is SafeState.CONFIRMED
    assert rig.wire.crossbar.n_pulses == n_before
    assert not rig.wire.instrument.output.is_on
