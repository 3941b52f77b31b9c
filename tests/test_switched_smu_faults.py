"""Each kind of trouble at each exchange in turn, on the switch's wire and on the unit's."""

import contextlib
import os

import pytest
from switch_rig import FIRST, OTHER, SwitchedRig

from drivers.errors import InstrumentError, TransportError
from drivers.safe_state import SafeState
from drivers.smu.bench.unit import BenchState

STRIDE = 1 if os.environ.get("SPIKEBRIDGE_LONG_TESTS") else 5
"""Every exchange in the long run; every fifth, in turn by kind, else."""
BACK_WITHIN_S = 10.0
"""Of the units' own clock: two instruments may have to be reached anew."""


def _half(text):
    return text[: max(1, len(text) // 2)]


def _fail(wire, arrived=""):
    if arrived:
        wire._arrive(arrived, 0.0)
    raise TransportError("writing failed")


def _cut(wire):
    wire.is_down = True
    return []


REQUEST_KINDS = {
    "lost": lambda wire, line: [],
    "cut, its end there": lambda wire, line: [(0.0, _half(line).rstrip("\n") + "\n")],
    "cut, its end lost": lambda wire, line: [(0.0, _half(line).rstrip("\n"))],
    "twice": lambda wire, line: [(0.0, line), (0.0, line)],
    "late": lambda wire, line: [(3.0, line)],
    "restart before": lambda wire, line: wire.restart() or [(0.0, line)],
    "writing fails, nothing left": lambda wire, line: _fail(wire),
    "writing fails, all left": _fail,
}
REPLY_KINDS = {
    "reply lost": lambda wire, text: [],
    "reply late": lambda wire, text: [(3.0, text)],
    "reply of the query before": lambda wire, text: [(0.0, wire.last_reply)],
    "half a reply": lambda wire, text: [(0.0, _half(text).rstrip("\n") + "\n")],
    "garbage instead": lambda wire, text: [(0.0, "&%$ 12,3;4\n")],
    "reply twice": lambda wire, text: [(0.0, text), (0.0, text)],
    "restart, reply gone": lambda wire, text: wire.restart() or [],
    "connection cut": lambda wire, text: _cut(wire),
}


class FaultySwitchedRig(SwitchedRig):
    """The `at`-th exchange of one of both wires meets one kind of trouble, once."""

    def __init__(self, is_switch, kind, at):
        super().__init__()
        self.victim = self.switch_wire if is_switch else self.wire
        self.victim.last_reply = "#1\tnil\t0.00000e+00\n"
        self.victim.on_request = lambda n, line: self._request(kind, at, n, line)
        self.victim.on_reply = lambda n, text: self._reply(kind, at, n, text)

    def _request(self, kind, at, n, line):
        if kind in REQUEST_KINDS and n == at:
            return REQUEST_KINDS[kind](self.victim, line)
        return [(0.0, line)]

    def _reply(self, kind, at, n, text):
        pieces = [(0.0, text)]
        if kind in REPLY_KINDS and n == at:
            pieces = REPLY_KINDS[kind](self.victim, text)
        self.victim.last_reply = text
        return pieces

    def try_to_read(self, device):
        try:
            reading = self.driver.read(device)
        except InstrumentError:
            return False
        assert reading.device == device
        assert reading.resistance_ohm == pytest.approx(self.true_ohm(device), rel=0.01)
        return True

    def try_to_pulse(self, device, amplitude_v):
        n_before = self.crossbar.n_pulses
        try:
            outcome = self.driver.pulse(self.permit(device, amplitude_v))
        except InstrumentError:
            assert self.crossbar.n_pulses == n_before
            return
        new = list(self.crossbar.pulses)[n_before:]
        assert len(new) <= 1
        assert all((p.wordline, p.bitline) == (device.wordline, device.bitline) for p in new)
        if outcome.is_confirmed:
            assert len(new) == 1
            assert outcome.after.resistance_ohm == pytest.approx(self.true_ohm(device), rel=0.01)

    def session(self):
        with contextlib.suppress(InstrumentError):
            self.driver.open()
        self.try_to_read(FIRST)
        self.try_to_pulse(OTHER, 1.5)
        self.try_to_read(FIRST)
        self.try_to_pulse(FIRST, -1.4)
        self.try_to_read(OTHER)

    def come_back(self):
        began_s = self.wire.now_s
        self.victim.is_down = False
        while self.wire.now_s - began_s < BACK_WITHIN_S:
            try:
                if self.driver.state is BenchState.CLOSED:
                    self.driver.open()
            except InstrumentError:
                continue
            if self.try_to_read(OTHER):
                return
        raise AssertionError(f"not back within {BACK_WITHIN_S} s")


@pytest.mark.parametrize("is_switch", [True, False], ids=["switch", "unit"])
def test_every_kind_of_trouble_at_every_exchange(is_switch):
    plain = FaultySwitchedRig(is_switch, "none", 0)
    plain.session()
    n = plain.victim.n_requests
    assert n > 10
    n_struck = 0
    for i, kind in enumerate(REQUEST_KINDS | REPLY_KINDS):
        for at in range(1 + i % STRIDE, n + 1, STRIDE):
            rig = FaultySwitchedRig(is_switch, kind, at)
            rig.session()
            rig.come_back()
            assert rig.terminals.n_hot == 0, (kind, at)
            assert rig.driver.make_safe().state is SafeState.CONFIRMED, (kind, at)
            assert rig.terminals.closed == frozenset(), (kind, at)
            assert not rig.output.is_on, (kind, at)
            assert not rig.crossbar.damaged
            n_struck += rig.victim.n_opened > 1
    assert n_struck > n / STRIDE
