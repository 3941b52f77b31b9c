"""Each kind of trouble at each exchange in turn, for every bench unit, on a virtual clock.

No wrong value is believed that the wire allows to detect, no pulse happens that was not asked for,
and the unit is back within 5 s of its own clock.
"""

import os
import time

import pytest
from bench_smu_rig import CELL, DIALECTS, WIDTH_S, Rig, driver_of, running

from drivers.errors import InstrumentError, TransportError
from drivers.safe_state import SafeState
from drivers.smu.bench.unit import BenchState

BACK_WITHIN_S = 5.0
LATE_S = 3.0
STRIDE = 1 if os.environ.get("SPIKEBRIDGE_LONG_TESTS") else 3
"""Every exchange in the long run; every third, in turn by kind, else."""


def _half(text):
    return text[: max(1, len(text) // 2)]


def _fail(rig=None, arrived=""):
    if arrived:
        rig.wire._arrive(arrived, 0.0)
    raise TransportError("writing failed")


def _cut(rig):
    rig.wire.is_down = True
    return []


REQUEST_KINDS = {
    "request lost": lambda rig, line: [],
    "request cut, its end lost": lambda rig, line: [(0.0, _half(line).rstrip("\n"))],
    "request cut, its end there": lambda rig, line: [(0.0, _half(line).rstrip("\n") + "\n")],
    "request's beginning lost": lambda rig, line: [(0.0, line[len(line) // 2 :])],
    "request twice": lambda rig, line: [(0.0, line), (0.0, line)],
    "request garbled": lambda rig, line: [(0.0, line.replace(":", "?").replace("print", "pr!nt"))],
    "noise before the request": lambda rig, line: [(0.0, "#?\n"), (0.0, line)],
    "request late": lambda rig, line: [(LATE_S, line)],
    "restart before the request": lambda rig, line: rig.wire.restart() or [(0.0, line)],
    "output switched off at the panel": lambda rig, line: (
        rig.wire.instrument.output.switch(is_on=False) or [(0.0, line)]
    ),
    "compliance changed at the panel": lambda rig, line: (
        setattr(rig.wire.instrument.output, "limit_a", 0.05) or [(0.0, line)]
    ),
    "writing fails, nothing left": lambda rig, line: _fail(),
    "writing fails, half left": lambda rig, line: _fail(rig, _half(line)),
    "writing fails, all left": _fail,
}
REPLY_KINDS = {
    "reply lost": lambda rig, text: [],
    "reply late": lambda rig, text: [(LATE_S, text)],
    "reply of the query before": lambda rig, text: [(0.0, rig.last_reply)],
    "reply of the query before, then its own": lambda rig, text: [
        (0.0, rig.last_reply),
        (0.0, text),
    ],
    "half a reply": lambda rig, text: [(0.0, _half(text).rstrip("\n") + "\n")],
    "half a reply without its end": lambda rig, text: [(0.0, _half(text).rstrip("\n"))],
    "garbage instead": lambda rig, text: [(0.0, "&%$ 12,3;4\n")],
    "bytes that are no text": lambda rig, text: [(0.0, "\xff\xfe\x80\n")],
    "garbage before": lambda rig, text: [(0.0, "&%$\n"), (0.0, text)],
    "reply twice": lambda rig, text: [(0.0, text), (0.0, text)],
    "empty line instead": lambda rig, text: [(0.0, "\n")],
    "no number in it": lambda rig, text: [
        (0.0, text.replace("+5.0", "+9.91e37,").replace("e-", "x"))
    ],
    "restart, reply gone": lambda rig, text: rig.wire.restart() or [],
    "connection cut": lambda rig, text: _cut(rig),
}
KINDS = REQUEST_KINDS | REPLY_KINDS


class FaultyRig(Rig):
    """A rig whose `at`-th request or reply meets one kind of trouble, once."""

    def __init__(self, unit, kind, at):
        super().__init__(unit)
        self.last_reply = "1;0\n"
        self.n_spent = 0
        self.wire.on_request = lambda n, line: self._request(kind, at, n, line)
        self.wire.on_reply = lambda n, text: self._reply(kind, at, n, text)

    def _request(self, kind, at, n, line):
        if kind in REQUEST_KINDS and n == at:
            return REQUEST_KINDS[kind](self, line)
        return [(0.0, line)]

    def _reply(self, kind, at, n, text):
        pieces = [(0.0, text)]
        if kind in REPLY_KINDS and n == at:
            pieces = REPLY_KINDS[kind](self, text)
        self.last_reply = text
        return pieces

    def try_to(self, act):
        """Do something that may fail by name; what it returns is checked against the truth."""
        try:
            result = act()
        except InstrumentError:
            return
        if result is not None:
            self.check(result)

    def check(self, reading):
        assert reading.resistance_ohm == pytest.approx(self.true_ohm, rel=0.01)

    def pulse(self, amplitude_v):
        permit = self.permit(amplitude_v)
        n_before = self.wire.crossbar.n_pulses
        try:
            outcome = self.driver.pulse(permit)
        except InstrumentError:
            outcome = None
        if outcome is None:
            assert self.wire.crossbar.n_pulses == n_before
            return
        n_made = self.wire.crossbar.n_pulses - n_before
        assert n_made <= 1
        if outcome.is_confirmed:
            assert n_made == 1
            self.check(outcome.after)
            last = self.wire.crossbar.pulses[-1]
            assert last.amplitude_v == pytest.approx(amplitude_v, abs=0.02)
            assert last.width_s == pytest.approx(
                WIDTH_S[self.unit], abs=self.driver.capabilities.width_jitter_s
            )

    def come_back(self):
        """Be as the owner of the thread is after trouble: try again, open again."""
        began_s = self.wire.now_s
        if getattr(self.wire.instrument, "is_wedged", False):
            self.wire.restart()  # a person switches it off and on: nothing else helps
        self.wire.is_down = False
        while self.wire.now_s - began_s < BACK_WITHIN_S:
            try:
                if self.driver.state is BenchState.CLOSED:
                    self.driver.open()
                self.check(self.driver.read(CELL))
            except InstrumentError:
                continue
            return
        raise AssertionError(f"not back within {BACK_WITHIN_S} s")


def n_exchanges(unit):
    rig = FaultyRig(unit, "none", 0)
    session(rig)
    return rig.wire.n_requests


def session(rig):
    rig.try_to(rig.driver.open)
    rig.try_to(lambda: rig.driver.read_agreed(CELL))
    rig.pulse(1.5)
    rig.try_to(lambda: rig.driver.read(CELL))
    rig.wire.crossbar.pulse(1, 1, 1.5, 1e-4, 0.0)  # it drifts: an old answer is a wrong one now
    rig.try_to(lambda: rig.driver.read(CELL))
    rig.pulse(-1.4)


def test_there_are_enough_kinds():
    assert len(KINDS) >= 25


@pytest.mark.parametrize("unit", DIALECTS)
def test_every_kind_of_trouble_at_every_exchange(unit):
    n = n_exchanges(unit)
    assert n > 15
    n_struck = n_discarded = 0
    for i, kind in enumerate(KINDS):
        for at in range(1 + i % STRIDE, n + 1, STRIDE):
            rig = FaultyRig(unit, kind, at)
            session(rig)
            rig.come_back()
            assert rig.driver.make_safe().state is SafeState.CONFIRMED, (kind, at)
            assert not rig.wire.instrument.output.is_on, (kind, at)
            assert rig.wire.instrument.output.level_v == 0
            assert not rig.wire.crossbar.damaged
            n_discarded += rig.driver.counters.n_lines_discarded
            n_struck += rig.driver.counters.n_resyncs > 0 or rig.wire.n_opened > 1
    assert n_discarded > n  # what was not believed is counted
    assert n_struck > len(KINDS) * n / STRIDE / 2


@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        ("tcp", {"kind": "disconnect", "on": "reply", "at": 11, "duration_s": 0.2}),
        ("tcp", {"kind": "reset", "on": "request", "at": 11}),
        ("pty", {"kind": "disconnect", "on": "reply", "at": 11, "duration_s": 0.2}),
    ],
)
def test_on_a_real_wire_it_is_back_in_time(tmp_path, wire, fault):
    options = ("--pty-link", str(tmp_path / "smu")) if wire == "pty" else ()
    with running("keithley_2600", wire, *options, faults=[fault]) as process:
        driver = driver_of("keithley_2600", process)
        driver.open()
        try:
            driver.read(CELL)
            with pytest.raises(InstrumentError):
                [driver.read(CELL) for _ in range(5)]
            deadline_s = time.monotonic() + BACK_WITHIN_S
            while True:
                try:
                    reading = driver.read(CELL)
                except InstrumentError:
                    assert time.monotonic() < deadline_s
                else:
                    break
            assert reading.resistance_ohm == pytest.approx(5000, rel=0.01)
            assert process.ask("status")["n_faults_struck"] == 1
        finally:
            driver.close()
        assert not process.ask("status")["is_on"]
