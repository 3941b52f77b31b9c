"""The ArC ONE driver against literal bytes, and against every fault of its wire."""

import math
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.errors import (
    InstrumentError,
    InstrumentProtocolError,
    InstrumentTimeoutError,
    SafetyLimitError,
    TransportError,
)
from drivers.permit import Permit, PulseDevice, Stimulate
from drivers.safe_state import SafeState
from drivers.smu.arc_one import wire
from drivers.smu.arc_one.driver import ArcOne, ArcOneSettings, ArcState
from drivers.smu.protocol import DeviceAddress

DEVICE = DeviceAddress(12, 21)
OHM_5000 = bytes.fromhex("00 40 9c 45")
CONNECT = [
    b"00\n",
    b"0\n", b"50\n", b"32\n", b"32\n", b"2\n", b"0\n", b"0\n", b"0.5\n",
    b"01\n", b"2\n", b"0.5\n",
]  # fmt: skip
READ = [b"1\n", b"12\n", b"21\n"]
PULSE = [b"3\n", b"12\n", b"21\n", b"1.5\n", b"0.0001\n"]


class Board:
    """A board as the page describes it: counts lines, answers floats, says nothing else.

    `faults` maps the number of a reply (from 1) to what becomes of its bytes.
    """

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.pulses: list[tuple[bytes, ...]] = []
        self.resistance = OHM_5000
        self.faults: dict[int, Callable[[bytes], bytes]] = {}
        self.cut_at: int | None = None
        self.n_replies = 0
        self.n_calls = 0
        self.now_ns = 0
        self.is_closed = False
        self._job: list[bytes] = []
        self._out = b""

    def write(self, data: bytes) -> None:
        self._call()
        assert data.endswith(b"\n")
        assert data.count(b"\n") == 1
        self.lines.append(data)
        self._job.append(data.strip())
        n_parameters = {b"00": 0, b"0": 7, b"01": 2, b"1": 2, b"2": 3, b"3": 4}
        if len(self._job) == 1 + n_parameters[self._job[0]]:
            job, self._job = self._job, []
            self._do(job)

    def _do(self, job: list[bytes]) -> None:
        if job[0] == b"0":
            self._reply(b"1\n")
        elif job[0] == b"1":
            self._reply(self.resistance)
        elif job[0] == b"2":
            self._reply(self.resistance * (int(job[2]) * int(job[3])))
        elif job[0] == b"3":
            self.pulses.append(tuple(job[1:]))
            self._reply(self.resistance)

    def _reply(self, data: bytes) -> None:
        self.n_replies += 1
        self._out += self.faults.get(self.n_replies, lambda whole: whole)(data)

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        self._call()
        data, self._out = self._out[:max_bytes], self._out[max_bytes:]
        self.now_ns += 1_000_000 if data else round(timeout_s * 1e9)
        return data

    def _call(self) -> None:
        self.n_calls += 1
        if self.cut_at is not None and self.n_calls >= self.cut_at:
            raise TransportError("serial port x: gone")

    def close(self) -> None:
        self.is_closed = True


