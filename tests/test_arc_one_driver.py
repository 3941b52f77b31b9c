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
from drivers.smu.arc_one.board import ArcOneState
from drivers.smu.arc_one.driver import ArcOne
from drivers.smu.arc_one.settings import ArcOneSettings
from drivers.smu.protocol import DeviceAddress

DEVICE = DeviceAddress(12, 21)
OHM_5000 = bytes.fromhex("00 40 9c 45")
FILLER = [b"\n", *[b"0.0\n"] * 13]
"""Brings a board to the end of whatever job it still collects lines for."""
CONNECT = [
    *FILLER,
    b"00\n",
    b"0\n", b"50\n", b"32\n", b"32\n", b"2\n", b"0\n", b"0\n", b"0.500000\n",
    b"01\n", b"2\n", b"0.500000\n",
]  # fmt: skip
READ = [b"1\n", b"12\n", b"21\n"]
PULSE = [b"3\n", b"12\n", b"21\n", b"1.500000\n", b"0.000100\n"]


N_PARAMETERS = {b"00": 0, b"0": 7, b"01": 2, b"1": 2, b"2": 3, b"3": 4}


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
        if not self._job and data.strip() not in N_PARAMETERS:
            return  # no job's code: silently ignored
        self._job.append(data.strip())
        if len(self._job) == 1 + N_PARAMETERS[self._job[0]]:
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
        options = {"read_voltage_v": 0.5, "sneak_path": wire.SneakPath.THIRD, "line_pacing_s": 0.0}
        options |= changes
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
    assert rig.board.lines[len(FILLER) + 5] == b"3\n"


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
    assert float(wire.number_text(width_s)) == width_s


def test_ninety_nanoseconds_survive() -> None:
    assert wire.pulse_and_read_lines(1, 1, -1.5, 90e-9)[-1] == b"9e-08\n"
    with pytest.raises(InstrumentProtocolError, match="nan"):
        wire.number_text(math.nan)


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
    assert rig.driver.state is ArcOneState.DESYNC
    rig.board.lines.clear()
    assert rig.driver.read(DEVICE).resistance_ohm == 5000.0
    assert rig.board.lines == CONNECT + READ + READ, "reset, verified by one reading, asked again"
    assert rig.driver.counters.n_resyncs == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_pulse_without_believable_answer_is_unconfirmed_and_never_sent_again(
    rig: Rig, fault: str
) -> None:
    rig.board.faults[rig.board.n_replies + 1] = FAULTS[fault]
    outcome = rig.driver.pulse(rig.permit())
    assert not outcome.is_confirmed
    assert "may have happened" in outcome.detail
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


@pytest.mark.parametrize("fault", [*FAULTS, "flipped"])
def test_each_reply_spoilt_in_turn_gives_no_wrong_value_and_no_second_pulse(fault: str) -> None:
    """Every reply of a session, one at a time. A changed float32 inside 100 ohm to 100 Mohm is the
    one thing that this wire cannot show; a value that decides is therefore read twice."""
    spoil = FAULTS.get(fault, lambda data: bytes([data[0] ^ 0x80]) + data[1:])

    def session(rig: Rig) -> list[float]:
        rig.driver.open()
        values = [rig.driver.read(DEVICE).resistance_ohm]
        outcome = rig.driver.pulse(rig.permit())
        values += [outcome.after.resistance_ohm] if outcome.after else []
        values.append(rig.driver.read_agreed(DEVICE).resistance_ohm)
        return [*values, *rig.driver.read_all().ravel()]

    whole = Rig()
    assert set(session(whole)) == {5000.0}
    for number in range(1, whole.board.n_replies + 1):
        rig = Rig()
        rig.board.faults[number] = spoil
        try:
            values = session(rig)
        except InstrumentError:
            values = []
        rig.driver.close()
        assert len(rig.board.pulses) <= 1
        assert rig.driver.counters.n_pulses == len(rig.board.pulses)
        assert all(value == pytest.approx(5000.0, rel=0.02) for value in values)


def test_no_board_behind_the_port_is_said() -> None:
    silent = Rig()
    silent.board.faults[1] = FAULTS["lost"]
    with pytest.raises(InstrumentTimeoutError, match="due were one line"):
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
    with pytest.raises(InstrumentProtocolError, match="two in a row"):
        rig.driver.read_agreed(DEVICE)


@pytest.mark.parametrize(
    "action",
    [
        PulseDevice(0, 1, 1.0, 1e-4),
        PulseDevice(1, 33, 1.0, 1e-4),
        PulseDevice(1, 1, 1.6, 1e-4),
        PulseDevice(1, 1, 0.0, 1e-4),
        PulseDevice(1, 1, 1.0, 1e-4, is_forming=True),
        PulseDevice(1, 1, math.nan, 1e-4),
        PulseDevice(1, 1, -math.inf, 1e-4),
        PulseDevice(1, 1, 1.0, math.nan),
        PulseDevice(1, 1, 1.0, 0.0),
        PulseDevice(1, 1, 1.0, 0.02),
        Stimulate(1),
    ],
)
def test_what_is_outside_the_limits_sends_no_byte(rig: Rig, action: object) -> None:
    with pytest.raises(SafetyLimitError):
        rig.driver.pulse(rig.permit(action))
    assert rig.board.lines == []


def test_a_forming_pulse_has_a_limit_of_its_own() -> None:
    rig = Rig(max_forming_v=4.0)
    rig.driver.open()
    for action in (PulseDevice(12, 21, 4.0, 1e-4, is_forming=True), PulseDevice(1, 1, 1.5, 1e-4)):
        assert rig.driver.pulse(rig.permit(action)).is_confirmed
    for action in (PulseDevice(12, 21, 4.1, 1e-4, is_forming=True), PulseDevice(1, 1, 1.6, 1e-4)):
        with pytest.raises(SafetyLimitError):
            rig.driver.pulse(rig.permit(action))
    assert [pulse[2] for pulse in rig.board.pulses] == [b"4.000000", b"1.500000"]


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
    assert 0 < abs(float(amplitude)) <= 1.5
    assert 100e-9 <= float(width) <= 10e-3


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


@pytest.mark.parametrize("voltage_v", [0.6, -0.6, 0.0, math.nan, 13.0])
def test_read_voltage_beyond_its_limit_is_refused_before_the_port_opens(voltage_v: float) -> None:
    with pytest.raises(SafetyLimitError, match="read_voltage_v"):
        Rig(read_voltage_v=voltage_v)


def test_made_safe_pulses_nothing_until_opened_again(rig: Rig) -> None:
    assert rig.driver.make_safe().state is SafeState.BY_CONSTRUCTION
    with pytest.raises(SafetyLimitError, match="make_safe"):
        rig.driver.pulse(rig.permit())
    assert rig.driver.read(DEVICE).resistance_ohm == 5000.0
    rig.driver.open()
    assert rig.driver.pulse(rig.permit()).is_confirmed


@given(st.binary(max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_answer_is_a_believable_value_or_a_named_error(rig: Rig, answer: bytes) -> None:
    rig.driver.open()
    rig.board.faults = {rig.board.n_replies + 1: lambda _data: answer}
    try:
        value = rig.driver.read(DEVICE).resistance_ohm
    except InstrumentError:
        return
    assert 100.0 <= value <= 100e6
