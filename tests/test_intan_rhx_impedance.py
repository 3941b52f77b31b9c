"""RHX's impedance check: over its command port, and out of the file where it tells the values."""

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_intan_rhx_driver import marks_until, opened, permit

from drivers.errors import (
    InstrumentProtocolError,
    InstrumentRefusedError,
    InstrumentTimeoutError,
    SafetyLimitError,
)
from drivers.mea.intan_rhx.driver import IntanRhx
from drivers.mea.intan_rhx.impedance import parse
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.protocol import CurrentPulse, ElectrodeImpedance, MeasuresImpedance, Pattern
from drivers.permit import MeasureImpedance, Stimulate
from drivers.safe_state import SafeState
from mocks.rhx_impedance import Electrodes, actual_frequency_hz, impedance_file

AT_1_KHZ = MeasureImpedance(1000.0)
CHANNELS = ("A-000", "A-001", "A-016", "B-000")
GOLDEN = (
    "Channel Number,Channel Name,Port,Enabled,Impedance Magnitude at 1000 Hz (ohms),"
    "Impedance Phase at 1000 Hz (degrees),Series RC equivalent R (Ohms),"
    "Series RC equivalent C (Farads)\n"
    "A-000,A-000,Port A,1,1.00e+05,-70,3.42e+04,1.69e-09\n"
    "B-003,left edge,Port B,1,2.43e+06,-89,4.24e+04,6.55e-11\n"
)
"""As RHX 3.4 writes it (its demo mode has 100 kohm, -70 degrees everywhere)."""


def test_the_file_is_read_by_native_names_in_our_order() -> None:
    b, a = parse("mea1", GOLDEN, ("B-003", "A-000"))
    assert a == ElectrodeImpedance("A-000", 1e5, -70.0)
    assert b == ElectrodeImpedance("B-003", 2.43e6, -89.0)


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "a,b,c\n1,2,3\n", GOLDEN.replace("1.00e+05", "nan"), GOLDEN[:-30],
        GOLDEN.replace("1.00e+05", "-5"), GOLDEN.replace("A-000", "A-001"),
        GOLDEN.replace("1.00e+05", "1e400"), GOLDEN.replace(",-70,", ",north,"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InstrumentProtocolError, match="mea1"):
        parse("mea1", text, ("A-000", "B-003"))


def test_the_mock_writes_what_rhx_writes() -> None:
    electrodes = Electrodes(("A-000", "A-001", "A-002"), 1, opened={"A-001"}, shorted={"A-002"})
    values = electrodes.at(1000.0)
    assert values == Electrodes(("A-000", "A-001", "A-002"), 1, {"A-001"}, {"A-002"}).at(1000.0)
    assert 40e3 < values[0].magnitude_ohm < 200e3
    assert values[1].magnitude_ohm > 10e6
    assert values[2].magnitude_ohm < 1e3
    assert electrodes.at(100.0)[0].magnitude_ohm > 4 * values[0].magnitude_ohm
    text = impedance_file(electrodes.names, values, 1000.0)
    assert text.splitlines()[0] == GOLDEN.splitlines()[0]
    assert len(parse("mea1", text, electrodes.names)) == 3


@pytest.mark.parametrize(
    ("desired", "actual"), [(1000.0, 1000.0), (3000.0, 20_000 / 7), (0.0, 0.0), (7400.0, 0.0),
                            (10.0, 0.0)]
)  # fmt: skip
def test_a_period_is_4_to_1024_whole_samples(desired: float, actual: float) -> None:
    assert actual_frequency_hz(desired, 20_000.0, 7500.0) == pytest.approx(actual)


@pytest.fixture(scope="module")
def mock() -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "mocks.rhx_server", "--exit-on-stdin-eof", "--upload-s", "0.1",
               "--reconnect-after-s", "0", "--impedance-s", "0.8",
               "--open-electrodes", "A-001", "--shorted-electrodes", "B-000"]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield json.loads(process.stdout.readline())
    process.stdin.close()
    assert process.wait(5.0) == 0
    process.stdout.close()


def driver_for(mock: dict[str, Any], folder: str, **changes: Any) -> IntanRhx:
    settings = IntanRhxSettings(
        host="127.0.0.1",
        command_port=mock["command_port"],
        waveform_port=mock["waveform_port"],
        spike_port=mock["spike_port"],
        channels=CHANNELS,
        stim_channels=("A-016",),
        idle_gap_s=0.01,
        impedance_folder=folder,
        **changes,
    )
    return IntanRhx("mea1", settings)


@pytest.fixture
def driver(mock: dict[str, Any], tmp_path: Path) -> Iterator[IntanRhx]:
    made = driver_for(mock, str(tmp_path / "a folder"))
    yield opened(made)
    made.close()