class Rig:
    def __init__(self, **changes: float) -> None:
        self.board = Board()
        options = {"read_voltage_v": 0.5, "max_read_v": 0.5, "line_pacing_s": 0.0, **changes}
        self.driver = ArcOne(
            "arc1",
            lambda: self.board,
            ArcOneSettings(**options),
            clock_ns=lambda: self.board.now_ns,
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        self.board.now_ns += round(seconds * 1e9)

    def permit(self, action: object = None, **changes: object) -> Permit:
        fields = {
            "instrument": "arc1",
            "action": action or PulseDevice(12, 21, 1.5, 100e-6),
            "number": 1,
            "expires_ns": self.board.now_ns + 20_000_000,
            "is_tripped": lambda: False,
            "clock_ns": lambda: self.board.now_ns,
            **changes,
        }
        return Permit(**fields)


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.driver.open()
    made.board.lines.clear()
    return made


def test_connect_sequence_byte_for_byte() -> None:
    rig = Rig()
    rig.driver.open()
    assert rig.board.lines == CONNECT
    assert rig.board.pulses == []


def test_negative_read_voltage_takes_the_mode_for_it() -> None:
    rig = Rig(read_voltage_v=-0.5)
    rig.driver.open()
    assert rig.board.lines[5] == b"3\n"


def test_read_and_pulse_byte_for_byte(rig: Rig) -> None:
    assert rig.driver.read(DEVICE).resistance_ohm == 5000.0
    outcome = rig.driver.pulse(rig.permit())
    assert rig.board.lines == READ + PULSE
    assert outcome.after is not None
    assert outcome.after.resistance_ohm == 5000.0
    assert outcome.after.read_voltage_v == 0.5


def test_read_all_is_word_lines_by_bit_lines(rig: Rig) -> None:
    rig.board.resistance = struct.pack("<f", 5000.0)
    values = rig.driver.read_all()
    assert rig.board.lines == [b"2\n", b"1\n", b"32\n", b"32\n"]
    assert values.shape == (32, 32)
    assert np.all(values == 5000.0)


@given(st.floats(min_value=90e-9, max_value=10.0))
def test_any_width_is_read_back_exactly(width_s: float) -> None:
    assert float(wire.number(width_s)) == width_s


def test_ninety_nanoseconds_survive() -> None:
    assert wire.pulse_and_read(1, 1, -1.5, 90e-9)[-1] == b"9e-08\n"
    with pytest.raises(ValueError, match="nan"):
        wire.number(math.nan)


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "lost": lambda _data: b"",
    "half": lambda data: data[: len(data) // 2],
    "nan": lambda _data: struct.pack("<f", math.nan),
    "infinite": lambda _data: struct.pack("<f", math.inf),
    "negative": lambda _data: struct.pack("<f", -5000.0),
    "tiny": lambda _data: struct.pack("<f", 99.0),
    "huge": lambda _data: struct.pack("<f", 1.1e8),
    "trailing": lambda data: data + b"\0",
    "twice": lambda data: data + data,
    "text": lambda _data: b"ERR\n",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_read_is_refused_and_the_next_one_is_after_a_reset(rig: Rig, fault: str) -> None:
    rig.board.faults[rig.board.n_replies + 1] = FAULTS[fault]
    with pytest.raises((InstrumentTimeoutError, InstrumentProtocolError)):
        rig.driver.read(DEVICE)
    assert rig.driver.state is ArcState.DESYNC
    rig.board.lines.clear()
    assert rig.driver.read(DEVICE).resistance_ohm == 5000.0
    assert rig.board.lines == CONNECT + READ
    assert rig.driver.counters.n_resyncs == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_pulse_without_believable_answer_is_unconfirmed_and_never_sent_again(
    rig: Rig, fault: str
) -> None:
    rig.board.faults[rig.board.n_replies + 1] = FAULTS[fault]
    outcome = rig.driver.pulse(rig.permit())
    assert not outcome.is_confirmed
    assert outcome.detail.startswith("unconfirmed")
    assert rig.driver.counters.n_unconfirmed == 1
    with pytest.raises(InstrumentError, match="no pulse was sent"):
        rig.driver.pulse(rig.permit())
    assert len(rig.board.pulses) == 1
    assert rig.driver.pulse(rig.permit()).is_confirmed
    assert len(rig.board.pulses) == 2


def test_late_answer_is_not_taken_for_the_next_ones(rig: Rig) -> None:
    late: list[bytes] = []
    rig.board.faults[rig.board.n_replies + 1] = lambda data: late.append(data) or b""
    with pytest.raises(InstrumentTimeoutError):
        rig.driver.read(DEVICE)
    rig.board._out += late[0]
    rig.board.resistance = struct.pack("<f", 6000.0)
    assert rig.driver.read(DEVICE).resistance_ohm == 6000.0


def test_port_gone_at_each_call_in_turn_never_gives_a_value_or_a_second_pulse() -> None:
    def session(rig: Rig) -> None:
        rig.driver.open()
        rig.driver.read(DEVICE)
        rig.driver.pulse(rig.permit())
        rig.driver.read_agreed(DEVICE)

    whole = Rig()
    session(whole)
    for cut_at in range(1, whole.board.n_calls + 1):
        rig = Rig()
        rig.board.cut_at = cut_at
        with pytest.raises(InstrumentError):
            session(rig)
        assert len(rig.board.pulses) <= 1
        rig.driver.close()
        assert rig.board.is_closed


def test_no_board_behind_the_port_is_said() -> None:
    silent = Rig()
    silent.board.faults[1] = FAULTS["lost"]
    with pytest.raises(InstrumentTimeoutError, match="is the board on"):
        silent.driver.open()
    wrong = Rig()
    wrong.board.faults[1] = lambda _data: b"KEITHLEY\n"
    with pytest.raises(InstrumentProtocolError, match="KEITHLEY"):
        wrong.driver.open()
    assert wrong.board.is_closed


def test_disagreeing_readings_are_refused(rig: Rig) -> None:
    values = iter([5000.0, 6000.0, 7000.0, 8000.0])
    for reply in range(1, 5):
        number = rig.board.n_replies + reply
        rig.board.faults[number] = lambda _data: struct.pack("<f", next(values))
    with pytest.raises(InstrumentProtocolError, match="do not agree"):
        rig.driver.read_agreed(DEVICE)


@pytest.mark.parametrize(
    "action",
    [
        PulseDevice(0, 1, 1.0, 1e-4),
        PulseDevice(1, 33, 1.0, 1e-4),
        PulseDevice(1, 1, 5.1, 1e-4),
        PulseDevice(1, 1, 0.0, 1e-4),
        PulseDevice(1, 1, math.nan, 1e-4),
        PulseDevice(1, 1, -math.inf, 1e-4),
        PulseDevice(1, 1, 1.0, math.nan),
        PulseDevice(1, 1, 1.0, 0.0),
        PulseDevice(1, 1, 1.0, 0.2),
        Stimulate(1),
    ],
)
def test_what_is_outside_the_limits_sends_no_byte(rig: Rig, action: object) -> None:
    with pytest.raises(SafetyLimitError):
        rig.driver.pulse(rig.permit(action))
    assert rig.board.lines == []


@given(
    amplitude_v=st.floats(allow_nan=True, allow_infinity=True),
    width_s=st.floats(allow_nan=True, allow_infinity=True),
    wordline=st.integers(-5, 40),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_outside_the_limits_reaches_the_wire(
    rig: Rig, amplitude_v: float, width_s: float, wordline: int
) -> None:
    rig.board.pulses.clear()
    try:
        rig.driver.pulse(rig.permit(PulseDevice(wordline, 1, amplitude_v, width_s)))
    except SafetyLimitError:
        assert rig.board.pulses == []
        return
    ((word, _, amplitude, width),) = rig.board.pulses
    assert 1 <= int(word) <= 32
    assert 0 < abs(float(amplitude)) <= 5.0
    assert 90e-9 <= float(width) <= 0.1


@pytest.mark.parametrize(
    "changes",
    [{"instrument": "arc2"}, {"is_tripped": lambda: True}, {"expires_ns": -1}],
)
def test_bad_permit_sends_no_byte(rig: Rig, changes: dict) -> None:
    with pytest.raises(SafetyLimitError):
        rig.driver.pulse(rig.permit(**changes))
    assert rig.board.lines == []


def test_permit_is_good_for_one_pulse(rig: Rig) -> None:
    permit = rig.permit()
    rig.driver.pulse(permit)
    with pytest.raises(SafetyLimitError, match="spent"):
        rig.driver.pulse(permit)
    assert len(rig.board.pulses) == 1


def test_read_voltage_above_its_limit_is_refused_before_the_port_opens() -> None:
    rig = Rig(read_voltage_v=0.6)
    with pytest.raises(SafetyLimitError, match="read voltage"):
        rig.driver.open()
    assert rig.board.n_calls == 0


def test_made_safe_pulses_nothing_until_opened_again(rig: Rig) -> None:
    assert rig.driver.make_safe().state is SafeState.BY_CONSTRUCTION
    with pytest.raises(SafetyLimitError, match="made safe"):
        rig.driver.pulse(rig.permit())
    assert rig.driver.read(DEVICE).resistance_ohm == 5000.0
    rig.driver.open()
    assert rig.driver.pulse(rig.permit()).is_confirmed


@given(st.binary(max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_answer_is_a_believable_value_or_a_named_error(rig: Rig, answer: bytes) -> None:
    rig.driver._be_ready()
    rig.board.faults = {rig.board.n_replies + 1: lambda _data: answer}
    try:
        value = rig.driver.read(DEVICE).resistance_ohm
    except InstrumentError:
        return
    assert 100.0 <= value <= 100e6
