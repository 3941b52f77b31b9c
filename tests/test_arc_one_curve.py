"""The ArC ONE's measured pulses: curves of one step, the only place where it has a compliance."""

import struct

import pytest
from arc_board_rig import running
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import (
    InstrumentError,
    InstrumentProtocolError,
    InstrumentTimeoutError,
    SafetyLimitError,
)
from drivers.permit import Permit, PulseDevice
from drivers.smu.arc_one import wire
from drivers.smu.arc_one.driver import ArcOne
from drivers.smu.arc_one.settings import ArcOneSettings
from drivers.smu.protocol import DeviceAddress
from drivers.transport.serial_port import SerialPort

DEVICE = DeviceAddress(2, 3)


def permit(amplitude_v, width_s=5e-3):
    return Permit(
        instrument="arc1",
        action=PulseDevice(2, 3, amplitude_v, width_s),
        number=1,
        expires_ns=10**18,
        is_tripped=lambda: False,
        clock_ns=lambda: 0,
    )


def arc_one(pty, **changes):
    options = {"read_voltage_v": 0.5, "line_pacing_s": 0.0, "reset_wait_s": 0.05}
    options |= {"compliance_a": 1e-3, "max_pulse_v": 2.0}
    return ArcOne(
        "arc1",
        lambda: SerialPort(pty, baud_rate=wire.BAUD_RATE, parity="none"),
        ArcOneSettings(**(options | changes)),
    )


@pytest.fixture
def opened():
    """Give a driver on a running board, and the board."""
    drivers = []
    with running("--initial", "2,3=5000") as board:

        def make(**changes):
            drivers.append(arc_one(board.ready["pty"], **changes))
            drivers[-1].open()
            return drivers[-1], board

        yield make
        for driver in drivers:
            driver.close()


def test_its_bytes():
    lines = wire.curve_step_lines(2, 3, 0.8, 5e-3, 1e-4)
    assert b"".join(lines) == (
        b"201\n0.800000\n0.800000\n0.800000\n0.800000\n0.003000\n0.000000\n"
        b"0.000100\n-0.000100\n1\n1\n2\n1\n1\n2\n3\n"
    )
    negative = wire.curve_step_lines(2, 3, -0.8, 5e-3, 10e-6)
    assert negative[1:5] == (b"0.800000\n",) * 4  # magnitudes
    assert negative[7:9] == (b"0.0000101\n", b"-0.0000101\n")  # its range ends at 10 uA
    assert negative[11] == b"3\n"  # only V-


def test_what_comes_back():
    good = struct.pack("<6f", 4000.0, -0.8, 3e-3, 0, 0, 0)
    assert wire.parse_curve_step(good).tolist() == pytest.approx([4000.0, -0.8])
    for bad in (
        good[:20],
        struct.pack("<6f", 4000.0, 0.8, 3e-3, 0, 1e-9, 0),
        struct.pack("<6f", -4000.0, 0.8, 3e-3, 0, 0, 0),
        struct.pack("<6f", 4000.0, float("nan"), 3e-3, 0, 0, 0),
        struct.pack("<6f", 4000.0, 0.0, 3e-3, 0, 0, 0),
    ):
        with pytest.raises(InstrumentProtocolError):
            wire.parse_curve_step(bad)


def test_a_step_is_measured_and_read_after(opened):
    driver, board = opened()
    outcome = driver.pulse_measured(permit(0.5))
    assert outcome.pulse_v == pytest.approx(0.5)
    assert outcome.pulse_a == pytest.approx(1e-4, rel=1e-3)  # 5 kohm is defined at 0.5 V
    assert outcome.is_limited is False
    assert outcome.after.resistance_ohm == pytest.approx(5000, rel=1e-3)
    (pulse,) = board.ask("pulses")["pulses"]
    assert (pulse["wordline"], pulse["bitline"]) == (2, 3)
    assert driver.pulse_measured(permit(-0.5)).pulse_a == pytest.approx(-1e-4, rel=1e-3)


def test_the_compliance_is_said(opened):
    driver, _ = opened(compliance_a=50e-6)
    outcome = driver.pulse_measured(permit(0.8))
    assert outcome.is_limited is True
    assert outcome.pulse_a == pytest.approx(50e-6, rel=0.01)
    assert outcome.pulse_v < 0.6


def test_a_lost_answer_is_unconfirmed_and_not_sent_again():
    with running(
        "--initial", "2,3=5000", faults=[{"kind": "drop", "on": "reply", "at": 2}]
    ) as board:
        driver = arc_one(board.ready["pty"], reply_deadline_s=0.3)
        driver.open()
        try:
            outcome = driver.pulse_measured(permit(0.5))
            assert outcome.after is None
            assert "may have happened" in outcome.detail
            with pytest.raises(InstrumentError, match="no pulse was sent"):
                driver.pulse_measured(permit(0.5))
            assert board.ask("status")["n_pulses"] == 1
        finally:
            driver.close()


@given(
    st.floats() | st.sampled_from([0.05, 0.049, 2.0, 2.1]),
    st.floats() | st.sampled_from([3e-3, 2.9e-3, 1e-2, 1.1e-2]),
)
def test_nothing_outside_the_limits_is_sent(amplitude_v, width_s):
    def no_port():
        raise AssertionError("the port was opened")

    driver = ArcOne("arc1", no_port, ArcOneSettings(compliance_a=1e-4, max_pulse_v=2.0))
    is_allowed = 0.05 <= abs(amplitude_v) <= 2.0 and 3e-3 <= width_s <= 1e-2
    with pytest.raises(InstrumentError) as caught:
        driver.pulse_measured(permit(amplitude_v, width_s))
    assert isinstance(caught.value, SafetyLimitError) is not is_allowed


def test_without_a_compliance_there_is_none():
    driver = ArcOne("arc1", lambda: None, ArcOneSettings(max_pulse_v=2.0))
    with pytest.raises(SafetyLimitError, match="compliance_a"):
        driver.pulse_measured(permit(0.5))
    for compliance_a in (1e-6, 2e-3, float("nan")):
        with pytest.raises(SafetyLimitError, match="compliance_a"):
            ArcOneSettings(compliance_a=compliance_a)


def test_reading_all_is_not_waited_for_any_longer_once_somebody_aborts():
    with running("--initial", "2,3=5000", "--read-cycle-s", "0.0005") as board:  # 26 s in all
        driver = arc_one(board.ready["pty"])
        driver.open()
        try:
            with pytest.raises(InstrumentTimeoutError):
                driver.read_all(should_stop=lambda: True)
            assert driver.read(DEVICE).resistance_ohm == 5000  # in step again
            assert driver.counters.n_resyncs == 1
        finally:
            driver.close()