def test_every_electrode_is_measured_over_the_wire_while_stopped(driver: IntanRhx) -> None:
    assert isinstance(driver, MeasuresImpedance)
    pattern = Pattern(1, ("A-016",), CurrentPulse(2e-6, 200e-6, 2e-6, 200e-6))
    driver.prepare([pattern])
    driver.start()
    assert driver.read_block(1.0) is not None
    driver.stop()
    assert driver.prepare_impedance(3000.0) == pytest.approx(20_000 / 7, abs=0.01)
    check = driver.measure_impedance(permit(MeasureImpedance(3000.0)))
    assert check.frequency_hz == pytest.approx(20_000 / 7, abs=0.01)
    by_name = {e.channel: e for e in check.electrodes}
    assert tuple(by_name) == CHANNELS
    assert by_name["A-001"].magnitude_ohm > 3e6
    assert by_name["B-000"].magnitude_ohm == 400.0
    assert by_name["A-000"].phase_deg == -72.0
    driver.start()
    block = driver.read_block(1.0)
    assert block is not None
    assert block.n_lost == -1, "the samples between are a gap"
    driver.stimulate(permit(Stimulate(1)))
    assert len(marks_until(driver, 1)) == 1, "what was prepared is there"


def test_patterns_may_be_prepared_again_between_runs_and_samples_count_on(
    driver: IntanRhx,
) -> None:
    weak = Pattern(1, ("A-016",), CurrentPulse(2e-6, 200e-6, 2e-6, 200e-6))
    strong = Pattern(1, ("A-016",), CurrentPulse(3e-6, 200e-6, 3e-6, 200e-6))
    driver.prepare([weak])
    driver.start()
    first = driver.read_block(1.0)
    assert first is not None
    driver.stop()
    driver.prepare([strong])
    driver.start()
    block = driver.read_block(1.0)
    assert block is not None
    assert block.n_lost == -1
    assert block.first_sample >= first.end_sample, "no sample index is given twice"
    driver.stimulate(permit(Stimulate(1)))
    (mark,) = marks_until(driver, 1)
    assert mark.amplitude_a == pytest.approx(-3e-6)


def test_no_current_flows_without_permit_folder_or_possible_frequency(
    driver: IntanRhx, mock: dict[str, Any]
) -> None:
    nowhere = driver_for(mock, "")
    with pytest.raises(SafetyLimitError, match="no folder is named"):
        nowhere._impedance.prepare(1000.0)
    with pytest.raises(SafetyLimitError, match="not made ready"):
        driver.measure_impedance(permit(AT_1_KHZ))
    with pytest.raises(SafetyLimitError, match="cannot do"):
        driver.measure_impedance(permit(Stimulate(1)))
    with pytest.raises(SafetyLimitError, match="cannot measure at 7400 Hz"):
        driver.prepare_impedance(7400.0)
    driver.prepare_impedance(2000.0)
    with pytest.raises(SafetyLimitError, match="not made ready for 1000 Hz"):
        driver.measure_impedance(permit(AT_1_KHZ))
    driver.prepare_impedance(1000.0)
    spent = permit(AT_1_KHZ)
    spent.spend("mea1")
    with pytest.raises(SafetyLimitError, match="already spent"):
        driver.measure_impedance(spent)
    with pytest.raises(SafetyLimitError, match="semicolon"):
        driver_for(mock, "a;b")


@pytest.mark.parametrize("frequency_hz", [0.0, -1000.0, math.nan, math.inf])
def test_a_frequency_that_is_none_leaves_no_trace_at_rhx(
    driver: IntanRhx, frequency_hz: float
) -> None:
    with pytest.raises(SafetyLimitError, match="allowed is a finite frequency"):
        driver.prepare_impedance(frequency_hz)
    with pytest.raises(SafetyLimitError, match="not made ready"):
        driver.measure_impedance(permit(AT_1_KHZ))


def test_a_file_that_cannot_be_read_is_said(
    driver: IntanRhx, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.prepare_impedance(1000.0)

    def refuse(*_arguments: object, **_named: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(InstrumentProtocolError, match="cannot be read"):
        driver.measure_impedance(permit(AT_1_KHZ))


def test_a_folder_that_rhx_cannot_write_to_is_said(mock: dict[str, Any], tmp_path: Path) -> None:
    made = driver_for(
        mock, "/no/such/folder", impedance_folder_here=str(tmp_path), reply_timeout_s=0.5
    )
    try:
        opened(made).prepare_impedance(1000.0)
        with pytest.raises(InstrumentTimeoutError, match="did not appear"):
            made.measure_impedance(permit(AT_1_KHZ))
    finally:
        made.close()


def test_an_emergency_stop_meanwhile_is_sent_and_not_claimed(
    mock: dict[str, Any], tmp_path: Path
) -> None:
    made = opened(driver_for(mock, str(tmp_path), safe_timeout_s=0.02))
    failures: list[Exception] = []
    leave = permit(AT_1_KHZ)
    made.prepare_impedance(1000.0)

    def measure() -> None:
        try:
            made.measure_impedance(leave)
        except InstrumentRefusedError as exc:
            failures.append(exc)

    thread = threading.Thread(target=measure)
    thread.start()
    deadline = time.monotonic() + 10.0
    while not (leave._spent and made._conversation._lock.locked()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert made.make_safe().state is SafeState.SENT
    thread.join(10.0)
    assert not thread.is_alive()
    assert failures, "RHX complained of the stop, so what was measured does not count"
    made.close()
